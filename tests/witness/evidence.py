# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verdict needs besides the rows: enough evidence to reach one, and limits that clients would not have felt
the run beyond.

A witness that has not looked proves nothing. So there is no acquittal without the end of the record and the final
state, with a stretch in which a client did nothing, or for a way to the cluster that takes no writes at the end. A
stretch without success is over a limit only as far as no allowance explains it.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from . import figures
from .figures import Gap
from .finding import NO_EVIDENCE, OVER_LIMIT, WITNESS_BROKE, Finding
from .history import FAIL, OK, READS, UNKNOWN, WRITES, History, Operation

# A way that ends with so many refused writes, for longer than so many seconds, has not been seen to take writes at
# the end.
STILL_REFUSED, REFUSALS = 2.0, 3
# A client that has shown by so many operations how often it acts must not be silent for twice as many turns and so
# many seconds.
TURNS, SILENT = 10, 5.0
CUTOVER = 1.0  # seconds; the longest write pause of all writers, if it is that long, is taken for the cutover


@dataclass(frozen=True)
class Allowance:
    """Reads through this route may fail if they ran at any time within the window (monotonic times).

    The route is a name, or for one way to it `name@namespace`. A fault that silences a host explains reads that got
    no answer, but none that got a wrong one: those need `answered`. It may explain that a host lags while it is cut
    off: that needs `stale`. Without `failed` it explains the lag alone, as of followers whose leader has died: they
    have to answer all the same. Without `writes` it explains no write pause.
    """

    route: str
    start: float
    end: float
    answered: bool = True
    stale: bool = False
    failed: bool = True
    writes: bool = True

    def covers(self, operation: Operation) -> bool:
        """Whether this operation went through the route within the window."""
        through = operation.route == self.route or operation.client.startswith(
            (f"read-{self.route}-", f"write-{self.route}")
        )
        return through and operation.end >= self.start and operation.start <= self.end

    def explains(self, label: str) -> bool:
        """Whether it explains stretches without success on this way to the cluster."""
        return self.failed and self.route in (label, label.partition("@")[0])


@dataclass(frozen=True)
class Limits:
    """Longest stretches that are still a pass, in seconds. None of them has a default: a run without a limit is not
    judged.
    """

    write_pause: float  # in which a write was wanted and none acknowledged: of all writers, and through any one route
    read_gap: float  # without a read, on any route
    recovery: float  # from the first failed attempt on a route until it is well again: no failed attempt for a second

    def __post_init__(self) -> None:
        for name, limit in vars(self).items():
            if not (math.isfinite(limit) and limit > 0):
                raise ValueError(f"limit {name}: {limit!r}; wanted a positive number of seconds")


@dataclass(frozen=True)
class Phase:
    """A phase of what the witness watched (monotonic times)."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Demands:
    """The evidence without which there is no verdict."""

    hole: float = 15.0  # seconds without an operation of a client under way
    unknown_share: float = 0.1  # of all writes that were answered with success or not at all
    unknown_at_least: int = 2  # fewer than this are no share of anything
    phases: tuple[
        Phase, ...
    ] = ()  # each client has done something in each, and each way has taken writes after the cutover


def missing(
    history: History, final_state: Sequence[Operation] | None, demands: Demands, allowances: Sequence[Allowance]
) -> list[Finding]:
    """What is missing for a verdict."""
    return [
        *_record(history),
        *_successes(history),
        *_holes(history, demands),
        *_ways_that_take_writes(history, demands, allowances),
        *_unknown(history, demands),
        *_final(history, final_state),
    ]


def _lack(text: str, route: str = "", client: str = "", at: str = "") -> Finding:
    return Finding(NO_EVIDENCE, text, route, client, at)


def _record(history: History) -> Iterator[Finding]:
    if not history.ended:
        yield _lack(
            "the record has no end line: the witness was killed, and what it would have seen afterwards is missing"
        )
    if history.stuck:
        yield _lack(f"clients still had no answer when the witness ended: {', '.join(history.stuck)}")
    if not history.routes:
        yield _lack("the history names no routes")
    for crash in history.crashes:
        yield Finding(WITNESS_BROKE, f"a client of the witness broke: {crash}")


def _successes(history: History) -> Iterator[Finding]:
    if not any(operation.op in WRITES and operation.outcome == OK for operation in history.operations):
        yield _lack("no write was acknowledged")
    seen = {operation.route for operation in history.operations if operation.op in READS and operation.outcome == OK}
    for route in history.routes:
        if route not in seen:
            yield _lack(f"no read succeeded through {route}", route)
    well = {operation.client for operation in history.operations if operation.outcome == OK}
    for client in history.clients:
        if client not in well:
            yield _lack(f"{client} never succeeded at anything", client=client)


def _holes(history: History, demands: Demands) -> Iterator[Finding]:
    span = history.span
    by_client: dict[str, list[Operation]] = {client: [] for client in history.clients}
    for operation in history.operations:
        by_client.setdefault(operation.client, []).append(operation)
    for client, operations in by_client.items():
        usual = _usual_interval(operations)
        longest = demands.hole if usual is None else round(min(demands.hole, max(SILENT, 2 * TURNS * usual)), 1)
        for start, end in _idle(span, operations, longest):
            yield _lack(
                f"{client} did nothing for {end - start:.1f} s until {history.clock(end)}; wanted an operation every "
                f"{longest:g} s",
                client=client,
                at=history.clock(start),
            )
        for phase in demands.phases:
            # Two turns of a slow client may lie before and after a short phase.
            if phase.end - phase.start < 2 * (usual or 0):
                continue
            if not any(operation.start <= phase.end and operation.end >= phase.start for operation in operations):
                yield _lack(
                    f"{client} did nothing in the phase {phase.name}, which ended at {history.clock(phase.end)}",
                    client=client,
                    at=history.clock(phase.start),
                )


def _usual_interval(operations: Sequence[Operation]) -> float | None:
    """Seconds between two turns of a client; None where it has shown too few."""
    if len(operations) < TURNS:
        return None
    starts = sorted(operation.start for operation in operations)
    return statistics.median(after - before for before, after in itertools.pairwise(starts))


def _idle(span: tuple[float, float], operations: Iterable[Operation], longest: float) -> Iterator[tuple[float, float]]:
    """Stretches of the span, longer than this, in which none of these was under way."""
    now, end = span
    for operation in sorted(operations, key=lambda operation: operation.start):
        if operation.start - now > longest:
            yield now, operation.start
        now = max(now, operation.end)
    if end - now > longest:
        yield now, end


def _ways_that_take_writes(history: History, demands: Demands, allowances: Sequence[Allowance]) -> Iterator[Finding]:
    writes, span = figures.by_label(history, WRITES), history.span
    fence = _cutover([operation for operations in writes.values() for operation in operations])
    for label in dict.fromkeys((*history.writers.values(), *writes)):
        route, attempts = label.partition("@")[0], writes.get(label, [])
        taken = [operation for operation in attempts if operation.outcome == OK]
        if not taken:
            if any(operation.outcome == OK for operations in writes.values() for operation in operations):
                yield _lack(f"no write was acknowledged through {label}: {len(attempts)} attempts", route)
            continue
        if label not in history.writers.values():  # else this is a hole of the one writer that keeps to it
            for start, end in _idle(span, attempts, demands.hole):
                yield _lack(
                    f"no write was sent through {label} for {end - start:.1f} s until {history.clock(end)}; wanted one every "
                    f"{demands.hole:g} s",
                    route,
                    at=history.clock(start),
                )
        last = max(operation.end for operation in taken)
        for phase in demands.phases:
            if phase.name == "cutover" and last < phase.end:
                yield _lack(
                    f"no write was acknowledged through {label} after the cutover: the last one at {history.clock(last)}, "
                    f"the cutover ended at {history.clock(phase.end)}",
                    route,
                )
        goes_on = span[1] - fence.end > STILL_REFUSED
        if goes_on and min(operation.end for operation in taken) < fence.start and last < fence.end:
            yield _lack(
                f"no write was acknowledged through {label} after the longest write pause, which ended at "
                f"{history.clock(fence.end)}: the last one at {history.clock(last)}",
                route,
            )
        pause = figures.longest_pause(attempts, open_only=True)
        refused = sum(operation.start >= pause.start for operation in attempts)
        if pause.open and refused >= REFUSALS and unexplained(pause, label, allowances) > STILL_REFUSED:
            yield _lack(
                f"no write was acknowledged through {label} in the last {pause.seconds:.1f} s, {refused} attempts; wanted one in the "
                f"last {STILL_REFUSED:g} s",
                route,
                at=history.clock(pause.start),
            )


def _cutover(writes: Sequence[Operation]) -> Gap:
    """The longest time in which writes were refused; an empty one where they never were for long."""
    pause = figures.longest_pause(writes)
    refused = any(
        operation.outcome in (FAIL, UNKNOWN) and operation.end > pause.start and operation.start < pause.end
        for operation in writes
    )
    return pause if refused and not pause.open and pause.seconds >= CUTOVER else Gap()


def _unknown(history: History, demands: Demands) -> Iterator[Finding]:
    writes = [
        operation for operation in history.operations if operation.op in WRITES and operation.outcome in (OK, UNKNOWN)
    ]
    unknown = sum(operation.outcome == UNKNOWN for operation in writes)
    if unknown >= demands.unknown_at_least and unknown > demands.unknown_share * len(writes):
        yield _lack(
            f"{unknown} of {len(writes)} writes have an unknown outcome; wanted at most {demands.unknown_share:.0%}: "
            "neither their loss nor their appearance could be held against the cluster"
        )


def _final(history: History, final_state: Sequence[Operation] | None) -> Iterator[Finding]:
    if final_state is None:
        yield _lack("no final state: the last list of every table through every route was not saved")
        return
    ended = history.span[1]
    for table in sorted({operation.table for operation in history.operations}):
        for route in history.routes or [""]:
            reads = [operation for operation in final_state if operation.table == table and operation.route == route]
            if not reads:
                yield _lack(f"no final read of {table} through {route}", route)
            elif min(operation.start for operation in reads) < ended:
                yield _lack(f"the final read of {table} through {route} began before the witness ended", route)


def over_limits(history: History, limits: Limits, allowances: Sequence[Allowance]) -> Iterator[Finding]:
    """Stretches that no client should have felt."""
    writes, reads = figures.by_label(history, WRITES), figures.by_label(history, READS)
    everything = [operation for operations in writes.values() for operation in operations]
    pause = figures.longest_pause(everything)
    # A moment is explained where no way to the cluster had to take writes.
    of_writes = [allowance for allowance in allowances if allowance.writes]
    explained = _seconds(_common([covered(pause, label, of_writes) for label in writes]))
    if pause.seconds - explained > limits.write_pause:
        yield _over(history, "write pause", pause, pause.seconds - explained, limits.write_pause)
    for label, operations in writes.items():
        yield from _worst(
            history,
            f"write pause through {label}",
            label,
            figures.pauses(operations),
            limits.write_pause,
            of_writes,
        )
    for label, operations in reads.items():
        yield from _worst(
            history, f"no read through {label}", label, figures.gaps(operations), limits.read_gap, allowances
        )
    for label in dict.fromkeys((*reads, *writes)):
        troubles = figures.troubles([*reads.get(label, []), *writes.get(label, [])])
        yield from _worst(history, f"recovery of {label}", label, troubles, limits.recovery, allowances)


def _worst(
    history: History, what: str, label: str, stretches: Iterable[Gap], limit: float, allowances: Sequence[Allowance]
) -> Iterator[Finding]:
    long = [(unexplained(gap, label, allowances), gap) for gap in stretches if gap.seconds > limit]
    seconds, gap = max(long, key=lambda pair: pair[0], default=(0.0, Gap()))
    if seconds > limit:
        yield _over(history, what, gap, seconds, limit, label)


def _over(history: History, what: str, gap: Gap, seconds: float, limit: float, label: str = "") -> Finding:
    of = f", {seconds:.2f} s of it unexplained" if gap.seconds - seconds > 0.01 else ""
    until = "the end of the record" if gap.open else history.clock(gap.end)
    return Finding(
        OVER_LIMIT,
        f"{what}: {gap.seconds:.2f} s until {until}{of}; wanted at most {limit:g} s",
        label,
        at=history.clock(gap.start),
    )


def unexplained(gap: Gap, label: str, allowances: Sequence[Allowance]) -> float:
    """The seconds of a stretch on a way to the cluster that no allowance covers."""
    return gap.seconds - _seconds(covered(gap, label, allowances))


def covered(gap: Gap, label: str, allowances: Sequence[Allowance]) -> list[tuple[float, float]]:
    """The parts of a stretch on a way to the cluster that an allowance covers, from start to end, none of which meet."""
    parts: list[tuple[float, float]] = []
    for allowance in sorted(allowances, key=lambda allowance: allowance.start):
        start, end = max(gap.start, allowance.start), min(gap.end, allowance.end)
        if not allowance.explains(label) or end <= start:
            continue
        if parts and start <= parts[-1][1]:
            parts[-1] = (parts[-1][0], max(parts[-1][1], end))
        else:
            parts.append((start, end))
    return parts


def _common(ways: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The parts that all of these cover; of none there are none."""
    found = list(ways[0]) if ways else []
    for parts in ways[1:]:
        found = [
            (max(start, other), min(end, other_end))
            for start, end in found
            for other, other_end in parts
            if max(start, other) < min(end, other_end)
        ]
    return found


def _seconds(parts: Sequence[tuple[float, float]]) -> float:
    return sum(end - start for start, end in parts)

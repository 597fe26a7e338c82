# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a history measures: counts, latencies, gaps and the write pause. No verdict is reached here."""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .history import OK, READS, REDIRECTED, WRITES, History, Operation

CALM = 1.0  # seconds without a failed attempt, after which a route is well again


@dataclass(frozen=True)
class Gap:
    """A stretch without a success. An open one lasts to the last attempt of the history, and no success ended it."""

    seconds: float = 0.0
    start: float = 0.0
    end: float = 0.0
    open: bool = False


def longest_gap(operations: Sequence[Operation]) -> Gap:
    """From the end of one success to the end of the next; if attempts went on after the last success, that stretch
    counts too.
    """
    return max(gaps(operations), key=lambda gap: gap.seconds, default=Gap())


def longest_pause(writes: Sequence[Operation], open_only: bool = False) -> Gap:
    """The longest time in which a write was wanted and none was acknowledged: a gap less what of it no client was
    asking.
    """
    return max(
        (pause for pause in pauses(writes) if pause.open or not open_only), key=lambda gap: gap.seconds, default=Gap()
    )


def pauses(writes: Sequence[Operation]) -> list[Gap]:
    """Every stretch in which a write was wanted and none was acknowledged."""
    starts = sorted(writes, key=lambda operation: operation.start)
    # Attempts last a few seconds at most, so what was under way when a gap began is not far before it in this order.
    longest = max(
        (operation.end - operation.start for operation in starts if math.isfinite(operation.end)), default=0.0
    )
    begins = [operation.start for operation in starts]
    found = []
    for gap in gaps(writes):
        nearby = starts[bisect.bisect_left(begins, gap.start - longest) : bisect.bisect_left(begins, gap.end)]
        waiting = (operation.start for operation in nearby if operation.end > gap.start)
        begin = max(gap.start, next(waiting, gap.end))
        if gap.end > begin:
            found.append(Gap(gap.end - begin, begin, gap.end, gap.open))
    return found


def gaps(operations: Sequence[Operation]) -> list[Gap]:
    """The stretches without a success, from the first attempt on. One that no success ended is open, and lasts to the
    last attempt.
    """
    if not operations:
        return []
    ends = sorted(operation.end for operation in operations if operation.outcome == OK)
    ends.insert(0, min(operation.start for operation in operations))
    found = [Gap(after - before, before, after) for before, after in itertools.pairwise(ends)]
    last = max((operation.end for operation in operations if math.isfinite(operation.end)), default=ends[-1])
    if last > ends[-1]:
        found.append(Gap(last - ends[-1], ends[-1], last, open=True))
    return found


def troubles(operations: Iterable[Operation]) -> list[Gap]:
    """Stretches of trouble: from the start of a failed attempt to the end of the first success after which none
    failed for a second.
    """
    found: list[Gap] = []
    begin = first_success = None
    last = 0.0
    for operation in sorted(operations, key=lambda operation: operation.end):
        if not math.isfinite(operation.end):
            break
        last = operation.end
        if operation.outcome == OK:
            first_success = first_success or operation.end
        elif operation.outcome != REDIRECTED:
            if begin is not None and first_success is not None and operation.start - first_success > CALM:
                found.append(Gap(first_success - begin, begin, first_success))
                begin = None
            begin = operation.start if begin is None else begin
            first_success = None
    if begin is not None:
        end = last if first_success is None else first_success
        found.append(Gap(end - begin, begin, end, open=first_success is None))
    return found


def by_label(history: History, ops: Sequence[str]) -> dict[str, list[Operation]]:
    """The operations of these kinds, by the way to the cluster they took."""
    found: dict[str, list[Operation]] = {}
    for operation in history.operations:
        if operation.op in ops:
            found.setdefault(history.label(operation), []).append(operation)
    return found


def latency(operations: Iterable[Operation]) -> dict[str, float | None]:
    """Milliseconds of the successes."""
    times = sorted((operation.end - operation.start) * 1000 for operation in operations if operation.outcome == OK)
    if not times:
        return {"p50": None, "p99": None, "max": None}
    return {"p50": round(_rank(times, 0.50), 2), "p99": round(_rank(times, 0.99), 2), "max": round(times[-1], 2)}


def _rank(ordered: Sequence[float], share: float) -> float:
    """Nearest-rank percentile."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def figures(history: History) -> dict[str, Any]:
    """Everything measured, ready for JSON."""
    reads = [operation for operation in history.operations if operation.op in READS]
    writes = [operation for operation in history.operations if operation.op in WRITES]
    began, ended = history.span
    ways, written = by_label(history, READS), by_label(history, WRITES)
    troubled = [
        (label, gap)
        for label in dict.fromkeys((*ways, *written))
        for gap in troubles([*ways.get(label, []), *written.get(label, [])])
    ]
    label, recovery = max(troubled, key=lambda pair: pair[1].seconds, default=("", Gap()))
    pause = longest_pause(writes)
    within = [
        operation
        for operation in writes
        if operation.end > pause.start and operation.start < pause.end and operation.outcome != OK
    ]
    return {
        "seconds": round(max(0.0, ended - began), 3),
        "ended_cleanly": history.ended,
        "witness_late_max_ms": round(1000 * max((operation.late for operation in history.operations), default=0.0), 1),
        "reads": {
            **_summary(reads, history),
            "retried_on_a_closed_idle_connection": sum(operation.retried for operation in reads),
            "routes": {route: _summary(operations, history) for route, operations in ways.items()},
        },
        "writes": {
            **_summary(writes, history),
            "objects": len({(operation.table, operation.object) for operation in writes}),
            "kinds_acknowledged": dict(Counter(operation.op for operation in writes if operation.outcome == OK)),
            # A redirected write is counted at the way it was first sent to: through that it was acknowledged.
            "acknowledged_by_route": {
                way: sum(operation.outcome == OK for operation in operations) for way, operations in written.items()
            },
            "routes": {
                way: {**_summary(operations, history), "pause": _gap(longest_pause(operations), history)}
                for way, operations in written.items()
            },
        },
        # Of any one way: from its first failed attempt until it was well again.
        "recovery": {"route": label, **_gap(recovery, history)},
        "write_pause": {
            **_gap(pause, history),
            "attempts_refused_within": sum(operation.outcome != REDIRECTED for operation in within),
            "answers_within": dict(
                Counter(operation.error for operation in within if operation.outcome != REDIRECTED).most_common(5)
            ),
        },
    }


def _summary(operations: Sequence[Operation], history: History) -> dict[str, Any]:
    return {
        "count": len(operations),
        "outcomes": dict(Counter(operation.outcome for operation in operations)),
        "connections": dict(Counter(operation.connection for operation in operations)),
        "latency_ms": latency(operations),
        "longest_gap": _gap(longest_gap(operations), history),
    }


def _gap(gap: Gap, history: History) -> dict[str, Any]:
    return {
        "seconds": round(gap.seconds, 3),
        "from": history.clock(gap.start) if gap.seconds else None,
        "to": history.clock(gap.end) if gap.seconds else None,
        "open": gap.open,
    }

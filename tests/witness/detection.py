# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How likely the witness finds a short fault: faults are put into a recorded history at random moments, and judged.

While a fault lasts, one route (or every one) routes to the wrong cluster. A write sent there is acknowledged and lost:
reads that showed it show what was there before. A read sent there shows what was acknowledged some time before it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .figures import by_label
from .history import FAIL, OK, READS, REDIRECTED, WRITES, History, Operation
from .judge import STALENESS, row_findings

OLD = 4.0  # seconds; how far behind the wrong cluster is in what it shows
AROUND = 5.0  # seconds of reads after the fault that are judged; the final state is judged always
FAST = 5  # writes a second through each route, from which on a history counts as fast
UNUSED_ID = 1_000_000_000
LULL = 3  # seconds of less than that which do not end a fast stretch

Window = tuple[float, float]


@dataclass(frozen=True)
class Detection:
    """How many of the faults of one kind were found."""

    what: str
    windows: int
    found: int

    @property
    def probability(self) -> float:
        return self.found / self.windows


def probabilities(
    history: History,
    final: Sequence[Operation],
    *,
    windows: int = 300,
    seconds: float = 0.1,
    seed: int = 1,
    between: Window | None = None,
) -> list[Detection]:
    """Put `windows` faults of each kind into the history, each `seconds` long and at a random moment, and count what
    is found.
    """
    before = row_findings(history, final)
    if before:
        raise ValueError(f"the history itself is not clean: {before[0].text}; wanted one that is acquitted")
    labels = sorted(by_label(history, WRITES))
    if not labels:
        raise ValueError("the history has no writes; wanted one of a run of the witness")
    begin, end = between or fast_stretch(history, len(labels))
    dice = random.Random(seed)
    kinds = (
        ("writes through one route are lost", lose_writes, 1),
        ("writes through every route are lost", lose_writes, len(labels)),
        ("reads through one route are old", serve_old_reads, 1),
    )
    found = dict.fromkeys((what for what, _, _ in kinds), 0)
    for _ in range(windows):
        start = dice.uniform(begin, end - seconds)
        route = dice.choice(labels)
        for what, fault, routes in kinds:
            wrong, last = fault(
                nearby(history, start), final, (start, start + seconds), {route} if routes == 1 else set(labels)
            )
            found[what] += bool(row_findings(wrong, last))
    return [Detection(what, windows, count) for what, count in found.items()]


def table(detections: Sequence[Detection]) -> str:
    """For people, one line a kind."""
    width = max(len(detection.what) for detection in detections)
    return "\n".join(
        f"{detection.what:<{width}}  found {detection.found} of {detection.windows}: {detection.probability:.3f}"
        for detection in detections
    )


def fast_stretch(history: History, routes: int) -> Window:
    """Where every route is written to often, around the cutover; the whole history if that is nowhere."""
    begin, end = history.span
    counts = [0] * (int(end - begin) + 1)
    for operation in history.operations:
        if operation.op in WRITES:
            counts[int(operation.start - begin)] += 1
    best, first, last = (0, 0), None, 0
    for second, count in enumerate(counts):
        if count >= FAST * routes:
            if first is None or second - last > LULL:
                first = second
            last = second
            best = max(best, (first, last + 1), key=lambda stretch: stretch[1] - stretch[0])
    # It begins and ends somewhere in the first and the last of these seconds.
    return (begin + best[0] + 1, begin + best[1] - 1) if best[1] - best[0] > 3 else (begin, end)


def nearby(history: History, moment: float) -> History:
    """All writes, and the reads from shortly before a moment to a while after it."""
    return replace(
        history,
        operations=[
            operation
            for operation in history.operations
            if operation.op in WRITES or moment - 1 < operation.start < moment + AROUND
        ],
    )


def lose_writes(
    history: History, final: Sequence[Operation], window: Window, labels: set[str]
) -> tuple[History, list[Operation]]:
    """Writes that began in the window on these routes are acknowledged, and no cluster that anything reads from has
    them.
    """
    operations: list[Operation] = []
    lost: dict[tuple[str, str], set[str | None]] = {}
    answered: set[tuple[str, int | None]] = (
        set()
    )  # what was refused here and is taken there: the client tries it no more
    for operation in history.operations:
        key = (operation.table, operation.object)
        if operation.op in WRITES:
            if (operation.client, operation.seq) in answered:
                continue
            if "create" in lost.get(key, ()):
                continue  # there is no row to write to
            inside = window[0] <= operation.start < window[1] and history.label(operation) in labels
            # What was refused, or sent to the leader, has an answer there.
            if inside and operation.outcome in (OK, FAIL, REDIRECTED):
                lost.setdefault(key, set()).add("create" if operation.op == "create" else operation.value)
                if operation.outcome != OK:
                    answered.add((operation.client, operation.seq))
                    number = operation.id if operation.id is not None else UNUSED_ID + len(answered)
                    operation = replace(operation, outcome=OK, status=200, error="", id=number)
        operations.append(operation)
    if not lost:
        return history, list(final)
    values = _values(history)

    def show(read: Operation) -> Operation:
        rows = dict(read.values or {})
        for (table, name), gone in lost.items():
            if table != read.table or (read.op == "read-one" and read.object != name):
                continue
            if "create" in gone:
                rows.pop(name, None)
            elif name in rows and rows[name][1] in gone:
                rows[name] = [rows[name][0], _before(values[table, name], rows[name][1], gone)]
            elif None in gone and name not in rows:  # its delete is lost
                rows[name] = [_id(history, table, name), _before(values[table, name], None, gone)]
        status = read.status if read.op != "read-one" else 200 if rows else 404
        return replace(read, values=rows, status=status)

    shown = [
        show(operation)
        if operation.op in READS and operation.outcome == OK and operation.start > window[0]
        else operation
        for operation in operations
    ]
    return replace(history, operations=shown), [show(operation) for operation in final]


def serve_old_reads(
    history: History, final: Sequence[Operation], window: Window, labels: set[str]
) -> tuple[History, list[Operation]]:
    """Reads that began in the window on these routes show what was acknowledged `OLD` seconds before."""
    operations = []
    for operation in history.operations:
        if (
            operation.op in READS
            and operation.outcome == OK
            and window[0] <= operation.start < window[1]
            and history.label(operation) in labels
        ):
            rows = _state(history, operation.table, operation.start - OLD)
            if operation.op == "read-one":
                rows = {name: row for name, row in rows.items() if name == operation.object}
            operation = replace(operation, values=rows, status=200 if rows or operation.op != "read-one" else 404)
        operations.append(operation)
    return replace(history, operations=operations), list(final)


def _state(history: History, table: str, moment: float) -> dict[str, list[object]]:
    """The rows that were acknowledged by a moment."""
    rows: dict[str, list[object]] = {}
    for operation in history.operations:
        if operation.op in WRITES and operation.outcome == OK and operation.table == table and operation.end < moment:
            if operation.op == "delete":
                rows.pop(operation.object, None)
            else:
                rows[operation.object] = [operation.id, operation.value]
    return rows


def _values(history: History) -> dict[tuple[str, str], list[str | None]]:
    """The values each object was given, in order."""
    values: dict[tuple[str, str], list[str | None]] = {}
    for operation in history.operations:
        if operation.op in WRITES:
            value = None if operation.op == "delete" else operation.value
            given = values.setdefault((operation.table, operation.object), [])
            if not given or given[-1] != value:
                given.append(value)
    return values


def _before(values: Sequence[str | None], value: str | None, gone: set[str | None]) -> str | None:
    return next(earlier for earlier in reversed(values[: values.index(value)]) if earlier not in gone)


def _id(history: History, table: str, name: str) -> int | None:
    return next(
        operation.id
        for operation in history.operations
        if operation.op == "create" and (operation.table, operation.object) == (table, name) and operation.outcome == OK
    )


__all__ = ["STALENESS", "Detection", "fast_stretch", "lose_writes", "probabilities", "serve_old_reads", "table"]

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a history measures: counts, latencies, gaps and the write pause. No verdict is reached here."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .witness_history import OK, READS, REDIRECTED, WRITES, History, Operation


@dataclass(frozen=True)
class Gap:
    """A stretch without a success. An open one lasts to the last attempt of the history, and no success ended it."""

    seconds: float = 0.0
    start: float = 0.0
    end: float = 0.0
    open: bool = False


def longest_gap(operations: Sequence[Operation]) -> Gap:
    """From the end of one success to the end of the next; if attempts went on after the last success, that stretch counts too."""
    return max(_gaps(operations), key=lambda gap: gap.seconds, default=Gap())


def longest_pause(writes: Sequence[Operation]) -> Gap:
    """The longest time in which a write was wanted and none was acknowledged: a gap less what of it nobody was asking."""
    starts = sorted(writes, key=lambda operation: operation.start)
    longest = Gap()
    for gap in sorted(_gaps(writes), key=lambda gap: -gap.seconds):
        if gap.seconds <= longest.seconds:
            break
        waiting = (operation.start for operation in starts if operation.end > gap.start and operation.start < gap.end)
        begin = max(gap.start, next(waiting, gap.end))
        if gap.end - begin > longest.seconds:
            longest = Gap(gap.end - begin, begin, gap.end, gap.open)
    return longest


def _gaps(operations: Sequence[Operation]) -> list[Gap]:
    ends = sorted(operation.end for operation in operations if operation.outcome == OK)
    gaps = [Gap(after - before, before, after) for before, after in itertools.pairwise(ends)]
    last = max((operation.end for operation in operations if math.isfinite(operation.end)), default=0.0)
    if ends and last > ends[-1]:
        gaps.append(Gap(last - ends[-1], ends[-1], last, open=True))
    return gaps


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
    finite = [operation.end for operation in history.operations if math.isfinite(operation.end)]
    routes = {route: [operation for operation in reads if operation.route == route] for route in history.routes}
    pause = longest_pause(writes)
    within = [operation for operation in writes if operation.end > pause.start and operation.start < pause.end and operation.outcome != OK]
    return {
        "seconds": round(max(finite) - min(operation.start for operation in history.operations), 3) if finite else 0.0,
        "ended_cleanly": history.ended,
        "witness_late_max_ms": round(1000 * max((operation.late for operation in history.operations), default=0.0), 1),
        "reads": {
            **_summary(reads, history),
            "retried_on_a_closed_idle_connection": sum(operation.retried for operation in reads),
            "routes": {route: _summary(operations, history) for route, operations in routes.items()},
        },
        "writes": {
            **_summary(writes, history),
            "objects": len({(operation.table, operation.object) for operation in writes}),
            "kinds_acknowledged": dict(Counter(operation.op for operation in writes if operation.outcome == OK)),
            # A redirected write is counted at the route it was first sent to: through that route it was acknowledged.
            "acknowledged_by_route": dict(Counter(operation.via or operation.route for operation in writes if operation.outcome == OK)),
        },
        "write_pause": {
            **_gap(pause, history),
            "attempts_refused_within": sum(operation.outcome != REDIRECTED for operation in within),
            "answers_within": dict(Counter(operation.error for operation in within if operation.outcome != REDIRECTED).most_common(5)),
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
    return {"seconds": round(gap.seconds, 3), "from": history.clock(gap.start) if gap.seconds else None,
            "to": history.clock(gap.end) if gap.seconds else None, "open": gap.open}

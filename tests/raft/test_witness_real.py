# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness with a real Raft cluster: what fences, elections and deaths do to clients is acquitted, and nothing
besides.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.witness import judge as court
from tests.witness.history import OK, WRITES, History, load
from tests.witness.program import final_state_beside, load_final
from tests.witness.record import Watched, cutover, watched

# Loopback on a machine that others use, too; what is asked here is whether the rules hold, not how fast it is.
LIMITS = court.Limits(write_pause=15, read_gap=10, recovery=20)
SECOND = 1.0


def judged(
    history: Path, staleness: float = SECOND, allowances: list[court.Allowance] | None = None
) -> tuple[History, court.Verdict]:
    seen = load([history])
    verdict = court.judge(
        seen,
        load_final(final_state_beside(history)),
        staleness=staleness,
        limits=LIMITS,
        allowances=allowances or [],
        demands=court.Demands(unknown_share=0.5),
    )  # a second's death is much of a few seconds
    return seen, verdict


def test_a_fence_and_a_new_leader_are_acquitted(binary: Path, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with watched(binary, tmp_path / "cluster", path) as seen:
        fenced = cutover(seen, calm=1.0, fast=1.5)
    history, verdict = judged(path)
    assert verdict.findings == []
    figures = verdict.figures
    assert 1.9 < figures["write_pause"]["seconds"] < 2 * fenced
    assert set(figures["writes"]["routes"]) == set(history.writers.values())
    assert all(route["pause"]["seconds"] > 1.9 for route in figures["writes"]["routes"].values())


def between(moments: Iterable[float]) -> list[float]:
    """Seconds from each of them to the next."""
    ordered = sorted(moments)
    return [after - before for before, after in zip(ordered, ordered[1:])]  # noqa: B905 - pairs


def test_after_a_fence_the_writers_are_spread_as_before(binary: Path, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with watched(binary, tmp_path / "cluster", path) as seen:
        seen.hurry()
        time.sleep(0.6)
        seen.fence(1.0)
        opened = time.monotonic()
        time.sleep(1.5)
    history, _ = judged(path)
    writes = [
        operation
        for operation in history.operations
        if operation.op in WRITES and not operation.via and opened + 0.2 < operation.start < opened + 1.4
    ]
    gaps = between(write.start for write in writes)
    clients = {write.client for write in writes}
    turns = [gap for client in clients for gap in between(write.start for write in writes if write.client == client)]
    turn = statistics.median(turns)
    assert len(turns) > 3 * len(clients)
    # Six writers that take turns of 80 ms: one every 13 ms. In lockstep most would begin together, with holes of a turn and more.
    assert statistics.median(gaps) > turn / 16
    assert sum(gap > 0.75 * turn for gap in gaps) <= len(gaps) / 20


@pytest.mark.parametrize("die", [Watched.kill_leader, Watched.hand_over], ids=["killed", "handed over"])
def test_elections_are_acquitted(binary: Path, tmp_path: Path, die: Callable[[Watched], object]) -> None:
    path = tmp_path / "history.jsonl"
    allowances: list[court.Allowance] = []
    with watched(binary, tmp_path / "cluster", path) as seen:
        for _ in range(2):
            time.sleep(1.0)
            began, leader = time.monotonic(), seen.cluster.leader
            die(seen)
            ended = time.monotonic()
            # It is away, and meanwhile the others cannot know what was committed last.
            allowances += [
                court.Allowance(f"{kind}{leader.id}", began, ended + SECOND, stale=True) for kind in ("", "via-")
            ]
            allowances += [
                court.Allowance(f"{kind}{node.id}", began, ended + SECOND, stale=True, failed=False)
                for kind in ("", "via-")
                for node in seen.cluster.nodes
            ]
        time.sleep(2.5)
    _, verdict = judged(path, allowances=allowances)
    assert verdict.findings == []


def test_a_cluster_that_forgets_the_last_second_is_convicted(binary: Path, tmp_path: Path) -> None:
    """The state of a moment ago is put back through the leader, as by a cutover without a last difference."""
    path = tmp_path / "history.jsonl"
    with watched(binary, tmp_path / "cluster", path) as seen:
        seen.hurry()
        time.sleep(2.0)
        leader = seen.cluster.leader
        rows = {row["id"]: row for row in leader.ask("GET", "/api/v1/nodes")[1]["nodes"]}
        time.sleep(1.0)
        for number, row in rows.items():
            leader.ask("PUT", f"/api/v1/nodes/{number}", {"name": row["name"], "value": row["value"]})
        time.sleep(1.0)
    history, verdict = judged(path)
    assert any(operation.outcome == OK for operation in history.operations)
    assert verdict.outcome == "convicted", json.dumps(verdict.to_json()["findings"][:3])
    assert verdict.kinds() & {court.LOST_UPDATE, court.STALE_READ, court.LOST_WRITE}

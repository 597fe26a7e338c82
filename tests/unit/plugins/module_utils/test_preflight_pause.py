# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The write pause is predicted before it begins, from what each Pi was measured to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import preflight_world as world
import pytest
from conftest import import_plugin

pause = import_plugin("module_utils._preflight.pause")
pieces = import_plugin("module_utils._core.pieces")
preflight = import_plugin("module_utils._preflight.judge")
speed = import_plugin("module_utils._core.write_speed")
MIB = world.MIB
BY_API = ("restore", "snapshot")


def found(
    size: float,
    rate: float | None,
    digest: float | None,
    *,
    strategy: str | None = None,
    capabilities: tuple[str, ...] = ("read-only", "restore", "snapshot"),
    **timeouts: str,
) -> list[Any]:
    seen = world.healthy()
    for view in seen["cluster"].values():
        view["capabilities"] = list(capabilities)
    pi = seen["host"]["pi-3"]
    pi["database"].update(bytes=int(size * MIB), digest_seconds=digest, check_seconds=digest and digest / 4)
    pi["write_speed"] = rate * MIB if rate else rate
    settings = world.settings(timeouts=timeouts) | ({"strategy": strategy} if strategy else {})
    return [finding for finding in preflight.evaluate(seen, settings, world.owner()) if finding.check == "write pause"]


def test_p12_137_mb_on_a_slow_card_are_refused_before_the_pause():
    (finding,) = found(137, 8, 4)
    assert (finding.host, finding.level) == ("pi-3", "error")
    assert "about 112 s" in finding.seen
    assert "137 MiB" in finding.seen
    assert "8.0 MiB/s" in finding.seen
    assert finding.wanted == "less than 21 s, 70% of migration.timeouts.cutover_timeout, 30 s"
    assert "migration.strategy to rolling" in finding.fix


@pytest.mark.parametrize(
    ("size", "rate", "digest", "level"),
    [(1, 20, 0.1, None), (137, 300, 3.0, None), (60, 20, 0.5, "warning"), (137, 20, 0.5, "error"), (1, 20, 15, "error"), (137, None, 3, None),
     (137, 20, None, None)],
)  # fmt: skip
def test_p12_size_disk_and_digest_decide(size, rate, digest, level):
    findings = found(size, rate, digest)
    assert [finding.level for finding in findings] == ([level] if level else [])


def test_p12_a_longer_timeout_or_the_other_strategy_is_accepted():
    assert found(137, 8, 4, cutover_timeout="5m") == []
    assert found(137, 8, 4, strategy="rolling") == []


def test_p12_the_measured_pause_is_within_the_prediction():
    """10.2 s were measured for 137 MB, where a card takes some 250 MiB a second and a digest two seconds and a half."""
    seen = {"database": {"bytes": 137_000_000, "digest_seconds": 2.5}, "write_speed": 250 * MIB}
    assert pause.predicted_seconds(seen, {"capabilities": ["read-only", *BY_API]}, 3) == pytest.approx(11, abs=3)


def test_p12_a_daemon_that_is_fenced_by_the_network_pauses_longer():
    seen = {"database": {"bytes": 1, "digest_seconds": 0.0}, "write_speed": 250 * MIB}
    by_call, by_network, unknown = (
        pause.predicted_seconds(seen, view, 3)
        for view in ({"capabilities": ["read-only", *BY_API]}, {"capabilities": list(BY_API)}, {})
    )
    assert by_call < by_network == unknown


def through_the_control_node(size: int, pis: int = 3, **database: float) -> float:
    seen = {"database": {"bytes": size, "digest_seconds": 0.0, "check_seconds": 0.0, **database}, "write_speed": 1e12}
    return pause.predicted_seconds(seen, {"capabilities": []}, pis)


def test_p12_40_mb_through_the_control_node_are_refused():
    """By the daemon's own calls the same database would not even be worth a warning."""
    assert found(40, 100, 0.8) == []
    (finding,) = found(40, 100, 0.8, capabilities=("learners", "transfer"))
    assert (finding.level, finding.host) == ("error", "pi-3")
    assert "carried through the control node as the daemon has no snapshot and restore calls" in finding.seen
    assert "migration.strategy to rolling" in finding.fix
    assert found(40, 100, 0.8, capabilities=("transfer",), strategy="rolling") == []


def test_p12_a_small_database_may_go_through_the_control_node():
    """In the lab it is a pause of 2.9 to 5.6 s."""
    assert found(1, 20, 0.1, capabilities=()) == []
    assert through_the_control_node(0) > 5.6


def test_p12_each_part_of_the_way_through_the_control_node_counts():
    nothing, piece = through_the_control_node(0), pieces.PIECE
    # The copy on the old leader's Pi, three times in the restore, and the proof before the flip.
    assert through_the_control_node(0, digest_seconds=1.0) == pytest.approx(nothing + 5)
    # The copy, what has arrived, and what was restored.
    assert through_the_control_node(0, check_seconds=1.0) == pytest.approx(nothing + 3)
    # A piece more is a module more to the control node, and one more to the Pis.
    assert through_the_control_node(piece + 1) - through_the_control_node(piece) == pytest.approx(
        2 * pause.PIECE_SECONDS, abs=0.01
    )
    # The control node's network has the database once from the leader's Pi, and once for each Pi.
    sent = [through_the_control_node(piece, pis) - nothing for pis in (1, 2, 5)]
    assert sent[1] == pytest.approx(sent[0] * 3 / 2, rel=1e-3)
    assert sent[2] == pytest.approx(sent[0] * 6 / 2, rel=1e-3)


def test_p12_the_daemons_own_way_wants_snapshot_and_restore():
    seen = {"database": {"bytes": 40 * MIB, "digest_seconds": 0.8}, "write_speed": 100 * MIB}
    ways = [(), ("snapshot",), ("restore",), BY_API]
    one, other, third, both = (pause.predicted_seconds(seen, {"capabilities": list(can)}, 3) for can in ways)
    assert one == other == third > 2 * both


def test_p12_the_sample_is_bounded_and_leaves_nothing(tmp_path: Path):
    before = os.statvfs(tmp_path).f_bfree
    measured = speed.write_speed(tmp_path, wanted=2 * MIB)
    assert measured is not None
    assert measured > 0
    assert list(tmp_path.iterdir()) == []
    assert abs(os.statvfs(tmp_path).f_bfree - before) * os.statvfs(tmp_path).f_frsize < 2**30


def test_p12_the_sample_ends_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written: list[int] = []
    monkeypatch.setattr(speed.os, "fdatasync", lambda _descriptor: written.append(1))
    clock = iter(range(0, 100))
    monkeypatch.setattr(speed.time, "monotonic", lambda: next(clock))
    speed.write_speed(tmp_path, wanted=16 * MIB, seconds=3)
    assert len(written) < 4


def test_p12_what_cannot_be_written_to_is_not_measured(tmp_path: Path):
    assert speed.write_speed(tmp_path / "missing") is None
    room = os.statvfs(tmp_path)
    assert speed.write_speed(tmp_path, wanted=room.f_bavail * room.f_frsize) is None

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations Pi by Pi, in place: under traffic, killed in a turn, with a pod that does not start, and back again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts as on
from tests.e2e import other_ports, pace, rehearsal, reports
from tests.e2e.killed import assert_one_daemon_each, killed_at
from tests.e2e.test_migration import restarts
from tests.e2e.way_back import ELECTED, HANDED_OVER, STANDARD, TEMPORARY
from tests.lab import cluster
from tests.lab import state as files

ROLLING = rehearsal.strategy_arguments("rolling")


def forth(log: Path, *arguments: str, show: bool = False) -> rehearsal.PlaybookRun:
    run = rehearsal.run_playbook(
        "playbooks/migrate.yml", "-e", "confirm=true", *ROLLING, *arguments, log=log, show=show
    )
    assert run.returncode == 0, run.output[-4000:]
    return run


def judged(witness: rehearsal.Witness, profile: str, *arguments: str) -> dict[str, Any]:
    limits, lags = (HANDED_OVER, []) if profile == "full" else (ELECTED, rehearsal.UPSTREAM_LAGS)
    verdict, summary = witness.judge(pace.here(limits), *arguments, *lags)
    print(summary)
    assert verdict["ok"], summary
    return verdict


def assert_migrated(names: Sequence[str], learners: Sequence[str] = ()) -> None:
    """One pod a Pi on the standard ports with the unit's data, the unit masked, no rule and no trial left behind."""
    members = set()
    for name in names:
        pi = on.host(name)
        listening = on.listening(pi)
        assert listening.issuperset(STANDARD), f"{name}: {listening}"
        assert listening.isdisjoint(TEMPORARY), f"{name}: {listening}"
        assert on.unit_state(pi) == ("masked", "inactive"), name
        assert len(pi.process.filter(comm="pi-controller")) == 1, f"{name}: more or less than one daemon"
        assert pi.file("/var/lib/pi-controller-pods/raft/raft-log.db").is_file
        assert not pi.file("/var/lib/pi-controller").exists
        assert on.gate_rules(pi) == []
        backups = pi.file("/var/backups/pi-controller-migration")
        assert (backups.mode, backups.user) == (0o700, "root")
        assert not pi.file(f"{backups.path}/trial").exists
        assert pi.file(f"{backups.path}/pi-controller.service").mode == 0o644
        members |= {
            (member["ID"], member["Address"], member["Voter"]) for member in on.raft_status(pi, 8080)["members"]
        }
    addresses = {node["name"]: node["address"] for node in rehearsal.lab_state()["nodes"]}
    assert members == {(name, f"{addresses[name]}:9091", name not in learners) for name in names}


def assert_old_world(names: Sequence[str]) -> None:
    """Every Pi as it was before the migration, with the writes since."""
    for name in names:
        pi = on.host(name)
        listening = on.listening(pi)
        assert listening.issuperset(STANDARD), f"{name}: {listening}"
        assert listening.isdisjoint(TEMPORARY), f"{name}: {listening}"
        assert on.unit_state(pi) == ("enabled", "active")
        assert len(pi.process.filter(comm="pi-controller")) == 1, f"{name}: more or less than one daemon"
        assert on.gate_rules(pi) == []
        assert not pi.file("/var/lib/pi-controller-pods").exists
        unit_file = pi.file("/etc/systemd/system/pi-controller.service")
        assert (unit_file.mode, unit_file.user, unit_file.group) == (0o644, "root", "root")


def assert_all_answered(asked: other_ports.Asked, names: Sequence[str]) -> None:
    assert asked.failed == []
    assert min(asked.answered[name] for name in names) > 10


def away(names: Sequence[str]) -> dict[str, float]:
    """Seconds without a daemon on each Pi, as the run has measured it."""
    return {name: rehearsal.journal(name)["phases"]["cutover"]["facts"]["away_seconds"] for name in names}


@pytest.mark.parametrize("profile", ["full", pytest.param("upstream", marks=pytest.mark.longer)])
def test_d12_pi_by_pi_there_and_back_no_read_fails_on_any_port(tmp_path: Path, profile: str) -> None:
    """There, once more without a change, and back; a client that reads or writes does not notice."""
    names = rehearsal.old_world(profile, rolled_back=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "back").mkdir()
    with rehearsal.witnessed(tmp_path / "there") as witness, other_ports.asked() as websocket:
        run = forth(tmp_path / "forth.log", show=True)
    assert run.tasks <= rehearsal.MOST_TASKS["rolling"]
    assert rehearsal.alerts(run) == [], "the quorum watch found trouble in a calm migration"
    assert_all_answered(websocket, names)
    assert_migrated(names)
    assert restarts() == [0] * len(names)
    print({"seconds": round(run.seconds, 1), "away": away(names)})
    verdict = judged(witness, profile)
    report = reports.with_witness(witness, verdict)
    assert (report["outcome"], report["figures"]["lost_writes"], report["figures"]["pod_restarts"]) == (
        "migrated",
        0,
        0,
    )
    assert {row["host"]: row["seconds"] for row in report["hardware"]} == {
        name: round(seconds, 1) for name, seconds in away(names).items()
    }
    assert [phase["name"] for phase in report["phases"]] == ["prepare", "transfer", "validate", "cutover", "cleanup"]

    again = forth(tmp_path / "again.log")
    assert again.changed == dict.fromkeys(names, 0), again.output[-4000:]
    assert_migrated(names)

    with rehearsal.witnessed(tmp_path / "back") as witness, other_ports.asked() as websocket:
        run = rehearsal.run_playbook("playbooks/rollback.yml", log=tmp_path / "back.log", show=True)
        assert run.returncode == 0, run.output[-4000:]
    assert_all_answered(websocket, names)
    print({"seconds back": round(run.seconds, 1)})
    assert_old_world(names)
    # (That a second rollback finds nothing to do is Molecule's to show.)
    judged(witness, profile)


# The task during which each run is killed, and the number of times that the run comes to it before: in the first turn,
# in the second after the first was finished, in the last after the second was, before that is recorded, and when all turns are over.
KILLS = [
    ("Handover | Schedule the pod, which waits for its data", 1),
    ("Handover | Hand the unit's data over to the pod", 2),
    ("Handover | Wait until the pod has caught up", 1),
    ("Cutover | Check that every pod has taken over", 1),
    ("Service | Point it to the pods", 1),
]


def killed(task: str, nth: int, log: Path) -> None:
    killed_at(
        task, nth, log, "playbooks/migrate.yml", "-e", "confirm=true", "-e", "raft_migration_take_over=true", *ROLLING
    )


@pytest.mark.longer
@pytest.mark.parametrize("profile", ["full", "upstream"])
def test_a_migration_killed_in_every_turn_goes_on_where_it_was(
    old_world: Callable[[str], list[str]], tmp_path: Path, profile: str
) -> None:
    names = old_world(profile)
    with rehearsal.witnessed(tmp_path) as witness:
        for number, (task, nth) in enumerate(KILLS):
            killed(task, nth, tmp_path / f"killed-{number}.log")
            assert_one_daemon_each(names, f"after a kill at {task!r}")
        forth(tmp_path / "forth.log", "-e", "raft_migration_take_over=true", show=True)
    assert_migrated(names)
    judged(witness, profile)


@pytest.mark.longer
@pytest.mark.parametrize(("task", "nth"), KILLS[:3])
def test_back_from_the_middle_of_a_turn(
    old_world: Callable[[str], list[str]], tmp_path: Path, task: str, nth: int
) -> None:
    names = old_world("full")
    with rehearsal.witnessed(tmp_path) as witness:
        killed(task, nth, tmp_path / "killed.log")
        run = rehearsal.run_playbook(
            "playbooks/rollback.yml", "-e", "raft_migration_take_over=true", log=tmp_path / "back.log", show=True
        )
        assert run.returncode == 0, run.output[-4000:]
    assert_old_world(names)
    judged(witness, "full")


@pytest.mark.longer
def test_a_member_without_a_vote_has_its_turn_and_stays_one(
    old_world: Callable[[str], list[str]], tmp_path: Path
) -> None:
    names = old_world("full")
    lab = files.require()
    leads = cluster.leader(lab.nodes[0])
    # The neighbour of the leader's Pi, so its clients are routed to it while leadership has to go elsewhere.
    number = next(place for place, node in enumerate(lab.nodes) if f"{node.address}:9091" == leads)
    leader, learner = lab.nodes[number], lab.nodes[(number + 1) % len(lab.nodes)]
    cluster.request(leader, "DELETE", f"/api/v1/raft/members/{learner.name}")
    member = {"node_id": learner.name, "address": f"{learner.address}:9091", "voter": False}
    cluster.request(leader, "POST", "/api/v1/raft/members", member)
    cluster.wait_caught_up(lab)
    try:
        with rehearsal.witnessed(tmp_path) as witness:
            forth(tmp_path / "forth.log", show=True)
            assert_migrated(names, [learner.name])
            run = rehearsal.run_playbook("playbooks/rollback.yml", log=tmp_path / "back.log", show=True)
            assert run.returncode == 0, run.output[-4000:]
    finally:
        rehearsal.spoil(names)
    assert_old_world(names)
    # Two voters of three: without one of them no write is taken until it is back.
    judged(witness, "upstream")
    voters = {member["ID"]: member["Voter"] for member in on.raft_status(on.host(names[0]), 8080)["members"]}
    assert voters == {name: name != learner.name for name in names}


# An image that starts in the trial, on the temporary ports, and ends with an error on the standard ones.
NO_START = {"PI_CONTROLLER_DATABASE_PATH": "/proc/no-such-folder/pi-controller.db"}


@pytest.mark.parametrize("auto_rollback", [pytest.param(False, marks=pytest.mark.longer), True])
def test_a_pod_that_does_not_start_gives_its_data_back(tmp_path: Path, auto_rollback: bool) -> None:
    names = rehearsal.old_world("full", rolled_back=True)
    unable = rehearsal.strategy_arguments(
        "rolling",
        standard_env=NO_START,
        safety={"auto_rollback_on_error": auto_rollback},
        timeouts={"health_timeout": "20s"},
    )
    with rehearsal.witnessed(tmp_path) as witness:
        run = rehearsal.run_playbook(
            "playbooks/migrate.yml", "-e", "confirm=true", *unable, log=tmp_path / "forth.log", show=True
        )
        assert run.returncode != 0
        assert "Its unit was started again and has caught up" in run.output
        assert_old_world(names)
    judged(witness, "full")
    if auto_rollback:
        assert "The migration was rolled back" in run.output
        return
    assert "The migration is paused" in run.output
    forth(tmp_path / "again.log")
    assert_migrated(names)

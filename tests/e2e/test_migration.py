# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole path on real hosts, there and back Pi by Pi, under traffic: judged by the witness and by looking at the hosts.

A test that starts where another has ended comes after it: see tests/e2e/conftest.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.e2e import hosts as on
from tests.e2e import pace, rehearsal, reports
from tests.e2e.looks import look
from tests.e2e.way_back import ARCHIVE_PUT_ASIDE, ELECTED, HANDED_OVER, STANDARD, TEMPORARY, back
from tests.lab import cluster
from tests.lab import state as files


def assert_migrated(names: list[str]) -> None:
    """One pod a Pi on the standard ports, the unit gone, the archive there, no rule left behind."""
    members = set()
    for name in names:
        pi = on.host(name)
        listening = on.listening(pi)
        assert listening.issuperset(STANDARD), f"{name}: {listening}"
        assert listening.isdisjoint(TEMPORARY), f"{name}: {listening}"
        enabled, active = on.unit_state(pi)
        assert enabled in ("masked", "not-found"), f"{name}: {enabled}"
        assert active == "inactive", f"{name}: {active}"
        assert len(pi.process.filter(comm="pi-controller")) == 1, f"{name}: more or less than one daemon"
        archive = pi.file("/var/lib/pi-controller.systemd.backup")
        assert archive.is_directory
        assert pi.file(f"{archive.path}/pi-controller.db").is_file
        assert not pi.file("/var/lib/pi-controller").exists
        assert on.gate_rules(pi) == []
        backups = pi.file("/var/backups/pi-controller-migration")
        assert (backups.mode, backups.user) == (0o700, "root")
        # The unit file keeps its mode and owner, which the rollback gives it again; others cannot enter the folder.
        assert (
            pi.run_expect(
                [0], f"find {backups.path} -type f -perm /077 ! -path {backups.path}/pi-controller.service"
            ).stdout
            == ""
        )
        assert (pi.file(f"{backups.path}/pi-controller.service").mode, archive.user) == (0o644, "root")
        members |= {
            (member["ID"], member["Address"], member["Voter"]) for member in on.raft_status(pi, 8080)["members"]
        }
    addresses = {node["name"]: node["address"] for node in rehearsal.lab_state()["nodes"]}
    assert members == {(name, f"{addresses[name]}:9091", True) for name in names}


def restarts() -> list[int]:
    """How often each container of the DaemonSet's pods was restarted by the kubelet."""
    pods = rehearsal.kubectl_json("-n", "pi-controller", "get", "pods")["items"]
    return [container["restartCount"] for pod in pods for container in pod["status"]["containerStatuses"]]


def test_prepare_starts_pods_beside_units_that_serve_on() -> None:
    rehearsal.reached("full", ["prepare"])
    look("prepare")


def test_transfer_builds_a_second_cluster_of_the_same_content(tmp_path: Path) -> None:
    rehearsal.reached("full", ["prepare"])
    run = rehearsal.run_playbook("playbooks/transfer.yml", log=tmp_path / "transfer.log")
    assert run.returncode == 0, run.output[-4000:]
    look("transfer")


def test_full_profile_migrates_in_one_go(old_world: Callable[[str], list[str]], tmp_path: Path) -> None:
    names = old_world("full")
    with rehearsal.witnessed(tmp_path) as witness:
        run = rehearsal.run_playbook(
            "playbooks/migrate.yml", "-e", "confirm=true", log=tmp_path / "ansible.log", show=True
        )
    assert run.returncode == 0, run.output[-4000:]
    assert run.tasks <= rehearsal.MOST_TASKS["parallel"]
    assert rehearsal.alerts(run) == [], "the quorum watch found trouble in a calm migration"
    verdict, summary = witness.judge(pace.here(rehearsal.CALM), *rehearsal.phases(tmp_path, names))
    print(summary)
    assert verdict["ok"], summary
    report = reports.checked(reports.newest())
    assert (report["outcome"], report["figures"]["pod_restarts"]) == ("migrated", 0)
    assert_migrated(names)
    assert restarts() == [0] * len(names)
    kept = "find /run/pi-controller-migration -name 'traffic_gate.*.pyc'"
    assert all(rehearsal.on_host(name, kept) for name in names), "the gate was set by code that is kept"
    look("cleanup")
    print({phase: round(seconds, 1) for phase, seconds in rehearsal.phase_seconds(names).items()})


def test_back_pi_by_pi_from_the_end_no_read_fails(migrated: Callable[[str], list[str]], tmp_path: Path) -> None:
    """A client that reads or writes does not notice. (That a second rollback finds nothing to do is Molecule's to show.)"""
    names = migrated("full")
    # The units have never seen this row; the rollback must carry it.
    pods_leader = files.require().node(on.leader(names))
    cluster.request(pods_leader, "POST", "/api/v1/nodes", {"name": "written-to-the-pods"})
    with rehearsal.witnessed(tmp_path) as witness:
        run = back(names, tmp_path / "back.log", put_aside=ARCHIVE_PUT_ASIDE)
    for name in names:
        assert run.output.count(f"Rollback | Start the unit on {name}") == 1, name
    verdict, summary = witness.judge(pace.here(HANDED_OVER))
    print(summary)
    assert verdict["ok"], summary
    look("rollback")


def test_upstream_profile_migrates_tag_by_tag(old_world: Callable[[str], list[str]], tmp_path: Path) -> None:
    names = old_world("upstream")
    old_leader = on.leader(names)
    done: list[str] = []
    # Up to the confirmation, which the first run does not have.
    steps = {
        "prepare,transfer,validate,cutover": ["prepare", "transfer", "validate"],
        "cutover": ["cutover"],
        "complete": ["systemd_shutdown", "port_migration", "cleanup"],
    }
    with rehearsal.witnessed(tmp_path) as witness:
        for tag, phases in steps.items():
            confirmed = ["-e", "confirm=true"] if done else []
            run = rehearsal.run_playbook(
                "playbooks/migrate.yml", "--tags", tag, *confirmed, log=tmp_path / f"{tag}.log", show=True
            )
            assert (run.returncode == 0) == bool(done), run.output[-4000:]
            if not done:
                assert "confirm=true" in run.output
                assert "-paused/migration-report.html" in run.output, (
                    "it has not begun the cutover, and ends with a report"
                )
                assert set(on.gate_rules(on.host(names[0]))) == set()
            assert rehearsal.alerts(run) == [], f"the quorum watch found trouble in a calm {tag}"
            done += phases
            recorded = rehearsal.journal(names[0])["phases"]
            assert {phase for phase, entry in recorded.items() if entry["state"] == "done"} == set(done)
            assert set(recorded) == set(done), "a tag has begun a phase that is not its own"
    verdict, summary = witness.judge(
        pace.here(rehearsal.CALM_UPSTREAM), *rehearsal.phases(tmp_path, names), *rehearsal.price_of_upstream(old_leader)
    )
    print(summary)
    assert verdict["ok"], summary
    assert_migrated(names)
    for name in names:
        # Had it any optional call, this would be the migration above once more.
        assert on.optional_calls(on.host(name)) == {"capabilities": 404, "read-only": 404}, name
    print({phase: round(seconds, 1) for phase, seconds in rehearsal.phase_seconds(names).items()})


def test_back_pi_by_pi_without_leadership_transfer_no_read_fails(
    migrated: Callable[[str], list[str]], tmp_path: Path
) -> None:
    names = migrated("upstream")
    with rehearsal.witnessed(tmp_path) as witness:
        back(names, tmp_path / "back.log", put_aside=ARCHIVE_PUT_ASIDE)
    verdict, summary = witness.judge(pace.here(ELECTED), *rehearsal.UPSTREAM_LAGS)
    print(summary)
    assert verdict["ok"], summary


def test_without_the_fence_the_witness_convicts(tmp_path: Path) -> None:
    """The same flip with fence and comparison left out: acknowledged writes must be lost, and the witness must say so."""
    rehearsal.reached("full", ["prepare", "transfer"])
    with rehearsal.witnessed(tmp_path) as witness:
        run = rehearsal.run_playbook("tests/e2e/cutover_without_fence.yml", log=tmp_path / "unfenced.log", show=True)
        assert run.returncode == 0, run.output[-4000:]
    verdict, summary = witness.judge(pace.here(rehearsal.CALM))
    print(summary)
    assert not verdict["ok"]
    assert any("lost" in finding["kind"] for finding in verdict["findings"]), summary

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
import report_inputs as given
from conftest import import_plugin

status_of = import_plugin("module_utils._report.status")
text_of = import_plugin("module_utils._report.status_text")
words = import_plugin("module_utils._core.words")
NOW = given.BEGAN + 140


def reported(hosts: dict[str, Any], kube: dict[str, Any] | None = None) -> dict[str, Any]:
    return status_of.assemble_status(hosts, kube or given.kube(), given.CONFIG, NOW)


def everywhere(**more: Any) -> dict[str, Any]:
    return {name: given.host(name, **more) for name in given.NAMES}


def lease(age: float = 5.0) -> dict[str, Any]:
    return {
        "name": "pi-controller-raft-migration",
        "holder": "anna@laptop",
        "acquired": None,
        "renewed": given.iso(140 - age).replace("+00:00", ".000000Z"),
        "duration_seconds": 30,
    }


def test_before_a_migration_systemd_serves() -> None:
    status = reported(everywhere())
    assert (status["state"], status["phase"]) == ("not_started", "prepare")
    assert status["traffic"]["served_by"] == "systemd"
    assert status["next"]["command"] == "ansible-playbook pi_controller.raft_migration.migrate -i INVENTORY"
    assert status["clusters"]["old"]["leader"] == "pi-1"
    assert not status["clusters"]["new"]["exists"]


def test_the_holder_of_the_port_distinguishes_both_clusters() -> None:
    status = reported(everywhere(temporary="pod", written=given.journal("validate")))
    old, new = status["clusters"]["old"], status["clusters"]["new"]
    assert (old["leader"], old["term"], old["quorate"]) == ("pi-1", 2, True)
    assert (new["leader"], new["term"], new["quorate"]) == ("pi-2", 4, True)
    assert [member["address"] for member in new["members"]] == [f"10.77.0.{number}:9092" for number in (11, 12, 13)]
    assert {member["host"]: member["lag"] for member in old["members"]} == {"pi-1": 0, "pi-2": 0, "pi-3": 2}


def test_pods_without_a_cluster_are_not_called_one() -> None:
    hosts = everywhere(temporary="pod", written=given.journal("prepare"))
    for info in hosts.values():
        info["daemons"][1]["status"] = {"state": "Follower", "members": [], "raft_stats": {"term": "0"}}
    status = reported(hosts)
    assert (
        status["clusters"]["new"]["exists"],
        status["clusters"]["new"]["members"],
        status["clusters"]["new"]["quorate"],
    ) == (True, [], False)
    assert "  3 daemons without a cluster yet" in text_of.render(status)


def test_redirected_routes_to_the_pod_forwarded_to_a_neighbour() -> None:
    hosts = {
        "pi-1": given.host("pi-1", standard="unit", temporary="pod", gate="redirected"),
        "pi-2": given.host("pi-2", standard=None, temporary=None, gate="forwarded", forward_to="10.77.0.11"),
        "pi-3": given.host("pi-3", standard="unit", gate="fenced"),
    }
    status = reported(hosts)
    assert {name: host["reaches"] for name, host in status["traffic"]["hosts"].items()} == {
        "pi-1": "pod on pi-1",
        "pi-2": "pod on pi-1",
        "pi-3": "nothing",
    }
    assert [target["reaches"] for target in status["traffic"]["service"]["routes_to"]] == [
        "pod on pi-1",
        "pod on pi-1",
        "nothing",
    ]
    assert status["traffic"]["served_by"] == "pods"
    assert status["traffic"]["clients"] == {
        "systemd": [],
        "pods": ["pi-1", "pi-2"],
        "other": [],
        "nothing": ["pi-3"],
        "unknown": [],
    }
    assert "Served by: pods; clients of pi-3 reach nothing" in text_of.render(status)


def test_k2_the_rest_port_is_found_whatever_the_owner_names_it() -> None:
    kube = given.kube()
    for endpoint in kube["service"]["endpoints"]:
        endpoint["ports"] = {"api": 9090, "http": 8080}
    status = reported(everywhere(), kube)
    assert [target["endpoint"] for target in status["traffic"]["service"]["routes_to"]] == [
        f"{given.address(name)}:8080" for name in given.NAMES
    ]


def test_a_service_target_is_its_pi_in_any_spelling() -> None:
    hosts = everywhere()
    hosts["pi-1"]["address"] = "fd00:0:0::11"
    kube = given.kube()
    kube["service"]["endpoints"][0]["ip"] = "fd00::11"
    assert reported(hosts, kube)["traffic"]["service"]["routes_to"][0]["reaches"] == "unit on pi-1"


def test_a_target_at_an_address_of_no_pi_is_not_an_unseen_service() -> None:
    kube = given.kube()
    kube["service"]["endpoints"][0]["ip"] = "10.99.0.1"
    traffic = reported(everywhere(), kube)["traffic"]
    assert (traffic["served_by"], traffic["clients"]["unknown"]) == ("systemd", [])


def test_two_pis_that_forward_to_each_other_end_somewhere() -> None:
    hosts = {
        "pi-1": given.host("pi-1", gate="forwarded", forward_to="10.77.0.12"),
        "pi-2": given.host("pi-2", gate="forwarded", forward_to="10.77.0.11"),
    }
    assert status_of.way("pi-1", hosts, given.CONFIG).startswith("forwarded to")
    hosts["pi-1"]["gate"] = {"state": "lapsed", "forward_to": None}
    assert status_of.way("pi-1", hosts, given.CONFIG) == "unit on pi-1", "its lease has ended"


@pytest.mark.parametrize(
    ("until", "failed", "held", "state", "phase", "command"),
    [
        ("prepare", None, None, "paused", "transfer", "--tags transfer"),
        ("validate", None, None, "paused", "cutover", "--tags cutover -e confirm=true"),
        ("cutover", "cutover", None, "failed", "cutover", "--tags cutover -e confirm=true"),
        ("cutover", None, None, "paused", "systemd_shutdown", "--tags complete"),
        ("port_migration", None, 5.0, "running", "cleanup", None),
        ("port_migration", None, 50.0, "paused", "cleanup", "--tags complete"),
        ("cleanup", None, None, "migrated", None, None),
    ],
)
def test_the_next_command(
    until: str, failed: str | None, held: float | None, state: str, phase: str | None, command: str | None
) -> None:
    status = reported(everywhere(written=given.journal(until, failed)), given.kube(lock=lease(held) if held else None))
    assert (status["state"], status["phase"]) == (state, phase)
    found = status["next"]["command"]
    assert found == command if command is None else found.endswith(command)


def test_a_killed_phase_is_interrupted_unless_a_run_holds_the_lock() -> None:
    hosts = everywhere(written=given.journal("transfer"))
    for info in hosts.values():
        info["journal"]["phases"]["transfer"]["state"] = "started"
    assert reported(hosts)["state"] == "interrupted"
    status = reported(hosts, given.kube(lock=lease(5)))
    assert status["state"] == "running"
    assert "anna@laptop holds the lock" in status["next"]["why"]


@pytest.mark.parametrize("state", ["started", "done"])
def test_where_the_lock_was_not_read_a_run_may_be_at_work(state: str) -> None:
    """In a phase or between two; a command would be one too many."""
    hosts = everywhere(written=given.journal("transfer"))
    for info in hosts.values():
        info["journal"]["phases"]["transfer"]["state"] = state
    kube = {**given.kube(), "lock_read": False, "faults": ["the Kubernetes API is unreachable"]}
    status = reported(hosts, kube)
    assert (status["state"], status["owner"], status["owner_known"]) == ("started", None, False)
    assert (status["next"]["command"], status["next"]["back"]) == (None, None)
    text = text_of.render(status)
    assert "Owner:     unknown (Kubernetes did not answer)" in text
    assert text[0].startswith("Migration: started; whether a run is at work is unknown at ")
    assert "no run holds the lock" not in "\n".join(text)


def test_a_rollback_whose_lock_was_not_read_may_be_under_way() -> None:
    hosts = everywhere(written=given.journal("transfer"))
    for info in hosts.values():
        info["journal"]["phases"]["rollback"] = {"state": "started", "started": None, "finished": None, "facts": {}}
    status = reported(hosts, {**given.kube(), "lock_read": False})
    assert (status["state"], status["phase"], status["next"]["command"]) == ("started", "rollback", None)


def test_a_lock_that_is_not_renewed_expires() -> None:
    assert status_of.owner(given.kube(), NOW) is None
    assert not status_of.owner(given.kube(lock=lease(29)), NOW)["expired"]
    assert status_of.owner(given.kube(lock=lease(31)), NOW)["expired"]


def test_pis_at_different_phases_are_named() -> None:
    hosts = everywhere(written=given.journal("systemd_shutdown"))
    hosts["pi-2"]["journal"] = given.journal("port_migration")
    status = reported(hosts)
    assert status["phases"]["port_migration"]["state"] == "started"
    assert status["phases"]["port_migration"]["hosts"] == {"pi-1": "pending", "pi-2": "done", "pi-3": "pending"}
    assert "pi-1 pending, pi-2 done, pi-3 pending" in "\n".join(text_of.render(status))


def test_a_pi_that_cannot_be_seen_does_not_hide_the_others() -> None:
    hosts = {**everywhere(written=given.journal("validate")), "pi-3": {"error": "unreachable", "address": "10.77.0.13"}}
    status = reported(hosts)
    assert status["state"] == "paused"
    assert status["traffic"]["hosts"]["pi-3"]["reaches"] == "unknown"
    assert status["clusters"]["old"]["answering"] == 2
    assert "pi-3: unreachable" in status["faults"]
    assert "pi-3 did not answer" in status["next"]["why"]
    table = [line.rstrip() for line in text_of.render(status)]
    assert "  pi-3: unreachable" in table
    assert status["not_seen"] == ["pi-3"]
    assert "  pi-3  unknown" in table[table.index("BACKUPS") :], "whether it has a backup is not known"


def test_nothing_at_all_can_be_seen() -> None:
    status = reported({name: {"error": "unreachable", "address": name} for name in given.NAMES}, {"faults": ["no API"]})
    assert status["traffic"]["served_by"] == "unknown"
    assert len(status["faults"]) == 4
    assert (status["state"], status["phase"], status["next"]["command"]) == ("unknown", None, None)
    text = "\n".join(text_of.render(status))
    assert "nothing has been changed" not in text, "that is not known"
    assert "free" not in text
    assert "no daemon" not in text


def test_a_rollback_that_stopped_comes_first() -> None:
    hosts = everywhere(written=given.journal("cutover"))
    for info in hosts.values():
        info["journal"]["phases"]["rollback"] = {
            "state": "failed",
            "started": given.iso(90),
            "finished": given.iso(99),
            "facts": {},
        }
    status = reported(hosts)
    command = "ansible-playbook pi_controller.raft_migration.rollback -i INVENTORY"
    assert (status["state"], status["next"]["command"]) == ("rollback_unfinished", command)


def test_the_newest_backup_and_its_age() -> None:
    assert reported(everywhere())["backups"]["oldest_age_seconds"] == 120.0


def test_the_table_fits_a_terminal() -> None:
    lines = text_of.render(
        reported(everywhere(temporary="pod", written=given.journal("validate")), given.kube(lock=lease(50)))
    )
    assert max(map(len, lines)) <= 120
    assert "Owner:     anna@laptop (expired, renewed 50.0 s ago)" in lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.0024, "2.4 ms"),
        (0.842, "842 ms"),
        (0.9996, "1.0 s"),
        (59.96, "1 min 00 s"),
        (67, "1 min 07 s"),
        (11100, "3 h 05 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_durations_for_people(value: float | None, text: str) -> None:
    assert words.seconds(value) == text


def test_pi_by_pi_units_and_pods_are_one_cluster() -> None:
    """Either has its majority with the other; none of them alone would be a quorum."""
    status = reported(given.rolling(done=2))
    assert (status["strategy"], status["state"], status["phase"]) == ("rolling", "interrupted", "cutover")
    assert list(status["phases"]) == ["prepare", "transfer", "validate", "cutover", "cleanup"]
    for cluster in status["clusters"].values():
        assert (cluster["quorate"], cluster["answering"], len(cluster["members"])) == (True, 3, 3)
    assert [host["reaches"] for host in status["traffic"]["hosts"].values()] == [
        "pod on pi-1",
        "pod on pi-2",
        "unit on pi-3",
    ]


def test_pi_by_pi_a_side_without_a_daemon_does_not_exist() -> None:
    assert not reported(given.rolling(done=0))["clusters"]["new"]["exists"]
    assert not reported(given.rolling(done=3))["clusters"]["old"]["exists"]
    status = reported(given.rolling(done=3, until="cleanup", state="done"))
    assert (status["state"], status["traffic"]["served_by"]) == ("migrated", "pods")


def test_before_anything_the_configured_strategy_counts() -> None:
    status = status_of.assemble_status(everywhere(), given.kube(), {**given.CONFIG, "strategy": "rolling"}, NOW)
    assert list(status["phases"]) == ["prepare", "transfer", "validate", "cutover", "cleanup"]

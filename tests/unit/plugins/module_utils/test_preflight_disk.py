# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Room for the copies that the migration makes, as pre-flight counts it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import preflight_world as world
import pytest
import yaml
from conftest import CHECKOUT, import_plugin

leftovers = import_plugin("module_utils._core.leftovers")
preflight = import_plugin("module_utils._preflight.judge")
disk = import_plugin("module_utils._preflight.disk")
MIB = world.MIB


def findings(free: int, database: int, way: str = "api", **changes: Any) -> list[Any]:
    seen = world.host("pi-1")
    for path in seen["paths"].values():
        path["free"] = free * MIB
    seen["database"]["bytes"] = database * MIB
    seen.update(changes)
    return list(disk.disk_findings("pi-1", seen, way))


def test_p11_a_database_of_137_mb_does_not_pass_with_735_mb_free():
    """Seen on a Pi: it did, and transfer filled the disk beside the unit that was alive on it."""
    (finding,) = findings(735, 137)
    assert finding.level == "error"
    assert "rollback" in finding.wanted
    assert "137 MiB" in finding.wanted


@pytest.mark.parametrize(
    ("way", "phase", "copies"),
    [
        ("api", "prepare", 3),
        ("api", "transfer", 9),
        ("api", "cutover", 12),
        ("api", "rollback", 15),
        ("sqlite", "prepare", 2),
        ("sqlite", "transfer", 6),
        ("sqlite", "cutover", 10),
        ("sqlite", "rollback", 12),
        ("rolling", "prepare", 5),
    ],
)
def test_p11_each_phase_has_its_peak(way: str, phase: str, copies: int):
    assert max(sum(each.values()) for name, each in disk.STEPS[way] if name == phase) == copies


@pytest.mark.parametrize(("way", "copies"), [("api", 15), ("sqlite", 12), ("rolling", 5)])
def test_p11_exactly_what_is_needed_is_enough(way: str, copies: int):
    assert findings(copies * 20 + 64, 20, way) == []
    (finding,) = findings(copies * 20 + 63, 20, way)
    assert finding.fix.startswith("free 1.0 MiB")


def test_p11_a_rollback_after_the_opening_has_its_room():
    """The cutover alone would have enough, and nothing would be left to roll back with."""
    (finding,) = findings(12 * 20 + 64, 20)
    assert "in rollback" in finding.wanted


@pytest.mark.parametrize(
    ("capabilities", "copies"), [(["restore", "snapshot"], 15), (["snapshot"], 12), (["transfer"], 12), (None, 15)]
)
def test_p11_the_daemons_calls_say_which_copies_there_will_be(capabilities: list[str] | None, copies: int):
    def found(free: int) -> list[str]:
        seen = world.healthy()
        for view in seen["cluster"].values():
            view["capabilities"] = capabilities
            if capabilities is None:
                del view["capabilities"]
        for path in seen["host"]["pi-2"]["paths"].values():
            path["free"] = free * MIB
        seen["host"]["pi-2"]["database"]["bytes"] = 20 * MIB
        evaluated = preflight.evaluate(seen, world.settings(), world.owner())
        return [finding.check for finding in evaluated if finding.check.startswith("disk")]

    assert found(copies * 20 + 64) == []
    assert found(copies * 20 + 63) == ["disk for backup_path, pod_data_dir"]


def below_backup_path(task: dict[str, Any], carry_dir: str) -> Iterator[str]:
    for options in task.values():
        dest = options.get("dest", "") if isinstance(options, dict) else ""
        for start in ("{{ raft_migration.backup_path }}/", "{{ raft_migration_back_dir }}/"):
            if dest.startswith(start):
                name = dest[len(start) :].replace("{{ raft_migration_carry_dir }}", carry_dir)
                yield f"rollback/{name}" if "back_dir" in start else name
        if dest == "{{ raft_migration_handed }}":
            yield "rollback.state"


@pytest.mark.parametrize("way", ["api", "sqlite"])
def test_p11_the_copies_that_the_roles_write_are_counted(way: str):
    def written(path: str, carry_dir: str = "") -> list[str]:
        tasks = yaml.safe_load((CHECKOUT / "roles" / path).read_text())
        return [name for task in tasks for name in below_backup_path(task, carry_dir)]

    expected = {
        # The manifest is no copy.
        "prepare": [name for name in written("prepare/tasks/backup.yml") if not name.endswith(".json")],
        **{phase: written(f"cluster/tasks/carry_{way}.yml", phase) for phase in ("transfer", "cutover")},
        "rollback": [*written(f"rollback/tasks/save_{way}.yml"), *written("rollback/tasks/save.yml")],
    }
    assert {phase: list(names) for phase, names in disk.NAMES[way].items()} == expected
    if way == "api":
        assert written("cutover/tasks/fence_read-only.yml") == expected["cutover"]
    # And each phase counts them all, with those of the phases before it.
    there = 0
    for phase, names in disk.NAMES[way].items():
        there += len(names)
        assert max(copies["backup_path"] for name, copies in disk.STEPS[way] if name == phase) == there


def test_p11_the_playbook_clean_removes_what_counts_as_left():
    for name in disk.HELD["backup_path"]:
        assert name.split("/")[0] in leftovers.COPIES


def test_p11_the_disk_of_the_unit_is_counted_where_it_is_alone():
    seen = world.host("pi-1")
    seen["paths"]["data_dir"].update(device=7, free=100 * MIB, existing="/var/lib/pi-controller")
    seen["database"]["bytes"] = 20 * MIB
    (finding,) = disk.disk_findings("pi-1", seen, "api")
    assert finding.check == "disk for data_dir"
    assert finding.wanted.startswith("164 MiB")


def left_behind(*phases: str, way: str = "api", each: int = 20) -> dict[str, dict[str, int]]:
    """By a run of this way that came as far as the last of these phases."""
    names = [name for phase in phases for name in disk.NAMES[way][phase]]
    return {"backup_path": {**dict.fromkeys(disk.HELD["backup_path"], 0), **dict.fromkeys(names, each * MIB)}}


def test_p11_what_an_earlier_run_left_is_not_asked_for_again():
    """Else a Pi whose first try used the space could not try again. One of each is written anew, and the unit's are new."""
    left = {**left_behind("prepare", "transfer", "cutover"), "pod_data_dir": {".": 80 * MIB}}
    # In the rollback: three of its fifteen copies, and the four of the pods but one. In the cutover five of twelve, as the pods have six there.
    assert findings(8 * 20 + 64, 20, held_bytes=left) == []
    (finding,) = findings(8 * 20 + 63, 20, held_bytes=left)
    assert "of an earlier run" in finding.wanted


@pytest.mark.parametrize(
    ("left", "copies"),
    [
        # Nothing writes the copies of the other way anew.
        (left_behind("transfer", "cutover", way="sqlite"), 15),
        (left_behind("rollback"), 13),
        # Copies of a larger database, which are still there in the cutover.
        (left_behind("rollback", each=60), 12),
        ({"backup_path": {"prepare/pi-controller.db": 5000 * MIB}}, 10),
    ],
)
def test_p11_only_what_the_run_writes_anew_gives_its_room(left: dict[str, dict[str, int]], copies: int):
    assert findings(copies * 20 + 64, 20, held_bytes=left) == []
    assert len(findings(copies * 20 + 63, 20, held_bytes=left)) == 1

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Room for the copies that the migration makes, as pre-flight counts it."""

from __future__ import annotations

from typing import Any

import preflight_world as world
import pytest
from conftest import import_plugin

disk = import_plugin("module_utils._preflight.disk")
MIB = world.MIB


def findings(free: int, database: int, **changes: Any) -> list[Any]:
    seen = world.host("pi-1")
    for path in seen["paths"].values():
        path["free"] = free * MIB
    seen["database"]["bytes"] = database * MIB
    seen.update(changes)
    return list(disk.disk_findings("pi-1", seen, "parallel"))


def test_p11_a_database_of_137_mb_does_not_pass_with_735_mb_free():
    """Seen on a Pi: it did, and transfer filled the disk beside the unit that was alive on it."""
    (finding,) = findings(735, 137)
    assert finding.level == "error"
    assert "cutover" in finding.wanted
    assert "137 MiB" in finding.wanted


@pytest.mark.parametrize(("phase", "copies"), [("prepare", 3), ("transfer", 9), ("cutover", 12)])
def test_p11_each_phase_has_its_peak(phase, copies):
    assert max(sum(each.values()) for name, each in disk.STEPS["parallel"] if name == phase) == copies


def test_p11_exactly_what_is_needed_is_enough():
    assert findings(12 * 20 + 64, 20) == []
    (finding,) = findings(12 * 20 + 63, 20)
    assert finding.fix.startswith("free 1.0 MiB")


def test_p11_the_disk_of_the_unit_is_counted_where_it_is_alone():
    seen = world.host("pi-1")
    seen["paths"]["data_dir"].update(device=7, free=100 * MIB, existing="/var/lib/pi-controller")
    seen["database"]["bytes"] = 20 * MIB
    (finding,) = disk.disk_findings("pi-1", seen, "parallel")
    assert finding.check == "disk for data_dir"
    assert finding.wanted.startswith("144 MiB")


def test_p11_what_an_earlier_run_left_is_not_asked_for_again():
    """Else a Pi whose first try used the space could not try again. One of each is written anew, and the unit's are new."""
    left = {"backup_path": 80 * MIB, "pod_data_dir": 120 * MIB}
    assert findings(6 * 20 + 64, 20) != []
    assert findings(6 * 20 + 64, 20, held_bytes=left) == []
    (finding,) = findings(6 * 20 + 63, 20, held_bytes=left)
    assert "of an earlier run" in finding.wanted


def test_p11_other_files_in_a_folder_are_not_taken_for_copies():
    (finding,) = findings(163, 20, held_bytes={"backup_path": 5000 * MIB, "pod_data_dir": 0})
    assert finding.wanted.startswith("244 MiB")

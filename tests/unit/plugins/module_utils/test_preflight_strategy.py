# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import preflight_world as world
import pytest
from conftest import import_plugin

disk = import_plugin("module_utils._preflight.disk")
strategy = import_plugin("module_utils._preflight.strategy")
planning = import_plugin("module_utils._preflight.plan")
MIB = world.MIB


def findings(seen: dict[str, Any], way: str = "rolling") -> list[Any]:
    plan = planning.make_plan(world.config.resolve({"strategy": way}), world.owner(), {})
    return list(strategy.strategy_findings(plan, {"pi-1": seen}))


def broken(change: dict[str, Any], name: str = "pod_data_dir") -> dict[str, Any]:
    seen = world.host("pi-1")
    seen["paths"][name].update(change)
    return seen


def test_a_healthy_pi_can_hand_its_data_over():
    assert findings(world.host("pi-1")) == []


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        # Even an empty one: the pod, which waits for it, would start beside the unit.
        (broken({"kind": "folder", "entries": 0}), "/var/lib/pi-controller-pods exists"),
        (broken({"device": 2}), "it is on /, /var/lib/pi-controller on / (another file system)"),
        # The same file system by another way: its number is the same, and a rename fails.
        (broken({"mount": "/srv"}), "it is on /srv, /var/lib/pi-controller on /"),
        (broken({"is_mount_point": True}, "data_dir"), "/var/lib/pi-controller is a mount point"),
        (broken({"mounts_inside": ["/var/lib/pi-controller/raft"]}, "data_dir"), "or contains one"),
    ],
)
def test_p6_what_keeps_a_folder_from_being_renamed_is_an_error(seen, text):
    (finding,) = findings(seen)
    assert text in finding.seen
    assert finding.level == "error"
    assert findings(seen, "parallel") == []


def test_pi_by_pi_there_are_fewer_copies():
    seen = world.host("pi-1")
    seen["database"]["bytes"] = 137 * MIB
    assert [finding.check for finding in disk.disk_findings("pi-1", seen, "api")] == [
        "disk for backup_path, pod_data_dir"
    ]
    assert list(disk.disk_findings("pi-1", seen, "rolling")) == []

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mounts as the kernel lists them, and what pre-flight says about them."""

from __future__ import annotations

from typing import Any

import preflight_world as world
import pytest
from conftest import import_plugin

mounts = import_plugin("module_utils._core.mounts")
paths = import_plugin("module_utils._core.paths")
disk = import_plugin("module_utils._preflight.disk")
judged = import_plugin("module_utils._preflight.mounts")
preflight = import_plugin("module_utils._preflight.judge")
DISK = "23 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"
# A disk, a bind mount of a folder of the same file system, and a name with a space.
MORE = (
    DISK
    + "40 23 8:1 / /mnt/ssd rw shared:9 - ext4 /dev/sda1 rw\n"
    + "41 23 179:2 /srv/data /var/lib/pi-controller rw - ext4 /dev/mmcblk0p2 rw\n"
    + "42 41 8:1 /wal /var/lib/pi-controller/my\\040raft rw - ext4 /dev/sda1 rw\n"
)
OVERLAY = "23 1 0:21 / / rw - overlay {source} rw,lowerdir=/lower,upperdir={upper},workdir=/w\n"
MEMORY = "24 23 0:22 / /media/root-rw rw - tmpfs tmpfs rw\n"


def test_p6_a_bind_mount_and_a_mount_inside_are_seen():
    found = mounts.parse(MORE)
    assert mounts.at("/var/lib/pi-controller", found).root == "/srv/data"
    assert mounts.below("/var/lib/pi-controller", found) == ["/var/lib/pi-controller/my raft"]
    assert mounts.below("/var/lib/pi", found) == []
    assert mounts.holding("/var/lib/pi-controller.systemd.backup", found).point == "/"
    assert mounts.holding("/mnt/ssd/x", found).point == "/mnt/ssd"


RUN = "25 23 0:23 / /run rw - tmpfs tmpfs rw\n"
KEPT = "26 25 8:1 / /run/rw rw - ext4 /dev/sda1 rw\n"
ETC_OVER = "44 23 0:41 / /etc rw - overlay etc rw,lowerdir=/etc,upperdir=/run/rw/up,workdir=/run/rw/w\n"
ZRAM = "45 23 254:0 / /var/tmp rw - ext4 /dev/zram0 rw\n"
TMPFS = "43 23 0:40 / /var/tmp rw - tmpfs tmpfs rw\n"


@pytest.mark.parametrize(
    ("path", "text", "seen"),
    [
        ("/var/tmp", DISK, None),
        ("/var/tmp", DISK + TMPFS, "/var/tmp is on tmpfs, which is memory"),
        ("/var/lib", DISK + TMPFS, None),
        ("/var/lib", OVERLAY.format(source="overlayroot", upper="/u"), "/ is an overlay of overlayroot"),
        ("/mnt/ssd", OVERLAY.format(source="overlayroot", upper="/u") + MORE.removeprefix(DISK), None),
        ("/var/lib", "", None),
        ("/var/tmp", DISK + ZRAM, "/var/tmp is on /dev/zram0, which is memory"),
        (
            "/etc/systemd",
            DISK + RUN + ETC_OVER,
            "/etc/systemd is on an overlay that writes to /run/rw/up (tmpfs), which is memory",
        ),
        # The same folder, and a disk below it: an overlay of this kind keeps what is written.
        ("/etc/systemd", DISK + RUN + KEPT + ETC_OVER, None),
        ("/etc/systemd", DISK + ETC_OVER.replace(",upperdir=/run/rw/up", ""), None),
    ],
)
def test_what_is_written_below_a_folder_can_take_memory(path: str, text: str, seen: str | None):
    assert mounts.in_memory(path, mounts.parse(text), "") == seen


@pytest.mark.parametrize(
    ("text", "cmdline", "seen"),
    [
        (DISK, "overlayroot=tmpfs", None),
        (OVERLAY.format(source="overlayroot", upper="/u"), "", "/ is an overlay of overlayroot"),
        (
            OVERLAY.format(source="overlay", upper="/u"),
            "console=tty1 boot=overlay quiet",
            "/ is an overlay (boot=overlay on the kernel's command line)",
        ),
        (OVERLAY.format(source="x", upper="/u"), "overlayroot=disabled", None),
        (
            MEMORY + OVERLAY.format(source="x", upper="/media/root-rw/up"),
            "",
            "/ is an overlay that writes to /media/root-rw/up (tmpfs)",
        ),
        ("23 1 0:21 / / rw - tmpfs none rw\n", "", "/ is tmpfs"),
        ("23 1 254:0 / / rw - ext4 /dev/zram0 rw\n", "", "/ is /dev/zram0"),
        # A container has an overlay, too, and keeps what is written.
        (OVERLAY.format(source="overlay", upper="/var/lib/x/up"), "", None),
    ],
)
def test_p9_an_overlay_root_is_known(text: str, cmdline: str, seen: str | None):
    assert mounts.forgetful_root(mounts.parse(text), cmdline) == seen


def found(**changes: dict[str, Any]) -> list[tuple[str, str]]:
    seen = world.healthy()
    for name, values in changes.items():
        host = seen["host"]["pi-2"]
        place = host if name == "unit_folder" else host["paths"]
        place[name].update(values) if name in place else host.update({name: values})
    findings = preflight.evaluate(seen, world.settings(), world.owner())
    assert {finding.host for finding in findings} <= {"pi-2"}
    return [(finding.check, finding.level) for finding in findings if finding.check.startswith(("mount", "root"))]


SSD = {"mount": "/mnt/ssd", "device": 8, "free": 9 * 1024**3}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"data_dir": {"is_mount_point": True, **SSD}}, [("mount data_dir", "warning")]),
        ({"data_dir": {"mounts_inside": ["/var/lib/pi-controller/raft"]}}, [("mount data_dir", "warning")]),
        # A USB SSD: the pods' data, and with it the database, would be on the SD card in the end.
        (
            {"data_dir": {"is_mount_point": True, **SSD}, "database": SSD},
            [("mount data_dir", "warning"), ("mount pod_data_dir", "warning")],
        ),
        (
            {"data_dir": {"is_mount_point": True, **SSD}, "database": SSD, "pod_data_dir": SSD},
            [("mount data_dir", "warning")],
        ),
        ({"data_dir": SSD}, [("mount archive_path", "error"), ("mount pod_data_dir", "warning")]),
        # The same file system by another way: its number is the same, and a rename fails.
        ({"archive_path": {"mount": "/var/lib/other"}}, [("mount archive_path", "error")]),
        ({"archive_path": {"is_mount_point": True, "kind": "folder", **SSD}}, [("mount archive_path", "error")]),
        ({"pod_data_dir": {"is_mount_point": True, "kind": "folder", "entries": 0}}, [("mount pod_data_dir", "error")]),
        ({"pod_data_dir": {"mounts_inside": ["/x"]}}, [("mount pod_data_dir", "error")]),
        ({"pod_data_dir": SSD}, [("mount pod_data_dir", "warning")]),
        ({"backup_path": SSD}, []),
        ({"backup_path": {"is_mount_point": True, **SSD}}, []),
        ({"backup_path": {"in_memory": "tmpfs"}}, [("mount backup_path", "error")]),
        ({"unit_folder": {"in_memory": "an overlay that writes to /run/up (tmpfs)"}}, [("mount unit_folder", "error")]),
    ],
)
def test_p6_preflight_knows_each_case_and_its_remedy(changes: Any, expected: Any):
    assert found(**changes) == expected


@pytest.mark.parametrize(
    ("etc", "seen"),
    [
        ("", None),
        (ETC_OVER, "an overlay that writes to /run/rw/up (tmpfs)"),
        (ETC_OVER.replace("/run/rw", "/mnt"), None),
    ],
)
def test_p9_a_folder_says_whether_it_is_memory(etc: str, seen: str | None):
    assert paths.describe("/etc/systemd/system", mounts.parse(DISK + RUN + etc))["in_memory"] == seen


def test_p9_a_folder_on_a_forgetful_root_is_no_second_finding():
    known = mounts.parse("23 1 0:21 / / rw - tmpfs none rw\n")
    assert paths.describe("/etc/systemd/system", known)["in_memory"] is None
    assert mounts.forgetful_root(known, "") == "/ is tmpfs"


def test_p9_the_folder_of_units_has_a_remedy_of_its_own():
    seen = world.host("pi-2")
    seen["unit_folder"].update(in_memory="an overlay that writes to /run/up (tmpfs)", mount="/etc", read_only=True)
    (memory,) = judged.mount_findings("pi-2", seen, "parallel")
    assert memory.seen == "/etc/systemd/system is on an overlay that writes to /run/up (tmpfs), which is memory"
    assert "findmnt -T /etc/systemd/system" in memory.fix
    (closed,) = disk.disk_findings("pi-2", seen, "api")
    assert (closed.check, closed.seen) == ("disk for unit_folder", "/etc/systemd/system is mounted read-only")
    assert "mount it read-write" in closed.fix


def test_p9_an_overlay_root_is_a_finding():
    assert found(forgetful_root="/ is an overlay of overlayroot") == [("root file system", "error")]


def test_p6_a_database_that_would_leave_its_disk_has_a_way_to_stay():
    paths = world.host("pi-2")["paths"]
    for name in ("data_dir", "database"):
        paths[name].update(SSD, mount="/var/lib/pi-controller")
    paths["data_dir"]["is_mount_point"] = True
    seen = world.host("pi-2") | {"paths": paths}
    finding = list(judged.mount_findings("pi-2", seen, "parallel"))[-1]
    assert finding.seen == "it is on /, the database on /var/lib/pi-controller"
    assert "mount the file system of /var/lib/pi-controller at a second place" in finding.fix
    assert "pi_controller_pod_data_dir" in finding.fix
    # Pi by Pi such a folder is refused.
    assert [finding.check for finding in judged.mount_findings("pi-2", seen, "rolling")] == ["mount data_dir"]

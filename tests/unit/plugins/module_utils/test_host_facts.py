# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from conftest import import_plugin

images = import_plugin("module_utils._kube.images")
paths = import_plugin("module_utils._core.paths")
procfs = import_plugin("module_utils._core.procfs")
systemd = import_plugin("module_utils._core.systemd")

UNIT = "pi-controller.service"
SOCKETS = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 0B004D0A:2383 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 100 0 0 10 0
   2: 0B004D0A:1F90 0C004D0A:C350 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000 100 0 0 10 0
"""


# --- images --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("pi-controller", "docker.io/library/pi-controller:latest"),
        ("pi-controller:1.4", "docker.io/library/pi-controller:1.4"),
        ("me/pi-controller:1.4", "docker.io/me/pi-controller:1.4"),
        ("docker.io/pi-controller:1.4", "docker.io/library/pi-controller:1.4"),
        ("docker.io/library/pi-controller:1.4", "docker.io/library/pi-controller:1.4"),
        ("localhost/x", "localhost/x:latest"),
        ("example.org:5000/a/b", "example.org:5000/a/b:latest"),
        ("example.org/a/b@sha256:0f", "example.org/a/b@sha256:0f"),
    ],
)
def test_an_image_under_its_full_name(image, whole):
    assert images.full_name(image) == whole
    assert images.full_name(whole) == whole


def test_an_image_with_tag_and_digest_is_listed_without_the_tag():
    assert "docker.io/library/x@sha256:0f" in images.names("x:1@sha256:0f")


# --- listeners -----------------------------------------------------------------------------------


def test_listening_sockets_are_distinguished_from_connected_ones():
    assert list(procfs.parse_sockets(SOCKETS)) == [(8080, "0.0.0.0", 4711), (9091, "10.77.0.11", 4712)]


def test_addresses_of_ipv6():
    line = "   0: 00000000000000000000000001000000:1F90 " + "0" * 32 + ":0000 0A 0:0 00:0 0 0 0 99 1"

    assert list(procfs.parse_sockets(f"header\n{line}\n")) == [(8080, "::1", 99)]


@pytest.mark.parametrize(
    ("cgroups", "owner"),
    [
        ("0::/system.slice/pi-controller.service\n", "unit"),
        ("9:name=systemd:/system.slice/pi-controller.service\n0::/\n", "unit"),
        ("0::/system.slice/pi-controller.service/worker\n", "unit"),
        ("0::/system.slice/other-pi-controller.service\n", "other"),
        ("0::/kubepods/besteffort/pod1/abc\n", "pod"),
        ("0::/kubepods.slice/kubepods-pod1.slice/cri-1.scope\n", "pod"),
        ("0::/user.slice\n", "other"),
        # H1: names that any user may give.
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/pi-controller.service\n", "other"),
        ("0::/user.slice/user-1000.slice/user@1000.service/kubepods.slice/x\n", "other"),
        ("0::/user.slice/user-1000.slice/user@1000.service/system.slice/pi-controller.service\n", "other"),
        ("", "other"),
    ],
)
def test_the_owner_of_a_process(cgroups, owner):
    assert procfs.owner_of(cgroups, UNIT) == owner


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_listener_of_this_process_is_found_with_its_holder():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        port = server.getsockname()[1]
        (found,) = procfs.listeners({port}, UNIT)
        assert other.getsockname()[1] != port

    assert (found.port, found.address, found.pid, found.owner) == (port, "127.0.0.1", os.getpid(), "other")
    assert found.command
    assert procfs.listeners({port}, UNIT) == []


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with one process, 198, that holds the socket 4711; no visible process holds 4712."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(SOCKETS)
    fd = tmp_path / "198/fd"
    fd.mkdir(parents=True)
    (fd / "3").symlink_to("/dev/null")
    (fd / "4").symlink_to("socket:[4711]")
    (tmp_path / "198/comm").write_text("pi-controller\n")
    (tmp_path / "198/cgroup").write_text("0::/system.slice/pi-controller.service\n")
    (tmp_path / "198/environ").write_text("PI_CONTROLLER_B=secret\0PATH=/bin\0PI_CONTROLLER_A=1=2\0")
    (tmp_path / "198/status").write_text("Name:\tx\nVmRSS:\t   2048 kB\n")
    (tmp_path / "meminfo").write_text("MemTotal:  8 kB\nMemAvailable:   4 kB\n")
    return tmp_path


def test_listeners_with_and_without_a_visible_holder(proc):
    assert [listener.as_dict() for listener in procfs.listeners({8080, 9091}, UNIT, proc)] == [
        {"port": 8080, "address": "0.0.0.0", "pid": 198, "command": "pi-controller", "owner": "unit"},
        {"port": 9091, "address": "10.77.0.11", "pid": None, "command": "", "owner": "unknown"},
    ]


def test_one_value_of_the_environment_is_read(proc):
    assert procfs.environment_value(198, "PI_CONTROLLER_A", proc) == "1=2"
    assert procfs.environment_value(198, "PI_CONTROLLER", proc) is None


def test_memory(proc):
    assert procfs.memory_of(198, proc) == 2048 * 1024
    assert procfs.memory_available(proc) == 4096
    assert procfs.memory_of(199, proc) is None


# --- paths ---------------------------------------------------------------------------------------


def test_what_lies_at_a_path(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/one").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    kinds = {
        name: paths.describe(str(tmp_path / name))["kind"] for name in ("file", "folder", "link", "none", "file/none")
    }

    assert kinds == {"file": "file", "folder": "folder", "link": "link", "none": None, "file/none": None}
    assert paths.describe(str(tmp_path / "folder"))["entries"] == 1
    assert paths.describe(str(tmp_path / "none"))["entries"] is None


def test_a_missing_path_has_the_file_system_of_its_parent(tmp_path):
    found = paths.describe(str(tmp_path / "a/b/c"))

    assert found["existing"] == str(tmp_path)
    assert found["device"] == tmp_path.stat().st_dev
    assert found["free"] > 0
    assert not (tmp_path / "a").exists()


def test_links_on_the_way_are_named_outermost_first(tmp_path):
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "first").symlink_to(tmp_path / "real")
    (tmp_path / "real/second").symlink_to(tmp_path / "real/inner")
    found = paths.describe(str(tmp_path / "first/second/new"))

    assert found["links"] == [str(tmp_path / "first"), str(tmp_path / "first/second")]
    assert found["real"] == str(tmp_path / "real/inner/new")


def test_size_is_what_the_files_take_on_the_disk(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_bytes(b"x" * 100_000)
    (tmp_path / "a/link").symlink_to("/etc")
    (tmp_path / "a/sparse").touch()
    os.truncate(tmp_path / "a/sparse", 1 << 30)

    assert 100_000 <= paths.size_of(str(tmp_path)) < 300_000


# --- systemd -------------------------------------------------------------------------------------


def test_what_systemd_says():
    reported = (
        "Id=x.service\nNames=x.service y.service\nWantedBy=multi-user.target\nTriggeredBy=x.socket\nBoundBy=kiosk.service\n"
        "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNeedDaemonReload=yes\n"
        "FragmentPath=/etc/systemd/system/x.service\nDropInPaths=/etc/a.conf /etc/b.conf\nMainPID=198\nNRestarts=2\n"
    )
    assert systemd.parse_show(reported) == {
        "id": "x.service",
        "names": ["x.service", "y.service"],
        "started_by": ["kiosk.service", "multi-user.target", "x.socket"],
        "bound_by": ["kiosk.service"],
        "load": "loaded",
        "active": "active",
        "sub": "running",
        "enabled": "enabled",
        "file": "/etc/systemd/system/x.service",
        "drop_ins": ["/etc/a.conf", "/etc/b.conf"],
        "needs_reload": True,
        "pid": 198,
        "restarts": 2,
    }


def test_p8_other_commands_are_read_without_arguments():
    reported = (
        "ExecStartPre={ path=/sbin/modprobe ; argv[]=/sbin/modprobe i2c-dev ; ignore_errors=no ; start_time=[n/a] }\n"
        "ExecStartPre={ path=/bin/sh ; argv[]=/bin/sh -c echo s3cret\nLoadState=masked ; ignore_errors=no }\n"
        "ExecStopPost={ path=/usr/bin/my tool ; argv[]=/usr/bin/my tool ; ignore_errors=yes }\n"
    )
    assert systemd.parse_hooks(reported) == [
        "ExecStartPre=/sbin/modprobe",
        "ExecStartPre=/bin/sh",
        "ExecStopPost=/usr/bin/my tool",
    ]
    assert systemd.parse_hooks("") == []
    # They are asked for alone.
    assert not {*systemd.HOOKS} & {*systemd.PROPERTIES}


def test_the_unit_state_as_text():
    def words(text):
        return systemd.in_words(systemd.parse_show(text))

    shown = "LoadState=masked\nActiveState=inactive\nUnitFileState=masked\nMainPID=0\nNRestarts=0\n"
    assert words(shown) == {"load": "masked", "active": "inactive", "enabled": "masked", "pid": None, "restarts": 0}
    assert words("LoadState=not-found\nActiveState=inactive\nUnitFileState=\n")["enabled"] == "not-found"
    assert words("")["active"] == "unknown"


def test_a_systemd_that_says_nothing():
    assert systemd.parse_show("")["load"] == ""
    assert systemd.parse_show("")["pid"] == 0


def test_drop_ins_that_systemd_has_not_read(tmp_path):
    """On Debian /lib is a link to /usr/lib: one file is one drop-in under either name."""
    for name in (
        "usr/x.service.d/a.conf",
        "usr/x.service.d/b.conf",
        "usr/x.service.d/README",
        "usr/y.service.d/c.conf",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "lib").symlink_to(tmp_path / "usr")
    folders = [str(tmp_path / "lib"), str(tmp_path / "none")]

    assert systemd.unread_drop_ins("x.service", [str(tmp_path / "usr/x.service.d/a.conf")], folders) == [
        str(tmp_path / "lib/x.service.d/b.conf")
    ]
    assert systemd.unread_drop_ins("z.service", [], folders) == []

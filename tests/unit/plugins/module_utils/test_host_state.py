# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
from pathlib import Path

from conftest import import_plugin

host = import_plugin("module_utils._report.host_state")
gate = import_plugin("module_utils._gate.table")
procfs = import_plugin("module_utils._core.procfs")
UNIT = "pi-controller.service"
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0B004D0A:1F90 0C004D0A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 222 1
   2: 0B004D0A:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1
"""


def process(proc: Path, pid: int, cgroup: str, *inodes: int) -> None:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "cgroup").write_text(cgroup)
    (folder / "comm").write_text("pi-controller\n")
    for number, inode in enumerate(inodes):
        (folder / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


def test_a_gate_whose_lease_has_ended_routes_no_client_away() -> None:
    lease = gate.Gate("forwarded", (gate.Port(8080, 8082),), ("192.0.2.12",), own=("192.0.2.11",), lifetime=30.0)
    seen = lease.expected()
    seen.forward_to = ("192.0.2.12",)
    assert host.gate_state(seen) == {"state": "forwarded", "forward_to": "192.0.2.12"}
    seen.sets["fenced"], seen.lapsing = frozenset(), frozenset()
    assert host.gate_state(seen) == {"state": "lapsed", "forward_to": None}


def test_the_holder_of_a_port_is_known_by_its_cgroup(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(TCP)
    process(tmp_path, 40, f"0::/system.slice/{UNIT}\n", 111, 222)
    process(tmp_path, 50, "0::/kubepods/burstable/pod1234/abcd\n", 333)
    found = host.holders([8080, 8082, 9999], UNIT, tmp_path)
    assert {port: (value["held_by"], value["pid"]) for port, value in found.items()} == {
        8080: ("unit", 40),
        8082: ("pod", 50),
    }


def test_h1_of_two_holders_of_a_port_the_stranger_counts(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(TCP.replace(":1F92", ":1F90"))
    for unit_inode, stranger_inode in ((111, 333), (333, 111)):
        proc = tmp_path / str(unit_inode)
        proc.mkdir()
        (proc / "net").symlink_to(tmp_path / "net")
        process(proc, 40, f"0::/system.slice/{UNIT}\n", unit_inode)
        process(proc, 50, "0::/user.slice/user-1000.slice/session-1.scope\n", stranger_inode)
        assert host.holders([8080], UNIT, proc)[8080]["held_by"] == "other"


def test_h1_a_host_inside_of_a_users_session_knows_its_own_units(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(TCP)
    above = "/user.slice/user-0.slice/session-3.scope/lab"
    process(tmp_path, 1, f"0::{above}/init.scope\n")
    process(tmp_path, 40, f"0::{above}/system.slice/{UNIT}\n", 111)
    process(tmp_path, 50, f"0::{above}/user.slice/user-1000.slice/user@1000.service/app.slice/{UNIT}\n", 333)
    found = host.holders([8080, 8082], UNIT, tmp_path)
    assert (found[8080]["held_by"], found[8082]["held_by"]) == ("unit", "other")


def test_a_port_without_a_visible_process_is_held_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp6").write_text(TCP)
    assert host.holders([8080], UNIT, tmp_path)[8080]["held_by"] == "other"


def test_another_unit_of_a_similar_name_is_not_the_unit() -> None:
    assert procfs.owner_of("0::/system.slice/my-pi-controller.service\n", UNIT) == "other"
    assert procfs.owner_of(f"12:cpu:/\n1:name=systemd:/system.slice/{UNIT}\n", UNIT) == "unit"


def test_a_real_listener_is_found_as_this_process() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        found = host.holders([port], UNIT)
    assert found[port]["pid"] == os.getpid()


def test_the_target_of_a_forwarded_gate() -> None:
    wanted = gate.Gate("forwarded", (gate.Port(8080, 8082),), ("10.77.0.12",), own=("10.77.0.11",))
    standing = wanted.expected()
    standing.forward_to = ("10.77.0.12",)
    assert host.gate_state(standing) == {"state": "forwarded", "forward_to": "10.77.0.12"}
    assert host.gate_state(None) == {"state": "open", "forward_to": None}
    standing.rules["back"].clear()
    assert host.gate_state(standing) == {"state": "mixed", "forward_to": None}


def test_backups_have_an_age_and_the_newest_is_last(tmp_path: Path) -> None:
    for number, name in enumerate(("prepare", "cutover")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "pi-controller.db").write_text("x" * 10)
        (folder / "else.txt").write_text("no backup")
        os.utime(folder / "pi-controller.db", (1000 + number * 100, 1000 + number * 100))
    found = host.backups(tmp_path, 1300)
    assert [(backup["phase"], backup["age_seconds"], backup["bytes"]) for backup in found] == [
        ("prepare", 300, 10),
        ("cutover", 200, 10),
    ]
    assert host.backups(tmp_path / "none", 1300) == []


def test_a_damaged_manifest_is_ignored(tmp_path: Path) -> None:
    assert host.manifest(tmp_path) is None
    (tmp_path / "prepare").mkdir()
    (tmp_path / "prepare/manifest.json").write_text("{")
    assert host.manifest(tmp_path) is None
    (tmp_path / "prepare/manifest.json").write_text('{"host": "pi-1"}')
    assert host.manifest(tmp_path) == {"host": "pi-1"}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An error of the operating system is reported as what it is: what it interrupted, and nothing that it is not."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin

URL = {"url": "http://127.0.0.1:1"}
MODULES: dict[str, tuple[dict[str, Any], str]] = {
    "cutover_lease": ({"state": "absent"}, "changing the lease of the cutover"),
    "folder_move": ({"src": "/data", "dest": "/archive"}, "moving /data to /archive"),
    "member_traffic": ({**URL, "state": "back"}, "routing this Pi's clients back"),
    "quorum_watch": ({"state": "checked", "path": "/watch"}, "watching by /watch"),
    "raft_carry": (
        {
            **{
                **URL,
                "from_urls": [],
                "to_urls": [],
                "term": 7,
                "raft_dir": "/raft",
                "dest": "/copy",
                "database": "/pi.db",
            },
            "lease": {"seconds": 30, "since": {"boot": "this one", "seconds": 4711}},
        },
        "carrying the state over",
    ),
    "raft_info": (URL, "looking at the cluster"),
    "raft_membership": ({**URL, "node_id": "n1", "state": "absent"}, "changing the membership"),
    "raft_snapshot": ({"raft_dir": "/raft", "dest": "/copy"}, "taking a snapshot into /copy"),
    "sqlite_backup": ({"path": "/pi.db", "dest": "/copy.db"}, "backing up /pi.db"),
    "sqlite_info": ({"path": "/pi.db"}, "reading /pi.db"),
    "traffic_gate": ({"state": "open"}, "setting the gate to open"),
}


def no_space(*_arguments: Any, **_named: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_an_error_of_the_system_interrupted(run_module, monkeypatch, name: str) -> None:
    arguments, doing = MODULES[name]
    monkeypatch.setattr(import_plugin(f"modules.{name}"), "run", no_space)
    result = run_module(name, arguments)
    assert (
        result["msg"]
        == f"{doing}: [Errno 28] No space left on device. Next: fix the problem above and run the same command again"
    )
    assert result["failure"]["seen"] == "[Errno 28] No space left on device"


def test_a_copy_that_cannot_be_written_is_no_unreadable_state(monkeypatch, raft_dir: Path, tmp_path: Path) -> None:
    snapshots = import_plugin("module_utils._raft.snapshots")
    (found,) = snapshots.list_snapshots(raft_dir)
    monkeypatch.setattr(snapshots, "_sync", no_space)
    with pytest.raises(import_plugin("module_utils._core.failures").MigrationError) as caught:
        snapshots.copy(found, tmp_path / "copy")
    assert f"cannot copy snapshot {found.id} to {tmp_path}/copy" in str(caught.value)
    assert "No space left" in str(caught.value)


def test_a_snapshot_that_may_not_be_read_is_not_called_unfinished(monkeypatch, raft_dir: Path) -> None:
    snapshots = import_plugin("module_utils._raft.snapshots")
    (folder,) = (raft_dir / "snapshots").iterdir()

    def refused(path: Path, _limit: int) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(snapshots, "read_bytes", refused)
    with pytest.raises(import_plugin("module_utils._core.failures").MigrationError) as caught:
        snapshots.read_snapshot(folder)
    assert str(caught.value).startswith(f"cannot read {folder}/meta.json ([Errno 13]")
    # Nor is the folder reported as empty.
    with pytest.raises(import_plugin("module_utils._core.failures").MigrationError, match=r"cannot read .*Errno 13"):
        snapshots.list_snapshots(raft_dir)


def test_a_boot_unit_that_cannot_be_read_is_not_called_unwritable(tmp_path: Path) -> None:
    boot = import_plugin("module_utils._gate.boot")
    # Not a file: it cannot be read as one, by root neither.
    (tmp_path / f"{boot.NAME}.nft").mkdir()
    with pytest.raises(
        import_plugin("module_utils._gate.nft").GateError, match="boot unit cannot be read: .*directory"
    ):
        boot.BootUnit("/usr/sbin/nft", None, tmp_path).write()

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest
from conftest import import_plugin

durable = import_plugin("module_utils._core.durable")


def test_a_new_folder_is_on_disk_before_what_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the file was kept must not take the folder."""
    kept: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        kept.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with durable.holding(tmp_path):
        durable.private_folder(tmp_path / "one/two")
    assert kept == [tmp_path, tmp_path / "one"]


def test_the_journal_is_written_by_one_process_at_a_time(run_module, tmp_path: Path) -> None:
    """ssh may start a task once more while its first process goes on."""
    path = tmp_path / "journal.json"
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    options = {"path": str(path), "phase": "prepare", "state": "started", "migration_id": "m-1", "strategy": "parallel"}
    writing = threading.Thread(target=run_module, args=("migration_journal", options))
    writing.start()
    writing.join(1.0)
    assert writing.is_alive()
    assert not path.exists()
    os.close(descriptor)
    writing.join()
    assert path.exists()

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A phase begins only with a watch, and so a lock, of its own run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin

control = import_plugin("module_utils._watch.control")
failures = import_plugin("module_utils._core.failures")
files = import_plugin("module_utils._watch.files")
processes = import_plugin("module_utils._core.processes")

GONE = {"pid": os.getpid(), "started": "an earlier process of this number"}


@pytest.fixture
def other() -> Iterator[dict[str, Any]]:
    """A process that lives, and is not this one."""
    process = subprocess.Popen(["sleep", "60"])
    yield dict(processes.identify(process.pid).as_dict())
    process.kill()
    process.wait()


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., tuple[bool, list[str]]]:
    """Begins a phase with what the folder has of a watch; returns the answer and the warnings."""
    folder = files.WatchFolder(tmp_path / "watch")
    folder.make()

    def run(about: dict[str, Any] | None, phase: str = "transfer", *, check_mode: bool = False) -> Any:
        if about is not None:
            folder.write(files.ABOUT, about)
        warnings: list[str] = []
        params = {"path": str(folder.path), "phase": phase, "parent_pid": os.getpid()}
        return control.WatchControl(params, check_mode, warnings.append).phase(), warnings

    return run


LEFT = [{"run": GONE}, {"run": GONE, "process": GONE, "why": "the run is gone"}, {}]


@pytest.mark.parametrize("about", LEFT[:2])
def test_a_phase_without_a_watch_of_its_run_is_refused(begin, about):
    with pytest.raises(failures.MigrationError, match="this run has no quorum watch") as refused:
        begin(about)
    assert refused.value.failure["seen"] == GONE["pid"]


def test_a_phase_is_refused_while_another_run_uses_the_folder(begin, other):
    with pytest.raises(failures.MigrationError, match=f"process {other['pid']} on this machine runs a playbook"):
        begin({"run": other, "process": other})
    with pytest.raises(failures.MigrationError, match="this run has no quorum watch"):
        begin({"run": other, "process": GONE})


@pytest.mark.parametrize("about", LEFT[:2])
def test_a_rollback_without_a_watch_warns_and_begins(begin, about):
    changed, (warning,) = begin(about, "rollback")
    assert changed is False
    assert "the migration's lock is not renewed" in warning


@pytest.mark.parametrize("about", LEFT)
def test_check_mode_starts_no_watch_and_misses_none(begin, about):
    assert begin(about, check_mode=True) == (False, [])


@pytest.mark.parametrize("about", [None, {"run": GONE, "why": "stopped"}])
def test_a_phase_begins_where_no_watch_was_left(begin, about):
    assert begin(about) == (False, [])

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watching process, one look after the other, without its loop: what it writes, and when."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin

files = import_plugin("module_utils._watch.files")
judging = import_plugin("module_utils._watch.judge")
process = import_plugin("module_utils._watch.process")
processes = import_plugin("module_utils._core.processes")

SETTINGS = process.Settings(judging.AlertLimits(), timeout=1.0, lifetime=10.0)


class Watched:
    """A watch of no member, with a clock that is set by hand."""

    def __init__(self, folder: Any) -> None:
        self.folder = folder
        self.watch = process.Watch(folder, {}, SETTINGS, processes.identify(os.getpid()))
        self.at = 1000.0
        self.watch.clock = lambda: self.at
        self.number = 0

    def order(self, phase: str, **more: Any) -> None:
        self.number += 1
        order = {"number": self.number, "phase": phase, "phase_started": self.at, "phase_timeout": 600.0, "watch": {}}
        self.folder.write(files.ORDER, {**order, **more})
        self.watch._apply_order()

    def look(self, at: float) -> None:
        self.at = at
        self.watch._look()

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return self.folder.alerts()

    @property
    def about(self) -> dict[str, Any]:
        return json.loads((self.folder.path / files.ABOUT).read_text())


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    folder = files.WatchFolder(tmp_path / "watch")
    folder.begin_run()
    return Watched(folder)


def test_a_timeout_ends_with_its_phase_before_the_next_one_counts(watched: Watched) -> None:
    watched.order("cutover")
    watched.look(1601.0)
    (raised,) = watched.alerts
    assert (raised["kind"], raised["phase"], raised["ended"]) == ("phase_timeout", "cutover", None)
    watched.at = 1602.0
    watched.order("systemd_shutdown")
    (over,) = watched.alerts
    assert (over["phase"], over["ended"]) == ("cutover", 1602.0)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of a play whose Pis may stop answering, with modules that note how they were called; the folder has all of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any


def run_play(tool: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `play.json` against `hosts.json`; the file `away` has the Pis that do not answer."""
    environment = {
        **os.environ,
        "AWAY": str(folder / "away"),
        "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_FORKS": "5",
    }
    command = [tool, "-i", "hosts.json", "play.json"]
    return subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, timeout=300, check=False
    )


def calls_in(folder: Path) -> list[dict[str, Any]]:
    """The modules' calls, in order."""
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]

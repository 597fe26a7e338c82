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

# The code of plugins begins with it. One task of a Pi whose name is a file in the folder AWAY comes to nothing; each, where `.gone` is added.
REACH = """
import os
from ansible.errors import AnsibleConnectionFailure

def reach(host):
    away = os.environ["AWAY"] + "/" + host
    gone = os.path.exists(away + ".gone")
    if gone or os.path.exists(away):
        if not gone:
            os.unlink(away)
        raise AnsibleConnectionFailure("no route to host")
"""
# For all that goes to a Pi. An action in a module's place sends nothing, and calls `reach` itself: a shell for each would take longer.
CONNECTION = f"""
{REACH}
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = "name: flaky\\nshort_description: local, but for one task"

class Connection(Local):
    transport = "flaky"

    def exec_command(self, *args, **kwargs):
        reach(self._play_context.remote_addr)
        return super().exec_command(*args, **kwargs)
"""


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

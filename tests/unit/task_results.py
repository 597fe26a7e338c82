# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks that are tested in one real run, each by its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import CHECKOUT


def play(
    folder: Path,
    playbook: str,
    tasks: list[dict[str, Any]],
    keep: Callable[[str, Path], dict[str, Any]],
    *options: str,
    umask: int = -1,
) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[str]]:
    """The result of each task, whether it has failed or not, and the run."""
    noted = [{"register": f"result_{number}", **task, "ignore_errors": True} for number, task in enumerate(tasks)]
    results = f"{{{{ [{', '.join(task['register'] for task in noted)}] | to_json }}}}"
    noted.append(keep(results, folder / "results.json"))
    (folder / "play.json").write_text(json.dumps([{"hosts": "pi-1", "gather_facts": False, "tasks": noted}]))
    python = f"ansible_python_interpreter={sys.executable}"
    done = subprocess.run(
        [playbook, "play.json", "-i", "pi-1,", "-c", "local", "-e", python, *options],
        cwd=folder,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"), "ANSIBLE_NOCOLOR": "1"},
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
        umask=umask,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "results.json").read_text()), done

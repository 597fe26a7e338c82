# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file that goes to a Pi, and comes back, in real runs and in several pieces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import CHECKOUT, import_plugin

pieces = import_plugin("module_utils._core.pieces")
Keep = Callable[[str, Path], dict[str, Any]]


def play(folder: Path, playbook: str, tasks: list[dict], *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "play.json").write_text(json.dumps([{"hosts": "pi-1", "gather_facts": False, "tasks": tasks}]))
    command = [
        playbook,
        "play.json",
        "-i",
        "pi-1,",
        "-c",
        "local",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
    ]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [*command, *options], cwd=folder, env=environment, text=True, capture_output=True, timeout=300, check=False
    )


def test_there_and_back_in_pieces(tmp_path: Path, ansible_playbook: str) -> None:
    content = os.urandom(2 * pieces.PIECE + 7)
    (tmp_path / "here").write_bytes(content)
    there = {"src": f"{tmp_path}/here", "dest": f"{tmp_path}/there"}
    back = {"src": f"{tmp_path}/there", "dest": f"{tmp_path}/control/back"}
    tasks = [
        {"pi_controller.raft_migration.private_put": there},
        {"pi_controller.raft_migration.private_fetch": back},
    ]
    checked = play(tmp_path, ansible_playbook, tasks, "--check")
    assert "ok=1    changed=1" in checked.stdout, checked.stdout
    assert not (tmp_path / "there").exists()

    done = play(tmp_path, ansible_playbook, tasks, "-vvv")
    assert "ok=2    changed=2" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "control/back").read_bytes() == content
    assert oct((tmp_path / "there").stat().st_mode & 0o777) == "0o600"
    assert len(done.stdout) < 100_000, "the content is not shown"
    again = play(tmp_path, ansible_playbook, tasks)
    assert "ok=2    changed=0" in again.stdout, again.stdout


def test_text_goes_there_and_is_kept_here_for_its_owner_alone(tmp_path: Path, ansible_playbook: str) -> None:
    here, there = tmp_path / "control/pi-1/manifest.json", tmp_path / "there"
    given = {"text": '{"host": "pi-1"}', "dest": str(there), "kept_at": str(here)}
    tasks = [{"pi_controller.raft_migration.private_put": given}]
    checked = play(tmp_path, ansible_playbook, tasks, "--check")
    assert "ok=1    changed=1" in checked.stdout, checked.stdout
    assert not there.exists()
    assert not here.parent.exists()

    done = play(tmp_path, ansible_playbook, tasks)
    assert "ok=1    changed=1" in done.stdout, done.stdout + done.stderr
    for path in (here, there):
        assert path.read_text() == given["text"]
        assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert oct(here.parent.stat().st_mode & 0o777) == "0o700"
    again = play(tmp_path, ansible_playbook, tasks)
    assert "ok=1    changed=0" in again.stdout, again.stdout
    again = play(tmp_path, ansible_playbook, tasks, "--check")
    assert "ok=1    changed=0" in again.stdout, again.stdout
    # What was lost here is written again, though the Pi has it.
    here.unlink()
    again = play(tmp_path, ansible_playbook, tasks)
    assert "ok=1    changed=1" in again.stdout, again.stdout
    assert here.read_text() == given["text"]


def test_text_is_not_written_through_a_link_here(tmp_path: Path, ansible_playbook: str) -> None:
    (tmp_path / "control").mkdir(mode=0o700)
    (tmp_path / "control/kept").symlink_to(tmp_path / "elsewhere")
    given = {"text": "x", "dest": f"{tmp_path}/there", "kept_at": f"{tmp_path}/control/kept"}
    done = play(tmp_path, ansible_playbook, [{"pi_controller.raft_migration.private_put": given}])
    assert done.returncode != 0
    assert f"{tmp_path}/control/kept is a symbolic link" in done.stdout + done.stderr
    assert not (tmp_path / "elsewhere").exists()


REFUSED: list[dict] = [
    {"src": "/etc/hostname"},
    {"src": "here", "dest": "/x"},
    {"src": "/x", "dest": "/x", "mode": "0644"},
    {"src": "/x", "dest": "/x", "text": "x"},
    {"src": "/x", "dest": "/x", "kept_at": "/y"},
    {"text": "x", "dest": "/x", "kept_at": "y"},
    {"dest": "/x", "kept_at": "/y"},
]


def test_anything_else_is_refused(tmp_path: Path, ansible_playbook: str, keep: Keep) -> None:
    """One run for all of them: a task for each, whose result is looked at."""
    tasks = [
        {"pi_controller.raft_migration.private_put": given, "register": f"result_{number}", "ignore_errors": True}
        for number, given in enumerate(REFUSED)
    ]
    results = f"{{{{ [{', '.join(str(task['register']) for task in tasks)}] | to_json }}}}"
    done = play(tmp_path, ansible_playbook, [*tasks, keep(results, tmp_path / "results.json")])
    assert done.returncode == 0, done.stdout + done.stderr
    words = ("private_put wants", "`text` of private_put has 0 bytes")
    accepted = [
        (given, result)
        for given, result in zip(REFUSED, json.loads((tmp_path / "results.json").read_text()), strict=True)
        if not result["failed"] or not any(text in result["msg"] for text in words)
    ]
    assert accepted == []


def test_a_file_that_is_missing_is_named(tmp_path: Path, ansible_playbook: str) -> None:
    given = {"src": f"{tmp_path}/none", "dest": f"{tmp_path}/there"}
    done = play(tmp_path, ansible_playbook, [{"pi_controller.raft_migration.private_put": given}])
    assert done.returncode != 0
    assert f"reading {tmp_path}/none on the control node" in done.stdout + done.stderr

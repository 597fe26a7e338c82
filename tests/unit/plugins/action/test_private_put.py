# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file that goes to a Pi, and comes back, in real runs and in several pieces."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import import_plugin
from task_results import play

pieces = import_plugin("module_utils._core.pieces")
Keep = Callable[[str, Path], dict[str, Any]]


def put(given: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    return {"pi_controller.raft_migration.private_put": given, **keywords}


def exist(*paths: Path) -> dict[str, Any]:
    """A task whose message says for each path whether it is there by then."""
    return {"ansible.builtin.debug": {"msg": [f"{{{{ '{path}' is exists }}}}" for path in paths]}}


def test_there_and_back_in_pieces(tmp_path: Path, ansible_playbook: str, keep: Keep) -> None:
    content = os.urandom(2 * pieces.PIECE + 7)
    (tmp_path / "here").write_bytes(content)
    there = put({"src": f"{tmp_path}/here", "dest": f"{tmp_path}/there"})
    back = {
        "pi_controller.raft_migration.private_fetch": {
            "src": f"{tmp_path}/there",
            "dest": f"{tmp_path}/control/back",
        }
    }
    predicted = [{**task, "check_mode": True} for task in (there, back)]
    tasks = [*predicted, exist(tmp_path / "there", tmp_path / "control"), there, back, there, back]
    results, done = play(tmp_path, ansible_playbook, tasks, keep, "-vvv")
    checked, not_fetched, before, *really = results
    assert (checked["changed"], not_fetched.get("skipped", False)) == (True, True), results
    assert before["msg"] == [False, False]
    assert [(result["failed"], result["changed"]) for result in really] == [(False, True)] * 2 + [(False, False)] * 2
    assert (tmp_path / "control/back").read_bytes() == content
    assert oct((tmp_path / "there").stat().st_mode & 0o777) == "0o600"
    assert len(done.stdout) < 100_000, "the content is not shown"


def test_text_goes_there_and_is_kept_here_for_its_owner_alone(
    tmp_path: Path, ansible_playbook: str, keep: Keep
) -> None:
    here, there = tmp_path / "control/pi-1/manifest.json", tmp_path / "there"
    given = put({"text": '{"host": "pi-1"}', "dest": str(there), "kept_at": str(here)})
    checked = {**given, "check_mode": True}
    # What was lost here is written again, though the Pi has it.
    lost = {"ansible.builtin.file": {"path": str(here), "state": "absent"}}
    tasks = [checked, exist(there, here.parent), given, given, checked, lost, given]
    results, _done = play(tmp_path, ansible_playbook, tasks, keep)
    assert [result["failed"] for result in results] == [False] * len(tasks), results
    assert results[1]["msg"] == [False, False]
    assert [results[number]["changed"] for number in (0, 2, 3, 4, 5, 6)] == [True, True, False, False, True, True]
    for path in (here, there):
        assert path.read_text() == '{"host": "pi-1"}'
        assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert oct(here.parent.stat().st_mode & 0o777) == "0o700"


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
    (tmp_path / "control").mkdir(mode=0o700)
    (tmp_path / "control/kept").symlink_to(tmp_path / "elsewhere")
    there = f"{tmp_path}/there"
    linked = {"text": "x", "dest": there, "kept_at": f"{tmp_path}/control/kept"}
    missing = {"src": f"{tmp_path}/none", "dest": there}
    tasks = [put(given) for given in (linked, missing, *REFUSED)]
    (link, none, *others), _done = play(tmp_path, ansible_playbook, tasks, keep)
    assert link["failed"]
    assert f"{tmp_path}/control/kept is a symbolic link" in link["msg"]
    assert not (tmp_path / "elsewhere").exists()
    assert none["failed"]
    assert f"reading {tmp_path}/none on the control node" in none["msg"]
    words = ("private_put wants", "`text` of private_put has 0 bytes")
    accepted = [
        (given, result)
        for given, result in zip(REFUSED, others, strict=True)
        if not result["failed"] or not any(text in result["msg"] for text in words)
    ]
    assert accepted == []

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies on the control node are private from the moment they exist, in real runs under the usual umask."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT, import_plugin
from task_results import play

durable = import_plugin("module_utils._core.durable")
files = import_plugin("module_utils._watch.files")
journals = import_plugin("module_utils._core.journal")


def modes(folder: Path) -> dict[str, str]:
    """Every file and folder below, and the folder itself, that others may read."""
    found = [folder, *folder.rglob("*")]
    return {
        str(path): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in found
        if stat.S_IMODE(path.lstat().st_mode) & 0o077
    }


def copy(args: dict, **more) -> dict:
    return {"name": "Copy it", "pi_controller.raft_migration.private_fetch": args, **more}


Run = Callable[[list[dict]], list[dict[str, Any]]]


@pytest.fixture
def run(tmp_path: Path, ansible_playbook: str, keep: Callable[[str, Path], dict[str, Any]]) -> Run:
    (tmp_path / "pi").mkdir()
    (tmp_path / "pi/pi-controller.db").write_bytes(b"state" * 1000)
    (tmp_path / "pi/manifest.json").write_text("{}")
    return lambda tasks: play(tmp_path, ansible_playbook, tasks, keep, umask=0o22)[0]


def test_m1_a_copy_and_its_folders_are_private(tmp_path: Path, run: Run):
    """Also one that an earlier release has made. With check mode there is none."""
    database = f"{tmp_path}/pi/pi-controller.db"
    several = {
        "src": f"{tmp_path}/pi/{{{{ item }}}}",
        "dest": f"{tmp_path}/state/control/{{{{ inventory_hostname }}}}/{{{{ item }}}}",
    }
    each = copy(several, loop=["pi-controller.db", "manifest.json"])
    (tmp_path / "control/pi-1").mkdir(parents=True)
    (tmp_path / "control/pi-1/pi-controller.db").write_text("old")
    (tmp_path / "control/pi-1").chmod(0o755)
    (tmp_path / "control/pi-1/pi-controller.db").chmod(0o644)
    earlier = copy({"src": database, "dest": f"{tmp_path}/control/pi-1/pi-controller.db"})
    checked = copy({"src": database, "dest": f"{tmp_path}/checked/state"}, check_mode=True)
    late = copy({"src": f"{tmp_path}/pi/late", "dest": f"{tmp_path}/late/late"}, register="copied")
    late |= {"until": "copied.attempts == 2", "retries": 2, "delay": 0, "failed_when": False}
    results = run([each, each, earlier, checked, late])
    assert [result["failed"] for result in results] == [False] * 5, results
    assert [result["changed"] for result in results[:2]] == [True, False]
    assert (tmp_path / "state/control/pi-1/pi-controller.db").read_bytes() == b"state" * 1000
    assert modes(tmp_path / "state") == {}
    assert (tmp_path / "control/pi-1/pi-controller.db").read_bytes() == b"state" * 1000
    assert modes(tmp_path / "control/pi-1") == {}
    assert not (tmp_path / "checked").exists()
    # It can be tried again.
    assert results[4]["attempts"] == 2
    assert "private_fetch wants" not in json.dumps(results[4])


REFUSED: list[dict] = [
    {"src": "/etc/hostname"},
    {"src": "/etc/hostname", "dest": "here"},
    {"src": "/x", "dest": "/x", "flat": False},
]


def test_m1_anything_else_is_refused(tmp_path: Path, run: Run):
    """One run for all of them: a task for each, whose result is looked at."""
    (tmp_path / "control").mkdir()
    (tmp_path / "target").write_text("kept")
    (tmp_path / "control/state").symlink_to(tmp_path / "target")
    database = f"{tmp_path}/pi/pi-controller.db"
    taken = [hashlib.sha256(content).hexdigest() for content in (b"state" * 1000, b"something else")]
    copies = [{"src": database, "dest": f"{tmp_path}/control/{digest}", "expected_sha256": digest} for digest in taken]
    link, same, other, *refused = run(
        [copy(args) for args in ({"src": database, "dest": f"{tmp_path}/control/state"}, *copies, *REFUSED)]
    )
    assert link["failed"]
    assert "is not a regular file" in link["msg"]
    assert (tmp_path / "target").read_text() == "kept"
    # A copy that is not what was taken fails.
    assert [same["failed"], other["failed"]] == [False, True], same
    assert f"wanted: {taken[1]}" in other["msg"]
    assert taken[0] in other["msg"]
    accepted = [
        (args, result)
        for args, result in zip(REFUSED, refused, strict=True)
        if not result["failed"] or "private_fetch wants" not in result["msg"]
    ]
    assert accepted == []


def test_m1_no_role_copies_to_the_control_node_in_another_way():
    for path in sorted((CHECKOUT / "roles").rglob("*.yml")):
        assert "builtin.fetch" not in path.read_text(), path
        for task in yaml.safe_load(path.read_text()) if path.parent.name == "tasks" else []:
            assert "fetch" not in task, path


def test_m1_the_folders_of_watch_and_journal_are_private(tmp_path: Path):
    before = os.umask(0o022)
    try:
        files.WatchFolder(tmp_path / "a/b/watch").make()
        journals.save(tmp_path / "c/d/journal.json", {})
        durable.private_folder(tmp_path / "e/f")
    finally:
        os.umask(before)
    assert [modes(tmp_path / name) for name in "ace"] == [{}, {}, {}]

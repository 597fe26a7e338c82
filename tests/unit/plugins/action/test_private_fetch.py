# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies on the control node are private from the moment they exist, in real runs under the usual umask."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import CHECKOUT, import_plugin

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


@pytest.fixture
def run(tmp_path: Path, ansible_playbook: str):
    (tmp_path / "pi").mkdir()
    (tmp_path / "pi/pi-controller.db").write_bytes(b"state" * 1000)
    (tmp_path / "pi/manifest.json").write_text("{}")

    def play(tasks: list[dict], *options: str) -> subprocess.CompletedProcess:
        (tmp_path / "play.json").write_text(json.dumps([{"hosts": "pi-1", "gather_facts": False, "tasks": tasks}]))
        command = [
            ansible_playbook,
            "play.json",
            "-i",
            "pi-1,",
            "-c",
            "local",
            "-e",
            f"ansible_python_interpreter={sys.executable}",
            *options,
        ]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"), "ANSIBLE_NOCOLOR": "1"}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False, umask=0o22
        )

    return play


def test_m1_a_copy_and_its_folders_are_private(tmp_path: Path, run):
    args = {
        "src": f"{tmp_path}/pi/{{{{ item }}}}",
        "dest": f"{tmp_path}/state/control/{{{{ inventory_hostname }}}}/{{{{ item }}}}",
    }
    tasks = [copy(args, loop=["pi-controller.db", "manifest.json"])]
    done = run(tasks)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "state/control/pi-1/pi-controller.db").read_bytes() == b"state" * 1000
    assert modes(tmp_path / "state") == {}
    assert "changed=0" in run(tasks).stdout


def test_m1_a_copy_of_an_earlier_release_is_made_private(tmp_path: Path, run):
    (tmp_path / "control/pi-1").mkdir(parents=True)
    (tmp_path / "control/pi-1/pi-controller.db").write_text("old")
    (tmp_path / "control/pi-1").chmod(0o755)
    (tmp_path / "control/pi-1/pi-controller.db").chmod(0o644)
    done = run([copy({"src": f"{tmp_path}/pi/pi-controller.db", "dest": f"{tmp_path}/control/pi-1/pi-controller.db"})])
    assert done.returncode == 0, done.stdout + done.stderr
    assert modes(tmp_path / "control/pi-1") == {}


def test_m1_a_copy_does_not_follow_a_link(tmp_path: Path, run):
    (tmp_path / "control").mkdir()
    (tmp_path / "target").write_text("kept")
    (tmp_path / "control/state").symlink_to(tmp_path / "target")
    done = run([copy({"src": f"{tmp_path}/pi/pi-controller.db", "dest": f"{tmp_path}/control/state"})])
    assert done.returncode != 0
    assert "is not a regular file" in done.stdout + done.stderr
    assert (tmp_path / "target").read_text() == "kept"


REFUSED: list[dict] = [
    {"src": "/etc/hostname"},
    {"src": "/etc/hostname", "dest": "here"},
    {"src": "/x", "dest": "/x", "flat": False},
]


def test_m1_anything_else_is_refused(tmp_path: Path, run, keep):
    """One run for all of them: a task for each, whose result is looked at."""
    tasks = [
        {**copy(args), "register": f"result_{number}", "ignore_errors": True} for number, args in enumerate(REFUSED)
    ]
    results = f"{{{{ [{', '.join(task['register'] for task in tasks)}] | to_json }}}}"
    done = run([*tasks, keep(results, tmp_path / "results.json")])
    assert done.returncode == 0, done.stdout + done.stderr
    accepted = [
        (args, result)
        for args, result in zip(REFUSED, json.loads((tmp_path / "results.json").read_text()), strict=True)
        if not result["failed"] or "private_fetch wants" not in result["msg"]
    ]
    assert accepted == []


def test_m1_a_copy_can_be_tried_again(tmp_path: Path, run):
    args = {"src": f"{tmp_path}/pi/late", "dest": f"{tmp_path}/control/late"}
    again = {"until": "copied.attempts == 2", "retries": 2, "delay": 0, "failed_when": False}
    done = run([copy(args, register="copied", **again)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "private_fetch wants" not in done.stdout


def test_m1_with_check_nothing_is_made(tmp_path: Path, run):
    done = run([copy({"src": f"{tmp_path}/pi/pi-controller.db", "dest": f"{tmp_path}/control/state"})], "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "control").exists()


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


@pytest.mark.parametrize("taken", [b"state" * 1000, b"something else"])
def test_a_copy_that_is_not_what_was_taken_fails(tmp_path: Path, run, taken: bytes):
    expected = hashlib.sha256(taken).hexdigest()
    args = {
        "src": f"{tmp_path}/pi/pi-controller.db",
        "dest": f"{tmp_path}/control/pi-controller.db",
        "expected_sha256": expected,
    }
    done = run([copy(args)])
    assert (done.returncode == 0) == (taken == b"state" * 1000), done.stdout + done.stderr
    if done.returncode:
        assert f"wanted: {expected}" in done.stdout
        assert hashlib.sha256(b"state" * 1000).hexdigest() in done.stdout

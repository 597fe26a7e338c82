# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules that run with code that is kept: what is sent, what is trusted, and that a play sees no difference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT, import_plugin

kept = import_plugin("plugin_utils.kept_modules")
kept_code = import_plugin("module_utils._core.kept_code")
ACTIONS = {path.stem: path.read_text(encoding="utf-8") for path in (CHECKOUT / "plugins/action").glob("*.py")}
JOURNAL = "/nowhere/journal.json"
# Any that is not `local`, where nothing is saved.
CONNECTION = '''
from ansible.plugins.connection.local import Connection as Local
DOCUMENTATION = """
name: beside
short_description: This machine, as if it were another one
description: This machine, as if it were another one.
author: The project
options: {}
extends_documentation_fragment: [connection_pipelining]
"""
class Connection(Local):
    transport = "beside"
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(tmp_path / "kept" / kept.DIGEST)


def started(
    folder: Path, archived: str = "", module: str = "migration_journal_info", **params: Any
) -> subprocess.CompletedProcess[str]:
    given = {"ANSIBLE_MODULE_ARGS": params or {"path": JOURNAL}}
    text = kept.script(str(folder.parent), module, json.dumps(given).encode(), "legacy", archived).decode()
    # Nothing of this environment helps it.
    return subprocess.run(
        [sys.executable, "-S", "-"], input=text, cwd="/", env={}, text=True, capture_output=True, check=False
    )


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_first_task_brings_the_code_and_later_ones_find_it(folder: Path) -> None:
    assert "No such file" in result(started(folder))[kept_code.MISSING]
    assert result(started(folder, kept.archive()))["current"] == "prepare"
    assert result(started(folder))["current"] == "prepare"
    assert [path.name for path in folder.parent.iterdir()] == [kept.DIGEST], "nothing else is left"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("basic.*.pyc")), "compiled once"
    failed = started(folder, path="")
    assert failed.returncode == 1
    assert result(failed)["failed"] is True


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = Path(tmp_path_factory.mktemp("filled") / "kept" / kept.DIGEST)
    result(started(found, kept.archive()))
    return found


@pytest.mark.parametrize("module", sorted(name for name, text in ACTIONS.items() if "kept_modules" in text))
def test_every_module_finds_all_that_it_imports(filled: Path, module: str) -> None:
    found = result(started(filled, module=module, nothing=True))
    assert found["failed"] is True
    # Its options are refused, so all of it has been imported.
    assert "missing" in found["msg"] or "Unsupported parameters" in found["msg"], found


@pytest.mark.parametrize("spoil", ["link", "open-to-others", "a-file"])
def test_code_that_another_could_have_put_there_is_not_run(folder: Path, tmp_path: Path, spoil: str) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    folder.parent.mkdir(mode=0o700)
    if spoil == "link":
        folder.symlink_to(other)
    elif spoil == "open-to-others":
        folder.mkdir(mode=0o755)
        (folder / "ansible.py").touch()
    else:
        folder.write_text("")
    (other / "ansible.py").write_text("raise SystemExit('not this one')")
    for archived in ("", kept.archive()):
        assert "not a folder of this user alone" in result(started(folder, archived))[kept_code.MISSING]
    assert [path.name for path in other.iterdir()] == ["ansible.py"]


def test_where_it_cannot_be_kept_the_reason_is_the_answer(folder: Path) -> None:
    folder.parent.write_text("in the way")
    assert result(started(folder, kept.archive()))[kept_code.MISSING]


def test_each_module_for_a_pi_has_such_an_action() -> None:
    modules = {path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py")}
    # These work on the control node.
    elsewhere = {name for name, text in ACTIONS.items() if "KubernetesAction" in text}
    elsewhere |= {"migration_report", "quorum_watch", "preflight_kubernetes"}
    assert {name for name in modules if "kept_modules" not in ACTIONS.get(name, "")} == elsewhere


def test_a_play_sees_no_difference(tmp_path: Path, ansible_playbook: str) -> None:
    """One play whose code cannot be kept, one that brings it, one that finds it there, and one that is to keep none."""
    (tmp_path / "connection_plugins").mkdir()
    (tmp_path / "connection_plugins/beside.py").write_text(CONNECTION)
    (tmp_path / "tasks.yml").write_text(
        json.dumps(
            [
                {"pi_controller.raft_migration.migration_journal_info": {"path": JOURNAL}, "register": "journal"},
                {
                    "pi_controller.raft_migration.sqlite_info": {"paths": ["/nowhere/a.db"]},
                    "register": "database",
                    "failed_when": False,
                },
                {
                    "ansible.builtin.copy": {"content": "{{ [journal, database] | to_json }}", "dest": "{{ found }}"},
                    "connection": "local",
                },
            ]
        )
    )
    (tmp_path / "play.json").write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.include_tasks": "tasks.yml"}]}])
    )
    found = []
    for number, base in enumerate(["/dev/null/nowhere", str(tmp_path / "kept"), str(tmp_path / "kept"), ""]):
        path = tmp_path / f"found-{number}.json"
        done = subprocess.run(
            [ansible_playbook, "play.json", "-vvvv", "-i", "pi,", "-c", "beside", "-e", f"found={path}",
             "-e", f"ansible_python_interpreter={sys.executable}", "-e", f"{kept.VARIABLE}={base}"],
            cwd=tmp_path, text=True, capture_output=True, timeout=300, check=False,
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
                 "ANSIBLE_CONNECTION_PLUGINS": str(tmp_path / "connection_plugins"),
                 "ANSIBLE_PIPELINING": str(number != 1)},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found.append(json.loads(path.read_text()))
    assert found == [found[0]] * 4
    assert found[0][0]["current"] == "prepare"
    assert len(list((tmp_path / "kept").iterdir())) == 1

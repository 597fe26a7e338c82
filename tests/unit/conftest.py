# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the checkout importable as a collection and runs its modules in this process."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

COLLECTION = "ansible_collections.pi_controller.raft_migration"
CHECKOUT = Path(__file__).resolve().parents[2]

# `ansible_collections` is a namespace package: the checkout adds its part to what the `ansible` bundle carries. Under
# `ansible-test units` the tree is one already, but this folder is not where imports are looked for.
sys.path[:0] = [str(Path(__file__).parent), str(CHECKOUT / ".collections")]


# `copy` would start two Pythons for it, which takes longer than the rest of a short run.
KEEP = """
from __future__ import annotations
from pathlib import Path
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        path = Path(self._task.args["dest"])
        path.touch(0o600)
        path.write_text(self._task.args["content"])
        return {"changed": True}
"""


def import_plugin(path: str) -> Any:
    """`import_plugin("module_utils._daemon.pi_controller.client")` is that file of the collection."""
    return importlib.import_module(f"{COLLECTION}.plugins.{path}")


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist would begin with the files that have the most tests, and be left with one process that works on a slow one.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A run of ansible-playbook takes seconds, so each test that has one is `slow`. Files with the most of these come first.

    It is `patient` as well: it can wait for the processors, unless it judges the time it takes (`timed`).
    """
    for item in items:
        if "ansible_playbook" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
            if not item.get_closest_marker("timed"):
                item.add_marker(pytest.mark.patient)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture
def ansible_playbook() -> str:
    """The tool itself, for real runs in the checkout; the environments of `ansible-test units` have none."""
    tool = Path(sys.executable).with_name("ansible-playbook")
    if not tool.exists():
        pytest.skip("ansible-playbook is not beside this Python")
    return str(tool)


@pytest.fixture
def keep(tmp_path: Path) -> Callable[[str, Path], dict[str, Any]]:
    """`keep(text, file)` is a task that writes a text to a file of this machine, in a play that is in the test's folder.

    It runs in the worker that Ansible forks for it; no module is started.
    """
    (tmp_path / "action_plugins").mkdir()
    (tmp_path / "action_plugins/keep.py").write_text(KEEP)
    return lambda content, dest: {"name": f"Write {dest.name}", "keep": {"content": content, "dest": str(dest)}}


@pytest.fixture(scope="session")
def evaluator() -> Iterator[Any]:
    """The process that evaluates for all tests of this session."""
    # Here and not above: tests/raft takes run_module from this file.
    import role_variables

    with role_variables.evaluator() as one:
        yield one


@pytest.fixture
def evaluate(tmp_path: Path, ansible_playbook: str, evaluator: Any) -> Callable[..., list[Any]]:
    """What an expression comes to with the variables of a role, once for each case, as in a run.

    `evaluate("cutover", "{{ raft_migration_proof }}", [{"raft_migration_carried": {...}}, ...])`; a variable that a case does not
    give is undefined in it. With a `task` its own variables are there as well.
    """

    def ask(
        role: str, expression: Any, cases: list[dict[str, Any]], task: Mapping[str, Any] | None = None
    ) -> list[Any]:
        known = (task or {}).get("vars", {})
        files = [str(CHECKOUT / "roles" / role / "vars/main.yml")]
        request = {"files": files, "expression": expression, "cases": cases, "known": known}
        request["environment"] = dict(os.environ)
        (tmp_path / "request.json").write_text(json.dumps(request))
        found: list[Any] = evaluator.ask(tmp_path / "request.json")
        return found

    return ask


@pytest.fixture
def run_module(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run one module as Ansible would and return the JSON it prints.

    `run_module("raft_info", {"urls": [...]}, check_mode=True, diff=True)`

    A module that ends with fail_json gives a result with `failed: true` and its `msg`; a module that ends in an
    uncaught exception raises it here, since that is a defect of the module whatever the test is about.
    """
    testing = pytest.importorskip("ansible.module_utils.testing")

    def run(name: str, args: dict[str, Any], *, check_mode: bool = False, diff: bool = False) -> dict[str, Any]:
        module = import_plugin(f"modules.{name}")
        internal = {
            "_ansible_check_mode": check_mode,
            "_ansible_diff": diff,
            "_ansible_remote_tmp": str(tmp_path / "remote_tmp"),
        }
        printed = io.StringIO()
        with (
            testing.patch_module_args({**args, **internal}),
            contextlib.redirect_stdout(printed),
            pytest.raises(SystemExit) as ended,
        ):
            module.main()
        result: dict[str, Any] = json.loads(printed.getvalue())
        assert bool(ended.value.code) == bool(result.get("failed", False)), result
        # Ansible reads meaning of its own into these, whatever the module meant by them.
        assert not {"unreachable", "skipped"} & set(result), result
        assert set(result.get("ansible_facts", {})) <= {"raft_migration_journal"}, result
        return result

    return run


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Three nodes of the profile `full`, n1 leading."""
    # Here and not above: tests/raft takes run_module from this file and has real nodes instead.
    from fake_raft import FakeCluster

    one = FakeCluster.start(3)
    yield one
    one.stop()


@pytest.fixture
def raft_dir(tmp_path: Path) -> Path:
    """A copy of a Raft folder that HashiCorp's own FileSnapshotStore wrote."""
    return shutil.copytree(CHECKOUT / "tests/unit/plugins/module_utils/fixtures/filesnapshotstore", tmp_path / "raft")

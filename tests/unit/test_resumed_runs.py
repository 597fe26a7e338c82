# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an earlier run may have left is looked for by a run that finds one, and is no task of the run that begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

ROLES = CHECKOUT / "roles"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def resumed() -> list[Path]:
    return sorted(ROLES.glob("*/tasks/resumed.yml"))


def test_the_phases_know_which_roles_look_for_it() -> None:
    names = [path.parents[1].name for path in resumed()]
    assert sorted(read(ROLES / "run/vars/main.yml")["raft_migration_roles_resumed"]) == names


@pytest.mark.parametrize("path", resumed(), ids=lambda path: path.parents[1].name)
def test_a_resumed_run_goes_on_with_all_of_the_role(path: Path) -> None:
    *_looks, last = read(path)
    assert last["ansible.builtin.import_tasks"] == "main.yml"
    assert "when" not in last


def test_the_run_that_begins_has_no_task_for_it(evaluate: Callable[..., list[Any]]) -> None:
    cases = [
        {"raft_migration_strategy": strategy, "raft_migration_phase": phase, "raft_migration_resumes": resumes}
        for strategy, phase in (
            ("parallel", "transfer"),
            ("rolling", "cutover"),
            ("parallel", "cutover"),
            ("parallel", "validate"),
        )
        for resumes in (False, True)
    ]
    found = evaluate("run", "{{ raft_migration_phase_entry }}", cases)
    assert found == [*["main", "resumed"] * 3, "main", "main"]


def test_a_cutover_looks_for_it_unless_it_has_been_opened(evaluate: Callable[..., list[Any]]) -> None:
    """No unit is started then, and no cluster looked at: the file is known without a fence."""
    fences: tuple[dict[str, Any], ...] = ({"fence": "network"}, {"fence": "read-only"}, {})
    cases = [
        {"raft_migration_recorded": {"opening": not clusters}, "raft_migration_clusters": clusters}
        for clusters in fences
    ]
    (left, _rest) = read(ROLES / "cutover/tasks/resumed.yml")
    assert left["ansible.builtin.include_tasks"] == "left_behind.yml"
    look, step = (task for task in read(ROLES / "cutover/tasks/main.yml") if "look" in str(task) or "loop" in task)
    for condition in (left["when"], look["when"]):
        assert evaluate("run", f"{{{{ {condition} }}}}", cases) == [True, True, False]
    found = evaluate("run", step["loop"], cases, task=step)
    assert found == [["switch_network.yml"], ["switch_read-only.yml"], ["closed.yml"]]


@pytest.mark.parametrize(
    "path",
    [
        "prepare/tasks/main",
        "transfer/tasks/main",
        "rolling_prepare/tasks/trial",
        "rolling_cutover/tasks/main",
        "cutover/tasks/main",
    ],
)
def test_no_task_is_skipped_for_want_of_an_earlier_run(path: str) -> None:
    conditions = [str(task.get("when", "")) for task in read(ROLES / f"{path}.yml")]
    assert not [condition for condition in conditions if "raft_migration_resumes" in condition]

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which phase a run begins right after another one, by the playbook and its tags."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from conftest import CHECKOUT, import_plugin

journals = import_plugin("module_utils._core.journal")
next_phase = import_plugin("filter.next_phase").FilterModule().filters()["next_phase"]


@pytest.mark.parametrize(
    ("phase", "strategy", "verb", "run", "skip", "held", "wanted"),
    [
        ("prepare", "parallel", "transfer", ["all"], [], [], "transfer"),
        ("cutover", "parallel", "complete", ["all"], [], [], "systemd_shutdown"),
        ("cutover", "rolling", "complete", ["all"], [], [], "cleanup"),
        ("port_migration", "parallel", "complete", ["complete"], [], [], "cleanup"),
        ("prepare", "rolling", "transfer", ["prepare", "transfer"], [], [], "transfer"),
        ("prepare", "rolling", "transfer", ["prepare"], [], [], ""),
        ("prepare", "rolling", "transfer", ["all"], ["transfer"], [], ""),
        ("prepare", "rolling", "transfer", ["tagged"], [], [], ""),
        ("validate", "rolling", "cutover", ["all"], [], ["cutover"], ""),
        ("cleanup", "rolling", "complete", ["all"], [], [], ""),
        # A playbook of one phase.
        ("prepare", "rolling", "", ["all"], [], [], ""),
    ],
)
def test_which_phase_follows(
    phase: str, strategy: str, verb: str, run: list[str], skip: list[str], held: list[str], wanted: str
) -> None:
    assert next_phase(phase, strategy, verb, run, skip, held=held) == wanted


def plays(playbook: str, **given: Any) -> list[dict[str, Any]]:
    """The plays of a playbook with those that it imports, each with the variables that it has from there."""
    found: list[dict[str, Any]] = []
    for play in yaml.safe_load((CHECKOUT / "playbooks" / playbook).read_text()):
        part = play.get("ansible.builtin.import_playbook")
        variables = {**given, **play.get("vars", {})}
        found += plays(part, **variables) if part else [{**play, "vars": variables}]
    return found


def test_each_play_names_the_tag_of_the_play_that_follows() -> None:
    """Or a phase would be recorded as started that this playbook never begins."""
    for playbook in sorted(path.name for path in (CHECKOUT / "playbooks").glob("*.yml")):
        phases = []
        for play in plays(playbook):
            for task in play.get("tasks", []):
                variables = {**play["vars"], **task.get("vars", {})}
                if task.get("ansible.builtin.import_role", {}).get("tasks_from") == "phase":
                    (tag,) = play["tags"]
                    phases.append(
                        (variables["raft_migration_phase"], tag, variables.get("raft_migration_next_verb", ""))
                    )
        follows = [tag for _phase, tag, _verb in phases[1:]]
        assert [verb for _phase, _tag, verb in phases[:-1]] == follows, playbook
        assert all(not verb for _phase, _tag, verb in phases[-1:]), playbook
        if playbook == "migrate.yml":
            assert [phase for phase, _tag, _verb in phases] == list(journals.PHASES)

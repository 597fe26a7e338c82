# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from conftest import import_plugin

journals = import_plugin("module_utils._core.journal")


def journal(done: int, started: int = 0, migration_id: str = "m-1") -> dict[str, Any]:
    """The first `done` phases are done, the next `started` are begun."""
    journal: dict[str, Any] = {}
    for number, phase in enumerate(journals.PHASES[: done + started]):
        journal = journals.marked(
            journal or None, phase, "done" if number < done else "started", {}, migration_id, "now"
        )
    return journal


def test_journals_a_step_apart_agree():
    assert journals.conflicts({"a": None, "b": None}) == []
    assert journals.conflicts({"a": journal(0, 1), "b": None}) == []
    assert journals.conflicts({"a": journal(2), "b": journal(1, 1)}) == []
    assert journals.conflicts({"a": journal(3, 1), "b": journal(3)}) == []


def test_a_phase_ends_and_the_next_one_starts_in_one_entry():
    """A run that is killed while the Pis write it leaves the entry on some of them."""
    assert journals.conflicts({"a": journal(3, 1), "b": journal(2, 1), "c": journal(3, 1)}) == []
    failed = journals.marked(journal(2, 1), "validate", "failed", {}, "m-1", "now")
    assert journals.conflicts({"a": journal(3, 1), "b": failed}) == []
    # Whoever is further, or has lost its entry, is not at that one.
    assert journals.conflicts({"a": journal(4), "b": journal(2, 1)}) != []
    assert journals.conflicts({"a": journal(3, 2), "b": journal(2, 1)}) != []
    assert journals.conflicts({"a": journal(3, 1), "b": journal(2, 1), "c": None}) != []
    # The next phase has begun to work: whoever is behind has lost what it wrote last.
    handed = journals.marked(journal(3, 1), "cutover", "started", {"turn": "done"}, "m-1", "now")
    assert journals.conflicts({"a": handed, "b": journal(2, 1), "c": journal(3, 1)}) != []


def test_ports_change_one_pi_after_the_other():
    assert journals.conflicts({"a": journal(6), "b": journal(5, 1), "c": journal(5)}) == []


def test_a_lost_journal_is_reported():
    found = journals.conflicts({"a": journal(3, 1), "b": None})
    assert "phase prepare is not done everywhere (b pending), yet begun was a transfer" in found[0]


def test_a_pi_that_is_behind_is_reported():
    found = journals.conflicts({"a": journal(3, 1), "b": journal(2)})
    assert len(found) == 1
    assert "phase validate" in found[0]


def test_two_migrations_are_reported():
    found = journals.conflicts({"a": journal(1), "b": journal(1, migration_id="m-2")})
    assert found == ["the journals belong to different migrations: a m-1, b m-2"]


def test_a_failure_may_be_the_first_entry_on_a_pi():
    """Where the Pi did not answer, or could not write, when the migration was named."""
    nameless = journals.marked(None, "prepare", "failed", {}, None, "now")
    assert journals.conflicts({"a": journal(0, 1), "b": nameless}) == []


@pytest.mark.parametrize("strategy", ["parallel", "rolling"])
def test_a_failure_names_migration_and_strategy(strategy):
    begun = journals.marked(None, "prepare", "started", {}, "m-1", "now", strategy)
    failed = journals.marked(None, "prepare", "failed", {}, "m-1", "now", strategy)
    rolled_back = journals.marked(None, "rollback", "started", {}, "m-1", "now", strategy)
    assert journals.conflicts({"a": begun, "b": failed, "c": rolled_back}) == []


def test_a_rollback_that_is_done_archives_one_by_one():
    """A run that ends in between leaves journals on some Pis, and the rollback is run again."""
    done = journals.marked(journal(3, 1), "rollback", "done", {}, "m-1", "now")
    assert journals.conflicts({"a": None, "b": done, "c": done}) == []
    half = journals.marked(journal(3, 1), "rollback", "started", {}, "m-1", "now")
    assert journals.conflicts({"a": None, "b": done, "c": half}) != []


def rolling(*phases: str) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for phase in phases:
        known = journals.marked(known or None, phase, "done", {}, "m-1", "now", "rolling")
    return known


def test_a_strategy_has_its_own_phases():
    journal = rolling("prepare", "transfer", "validate", "cutover")
    assert list(journals.phase_states(journal)) == ["prepare", "transfer", "validate", "cutover", "cleanup"]
    assert journals.current_phase(journal) == "cleanup"
    assert journals.current_phase(rolling("prepare", "transfer", "validate", "cutover", "cleanup")) is None
    assert journals.conflicts({"a": journal, "b": rolling("prepare", "transfer", "validate")}) == []
    assert (
        "phase validate is not done everywhere"
        in journals.conflicts({"a": journal, "b": rolling("prepare", "transfer")})[0]
    )


def test_a_journal_of_before_strategies_is_parallel():
    assert journals.strategy_of(journal(2)) == "parallel"
    assert list(journals.phase_states(journal(2))) == list(journals.PHASES)


def test_two_strategies_are_reported():
    assert journals.conflicts({"a": journal(1), "b": rolling("prepare")}) == [
        "the journals have different strategies: a parallel, b rolling"
    ]


def test_a_migration_keeps_its_strategy():
    with pytest.raises(journals.JournalError, match="begun with the strategy parallel, not with rolling"):
        journals.marked(journal(1), "transfer", "started", {}, "m-1", "now", "rolling")
    assert journals.marked(rolling("prepare"), "transfer", "started", {}, "m-1", "now")["strategy"] == "rolling"


def test_a_journal_with_an_unknown_strategy_is_refused(tmp_path):
    path = tmp_path / "journal.json"
    journals.save(path, {**rolling("prepare"), "strategy": "sideways"})
    with pytest.raises(
        journals.JournalError, match="its strategy is 'sideways', this collection knows parallel and rolling"
    ):
        journals.load(path)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from conftest import import_plugin

journals = import_plugin("module_utils._core.journal")


def journal(done: int, started: int = 0, migration_id: str = "m-1") -> dict[str, Any]:
    """The first `done` phases are done, the next `started` are begun."""
    journal: dict[str, Any] = {}
    for number, phase in enumerate(journals.PHASES[: done + started]):
        journal = journals.marked(journal or None, phase, "done" if number < done else "started", {}, migration_id, "now")
    return journal


def test_journals_a_step_apart_agree():
    assert journals.conflicts({"a": None, "b": None}) == []
    assert journals.conflicts({"a": journal(0, 1), "b": None}) == []
    assert journals.conflicts({"a": journal(2), "b": journal(1, 1)}) == []
    assert journals.conflicts({"a": journal(3, 1), "b": journal(3)}) == []


def test_ports_change_one_pi_after_the_other():
    assert journals.conflicts({"a": journal(6), "b": journal(5, 1), "c": journal(5)}) == []


def test_a_lost_journal_is_told():
    found = journals.conflicts({"a": journal(3, 1), "b": None})
    assert "phase prepare is not done everywhere (b pending), yet begun was a transfer" in found[0]


def test_a_pi_that_is_behind_is_told():
    found = journals.conflicts({"a": journal(3, 1), "b": journal(2)})
    assert len(found) == 1
    assert "phase validate" in found[0]


def test_two_migrations_are_told():
    found = journals.conflicts({"a": journal(1), "b": journal(1, migration_id="m-2")})
    assert found == ["the journals belong to different migrations: a m-1, b m-2"]

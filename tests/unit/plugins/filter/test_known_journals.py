# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Pi's journal is what this run has written last, or has read; never what a fact cache kept of an earlier one."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import import_plugin

known_journals = import_plugin("filter.known_journals").FilterModule().filters()["known_journals"]

READ = {"phase_states": {"prepare": "pending"}, "journal": None, "listeners": {}}
WRITTEN = {"phase_states": {"prepare": "done"}, "journal": {"phases": {}}}
UNREACHABLE = {"unreachable": True, "msg": "no route to host"}


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"raft_migration_journal_read": READ, "ansible_facts": {"raft_migration_journal": WRITTEN}}, WRITTEN),
        ({"raft_migration_journal_read": READ, "ansible_facts": {}}, READ),
        ({"raft_migration_journal_read": READ}, READ),
        (
            {"raft_migration_journal_read": UNREACHABLE, "ansible_facts": {"raft_migration_journal": WRITTEN}},
            UNREACHABLE,
        ),
        ({"ansible_facts": {"raft_migration_journal": WRITTEN}}, {}),
        ({}, {}),
    ],
)
def test_what_this_run_knows(variables: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert known_journals(["pi-1", "pi-2"], {"pi-1": variables, "pi-2": {}}) == {"pi-1": wanted, "pi-2": {}}

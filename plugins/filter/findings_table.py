# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: findings_table
short_description: Findings as a table for people
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Gives a text table with the columns host, check, seen, wanted and fix. Long texts are wrapped inside of their column.
positional: _input
options:
  _input:
    description: What the filter P(pi_controller.raft_migration.preflight_findings#filter) returned, or a part of it.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what to fix
  ansible.builtin.fail:
    msg: "{{ raft_migration_findings | pi_controller.raft_migration.findings_table }}"
"""

RETURN = r"""
_value:
  description: The table, with a line of column names and a rule below it.
  type: str
"""

from typing import Any, Callable

from ..module_utils._preflight.findings import table


def findings_table(findings: list[dict[str, Any]]) -> str:
    return table(findings)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"findings_table": findings_table}

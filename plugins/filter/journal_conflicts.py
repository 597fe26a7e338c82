# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: journal_conflicts
short_description: Contradictions between the journals of the Pis
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Compares the journals of all Pis. A run that was killed leaves them one step apart at most, which is no conflict.
positional: _input
options:
  _input:
    description: Each host's journal, as M(pi_controller.raft_migration.migration_journal_info) gives it, or none.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: The journals agree
  ansible.builtin.assert:
    that: journals | pi_controller.raft_migration.journal_conflicts | length == 0
"""

RETURN = r"""
_value:
  description: A sentence for each conflict; empty when the journals agree.
  type: list
  elements: str
"""

from typing import Any, Callable

from ..module_utils._core.journal import conflicts


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"journal_conflicts": conflicts}

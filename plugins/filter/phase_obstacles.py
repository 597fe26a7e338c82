# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: phase_obstacles
short_description: Why a phase may not begin
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Compares a phase with the journals of all Pis. It may not begin while a phase before it is not done, while a rollback is in
    progress, or with another strategy than the migration was begun with.
positional: _input, phase, configured
options:
  _input:
    description: The journals by host, as of P(pi_controller.raft_migration.known_journals#filter).
    type: dict
    required: true
  phase:
    description: The phase that is to begin.
    type: str
    required: true
  configured:
    description: The strategy that the owner has set.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show why the cutover may not begin
  ansible.builtin.debug:
    msg: "{{ journals | pi_controller.raft_migration.phase_obstacles('cutover', 'rolling') }}"
"""

RETURN = r"""
_value:
  description: A sentence for each host with a reason, by host; empty where the phase may begin.
  type: dict
"""

from typing import Any, Callable

from ..module_utils._core.phase_order import phase_obstacles


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"phase_obstacles": phase_obstacles}

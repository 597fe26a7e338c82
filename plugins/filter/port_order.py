# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: port_order
short_description: In which order a port migration goes from Pi to Pi
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - First the Pis that an earlier run left half-way, then the followers, the leader last.
positional: _input, leader
options:
  _input:
    description: >-
      For each host whether its pod has C(moved) to the standard ports, and whether the leader has C(reached) it.
    type: dict
    required: true
  leader:
    description: The host whose pod leads.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the order
  ansible.builtin.debug:
    msg: "{{ pods | pi_controller.raft_migration.port_order('pi-1') | join(', ') }}"
"""

RETURN = r"""
_value:
  description: Every host once.
  type: list
  elements: str
"""

from typing import Any, Callable

from ..module_utils._raft.port_order import port_order


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"port_order": port_order}

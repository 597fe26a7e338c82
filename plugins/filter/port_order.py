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
positional: _input, addresses, port, rest
options:
  _input:
    description: >-
      The pods' cluster as each host has seen it, a result of M(pi_controller.raft_migration.raft_info) with C(leader.host) by host.
    type: dict
    required: true
  addresses:
    description: The address of each host.
    type: dict
    required: true
  port:
    description: The standard Raft port.
    type: int
    required: true
  rest:
    description: The standard port of the REST interface.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Show the order
  ansible.builtin.debug:
    msg: "{{ looks | pi_controller.raft_migration.port_order(addresses, 9091, 8080) | map(attribute='host') | join(', ') }}"
"""

RETURN = r"""
_value:
  description: Every host once, C(host), and whether its pod has C(moved) to the standard ports.
  type: list
  elements: dict
"""

from typing import Any, Callable

from ..module_utils._raft.port_order import port_turns


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"port_order": port_turns}

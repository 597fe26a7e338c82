# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: inventory_faults
short_description: Errors in the group of Pis to migrate
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Says in one sentence each which hosts the run leaves out, and which hosts share an address or a Kubernetes node.
  - An empty group is an error, too.
positional: _input, group, nodes, played, whole
options:
  _input:
    description: Address by host, for all hosts of the group.
    type: dict
    required: true
  group:
    description: Name of the group, for the sentences.
    type: str
    required: true
  nodes:
    description: Name of the Kubernetes node by host.
    type: dict
    required: true
  played:
    description: The hosts of this run.
    type: list
    elements: str
    required: true
  whole:
    description: Whether the run has to be for the whole group. What only looks need not be, and only the group itself is judged.
    type: bool
    default: true
    version_added: 0.2.0
"""

EXAMPLES = r"""
- name: The inventory fits
  ansible.builtin.assert:
    that: "{'pi-1': '10.77.0.11'} | pi_controller.raft_migration.inventory_faults(group, nodes, played) | length == 0"
  vars:
    group: k3s_cluster
    nodes: {pi-1: pi-1}
    played: [pi-1]
"""

RETURN = r"""
_value:
  description: A sentence for each fault; empty when there is none.
  type: list
  elements: str
"""

from typing import Any, Callable

from ..module_utils._core.inventory import faults


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"inventory_faults": faults}

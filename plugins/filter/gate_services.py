# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gate_services
short_description: Which of a Service's addresses a Pi's gate redirects
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Makes the option O(pi_controller.raft_migration.traffic_gate#module:services) from a Service. A gate cannot turn
    one address family into the other, so it is the Service's address of the Pi's own family; a headless Service has
    none.
positional: _input, address
options:
  _input:
    description: The Service, a list of none or one, C(resources) of M(pi_controller.raft_migration.k8s_object_info).
    type: list
    elements: dict
    required: true
  address:
    description: The Pi's own address.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what the gate of this Pi redirects
  ansible.builtin.debug:
    msg: "{{ service.resources | pi_controller.raft_migration.gate_services('10.77.0.11') }}"
"""

RETURN = r"""
_value:
  description: None or one, with C(cluster_ip) and C(address).
  type: list
  elements: dict
"""

from typing import Any, Callable

from ..module_utils._gate.services import gate_services


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gate_services": gate_services}

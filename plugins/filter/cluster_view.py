# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_view
short_description: Both clusters of a migration in the terms of the inventory
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Puts together what M(pi_controller.raft_migration.raft_info) has seen last of each cluster.
positional: _input, addresses
options:
  _input:
    description:
      - C(old) for the units and C(new) for the pods, each the last result of M(pi_controller.raft_migration.raft_info) with
        the option C(hosts), and C(both), that of its last look at both with the option C(clusters). Of each side the later one
        counts, by C(looked_at). One that failed or was skipped says nothing.
    type: dict
    required: true
  addresses:
    description: The address of each Pi by its name in the inventory.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which Pi leads the pods
  ansible.builtin.debug:
    msg: "{{ ({'new': seen} | pi_controller.raft_migration.cluster_view({'pi-1': '10.77.0.11'})).new.leader.host }}"
"""

RETURN = r"""
_value:
  description:
    - C(old) and C(new), each what M(pi_controller.raft_migration.raft_info) returned.
    - Once both have a leader, each has C(detour), the C(state) and C(forward_to) of
      M(pi_controller.raft_migration.traffic_gate) on the leader's Pi while its daemon must not answer.
    - C(fence), V(read-only) or V(network), and C(carry), V(api) or V(sqlite), once both have a leader.
  type: dict
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._raft.sides import both_sides


def cluster_view(seen: Mapping[str, Any], addresses: Mapping[str, str]) -> dict[str, Any]:
    try:
        return both_sides(seen, addresses)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"cluster_view": cluster_view}

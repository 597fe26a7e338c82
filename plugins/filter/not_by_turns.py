# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: not_by_turns
short_description: Why pods and units cannot change places Pi by Pi
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Puts together what a rollback has looked at before it begins. Each look is a result that has C(msg) where it failed.
positional: _input, daemonset, seen, endpoints
options:
  _input:
    description: The results of M(pi_controller.raft_migration.unit_takeover) by host.
    type: dict
    required: true
  daemonset:
    description: The result of M(pi_controller.raft_migration.k8s_daemonset_nodes).
    type: dict
    required: true
  seen:
    description: The pods' cluster, a result of M(pi_controller.raft_migration.raft_info).
    type: dict
    required: true
  endpoints:
    description: Where the members have to be, C(address:port) of each Pi.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what is in the way
  ansible.builtin.debug:
    msg: "{{ takeovers | pi_controller.raft_migration.not_by_turns(daemonset, seen, ['10.77.0.11:9091']) | join('; ') }}"
"""

RETURN = r"""
_value:
  description: A text for each reason; empty where nothing is in the way.
  type: list
  elements: str
"""

from typing import Any, Callable

from ..module_utils._raft.turns import not_by_turns


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"not_by_turns": not_by_turns}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gate_ports
short_description: The ports that the gate of a Pi routes
version_added: 0.2.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - REST and gRPC, every further listener of the daemon that the pod has elsewhere beside the unit, and the owner's own ports.
  - Raft is left out, since members have no other way to each other.
positional: _input, listeners, extra
options:
  _input:
    description: What the filter P(pi_controller.raft_migration.migration_config#filter) returned.
    type: dict
    required: true
  listeners:
    description:
      - Further ports of the unit, by the variables that move them, as M(pi_controller.raft_migration.migration_journal_info) returns
        them. A variable in C(standard_env) wins, since the unit has it as well.
    type: dict
    required: true
  extra:
    description: The role's C(pi_controller_extra_ports).
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Show what the gate routes
  ansible.builtin.debug:
    msg: "{{ raft_migration | pi_controller.raft_migration.gate_ports({'PI_CONTROLLER_WEBSOCKET_PORT': 8081}) }}"
"""

RETURN = r"""
_value:
  description: What the O(pi_controller.raft_migration.traffic_gate#module:ports) of the gate are.
  type: list
  elements: dict
  sample:
    - {standard: 8080, temporary: 8082}
    - {standard: 9090, temporary: 9093}
    - {standard: 8081, temporary: 8084}
"""

from collections.abc import Mapping, Sequence
from typing import Any, Callable


def gate_ports(
    config: Mapping[str, Any], listeners: Mapping[str, int], extra: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, int]]:
    standard, temporary = config["standard_ports"], config["temporary_ports"]
    pairs = [{"standard": standard[name], "temporary": temporary[name]} for name in ("rest", "grpc")]
    pairs += [
        {
            "standard": int(config["standard_env"].get(variable, port)),
            "temporary": int(config["temporary_env"][variable]),
        }
        for variable, port in listeners.items()
        if variable in config["temporary_env"]
    ]
    pairs += [{name: int(port[name]) for name in ("standard", "temporary")} for port in extra]
    # The first of two with one port is the one that has it.
    known = {standard["raft"]: None, **{pair["standard"]: pair for pair in reversed(pairs)}}
    return [pair for pair in pairs if known[pair["standard"]] is pair and pair["standard"] != standard["raft"]]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gate_ports": gate_ports}

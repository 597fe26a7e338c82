# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_environment
short_description: The environment of a pod's container in one state of the migration
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Gives the list that a container's C(env) takes, ports and Raft address first, then the state's own variables.
  - The Raft address refers to C($(HOST_IP)), so the container needs C(HOST_IP) from C(status.hostIP) B(before) this
    list.
positional: _input, phase, address
options:
  _input:
    description: What the filter P(pi_controller.raft_migration.migration_config#filter) returned.
    type: dict
    required: true
  phase:
    description: Which ports and which environment.
    type: str
    choices:
      temporary: While the unit runs on the same Pi.
      standard: When the pod has taken the unit's place.
    required: true
  address:
    description:
      - The address of any Pi. Where it is an IPv6 address, C($(HOST_IP)) is put in brackets.
    type: str
    default: ""
seealso:
  - plugin: pi_controller.raft_migration.migration_config
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show the environment of a pod beside the running unit
  ansible.builtin.debug:
    msg: "{{ raft_migration | pi_controller.raft_migration.pod_environment('temporary') }}"
"""

RETURN = r"""
_value:
  description: Names and values, in a fixed order, so that equal settings make an equal pod template.
  type: list
  elements: dict
  sample:
    - name: PI_CONTROLLER_API_PORT
      value: "8082"
    - name: PI_CONTROLLER_GRPC_PORT
      value: "9093"
    - name: PI_CONTROLLER_CLUSTER_BIND_ADDR
      value: $(HOST_IP):9092
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._config.structure import PORT_SETS, port_environment


def pod_environment(config: dict[str, Any], phase: str, address: str = "") -> list[dict[str, str]]:
    if phase not in PORT_SETS:
        raise AnsibleFilterError(f"pod_environment knows the port sets {' and '.join(PORT_SETS)}, not {phase!r}.")
    environment = {**port_environment(config, phase, address), **config[f"{phase}_env"]}
    return [{"name": name, "value": value} for name, value in environment.items()]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"pod_environment": pod_environment}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: by_host
short_description: One variable of several hosts, by host
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Looks up the same variable of each host and returns the values as a dictionary with the hosts as keys, in their order.
  - A host without the variable is an error that names both, unless O(default) is given.
positional: _input, hostvars, name
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: Ansible's variable C(hostvars).
    type: dict
    required: true
  name:
    description: The variable, or a place in it such as C(result.stat.size).
    type: str
    required: true
  default:
    description: The value for a host that has no such variable.
    type: raw
"""

EXAMPLES = r"""
- name: Show the address of each Pi
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts | pi_controller.raft_migration.by_host(hostvars, 'ansible_host', default='none') }}"
"""

RETURN = r"""
_value:
  description: The values by host.
  type: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

_REQUIRED = object()


def by_host(
    hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], name: str, default: Any = _REQUIRED
) -> dict[str, Any]:
    return {host: _value(hostvars, host, name, default) for host in hosts}


def _value(hostvars: Mapping[str, Mapping[str, Any]], host: str, name: str, default: Any) -> Any:
    value: Any = hostvars
    for key in (host, *name.split(".")):
        if not isinstance(value, Mapping) or key not in value:
            if default is not _REQUIRED:
                return default
            raise AnsibleFilterError(f"{host} has no {name}. Next: see why the task that sets it did not run on {host}")
        value = value[key]
    return value


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"by_host": by_host}

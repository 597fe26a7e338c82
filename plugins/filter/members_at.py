# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: members_at
short_description: The Raft members on one host
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Of a list of Raft members it returns those with the given host in their address, whatever the port.
positional: _input, host
options:
  _input:
    description: Members as M(pi_controller.raft_migration.raft_info) returns them, each with C(address).
    type: list
    elements: dict
    required: true
  host:
    description: A host name or an address without a port. Addresses of IPv6 are the same however they are written.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show this host's members
  ansible.builtin.debug:
    msg: "{{ cluster.members | pi_controller.raft_migration.members_at('10.77.0.11') }}"
"""

RETURN = r"""
_value:
  description: The members, in their order.
  type: list
  elements: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ..module_utils._core.addresses import normal, without_port


def members_at(members: Iterable[Mapping[str, Any]], host: str) -> list[Mapping[str, Any]]:
    return [member for member in members if without_port(member["address"]) == normal(host)]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"members_at": members_at}

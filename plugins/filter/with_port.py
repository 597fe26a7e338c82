# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: with_port
short_description: An address and a port in one
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Joins an address and a port as URLs, Raft and Kubernetes write them. An IPv6 address is put in brackets,
    in its one spelling.
positional: _input, port
options:
  _input:
    description: An address of either family, or a name.
    type: str
    required: true
  port:
    description: The port.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Show where a daemon listens
  ansible.builtin.debug:
    msg: "http://{{ 'fd00::11' | pi_controller.raft_migration.with_port(8080) }}"
"""

RETURN = r"""
_value:
  description: The address and the port.
  type: str
  sample: "[fd00::11]:8080"
"""

from typing import Any, Callable

from ..module_utils._core.addresses import with_port


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"with_port": with_port}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: new_listeners
short_description: Every port the pods listen on while the unit runs beside them
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - The temporary ports and every C(*_PORT) of C(temporary_env), under the names of their settings.
positional: _input
options:
  _input:
    description: What the filter P(pi_controller.raft_migration.migration_config#filter) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the ports that must be free
  ansible.builtin.debug:
    msg: "{{ raft_migration | pi_controller.raft_migration.new_listeners }}"
"""

RETURN = r"""
_value:
  description: Port by the name of its setting.
  type: dict
  sample: {"temporary_ports.raft": 9092, "temporary_env.PI_CONTROLLER_WEBSOCKET_PORT": 8084}
"""

from typing import Any, Callable

from ..module_utils._preflight import plan


def new_listeners(config: dict[str, Any]) -> dict[str, int]:
    return plan.new_listeners(config)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"new_listeners": new_listeners}

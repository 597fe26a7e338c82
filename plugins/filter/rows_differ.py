# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rows_differ
short_description: Whether the databases of two Pis seem to differ
version_added: 0.2.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Compares what M(pi_controller.raft_migration.preflight_host) has seen of the rows on every Pi. A row that is steadily on one Pi and not
    on another one may have been written between two looks, so it is a reason to look again.
  - A Pi whose rows were not read is left out.
positional: _input
options:
  _input:
    description: RV(pi_controller.raft_migration.preflight_host#module:data) of every host by its name.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show whether the Pis have to be compared again
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts | pi_controller.raft_migration.by_host(hostvars, 'seen.data')
             | pi_controller.raft_migration.rows_differ }}"
"""

RETURN = r"""
_value:
  description: Whether a row is steadily on one Pi and not on another one.
  type: bool
"""

from collections.abc import Mapping
from typing import Any, Callable

from ..module_utils._sqlite.replicas import differ


def rows_differ(data: Mapping[str, Mapping[str, Any]]) -> bool:
    return differ(found["tables"] for found in data.values() if "tables" in found)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rows_differ": rows_differ}

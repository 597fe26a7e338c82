# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: pods_agreed
short_description: Which pods follow one leader, and how their state can be taken
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Puts together what the pods say, each asked on its own Pi, since their gates may keep others out.
positional: _input
options:
  _input:
    description: The result of M(pi_controller.raft_migration.raft_info) of each host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which pods follow one leader
  ansible.builtin.debug:
    msg: "{{ (views | pi_controller.raft_migration.pods_agreed).follow | join(', ') }}"
"""

RETURN = r"""
_value:
  description:
    - C(leader), the host of the pod that leads, empty where none does, and its C(url); C(follow), the hosts whose
      pods follow it, itself among them; C(text), what to report where these are too few.
    - C(fence), V(read-only) or V(network), and C(carry), V(api) or V(sqlite).
  type: dict
"""

from typing import Any, Callable

from ..module_utils._raft.turns import pods_agreed


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"pods_agreed": pods_agreed}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: preflight_view
short_description: The one view of the old cluster that all hosts go on with
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Every Pi looks at the cluster during pre-flight. Leadership may change between two looks, so one of them is taken for
    all, the first that was as wanted, else the first there is.
positional: _input
options:
  _input:
    description: The results of M(pi_controller.raft_migration.raft_info) by host, in the order of the inventory.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Take one view for all
  ansible.builtin.set_fact:
    raft_migration_old: "{{ seen.cluster | pi_controller.raft_migration.preflight_view }}"
"""

RETURN = r"""
_value:
  description: A result of M(pi_controller.raft_migration.raft_info); empty where no host has seen the cluster.
  type: dict
"""

from typing import Any, Callable

from ..module_utils._preflight.cluster import choose


def preflight_view(views: dict[str, Any]) -> dict[str, Any]:
    return dict(choose(list(views), views) or {})


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"preflight_view": preflight_view}

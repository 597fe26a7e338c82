# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: migration_status
short_description: The status of a migration, from what the Pis and Kubernetes report
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Puts the results of M(pi_controller.raft_migration.migration_host_info) and
    M(pi_controller.raft_migration.migration_cluster_info) together. The playbook C(pi_controller.raft_migration.status) shows the result.
positional: _input, cluster, config
options:
  _input:
    description: The result of C(migration_host_info) by host, each with C(address) beside it.
    type: dict
    required: true
  cluster:
    description: The result of C(migration_cluster_info).
    type: dict
    required: true
  config:
    description: The migration's whole configuration.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Assemble the status
  ansible.builtin.set_fact:
    status: "{{ seen | pi_controller.raft_migration.migration_status(cluster, raft_migration) }}"
"""

RETURN = r"""
_value:
  description: The status, and in C(table) the same as lines for a terminal.
  type: dict
"""

import time
from collections.abc import Mapping
from typing import Any, Callable

from ..module_utils._report.status import assemble_status
from ..module_utils._report.status_text import render


def migration_status(hosts: Mapping[str, Any], cluster: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    status = assemble_status(
        {name: _readable(info) for name, info in hosts.items()}, cluster or {}, config, time.time()
    )
    return {**status, "table": render(status)}


def _readable(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """A host that could not be asked has a message and nothing else."""
    return info if "gate" in info else {**info, "error": info.get("error") or info.get("msg") or "it was not asked"}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"migration_status": migration_status}

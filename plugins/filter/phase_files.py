# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: phase_files
short_description: What is run of a phase
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Returns the files of tasks that the role C(run) has for a phase, by the journals of all Pis and by what has failed in this run.
  - It reads the variables of each host once. The same as several variables of a role would read them once for each of these.
positional: _input, hostvars, phase, configured
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description:
      - Ansible's variable C(hostvars), in which each host has what P(pi_controller.raft_migration.known_journals#filter) reads, and
        C(raft_migration_failure) where this run has failed.
    type: dict
    required: true
  phase:
    description: The phase that is to begin.
    type: str
    required: true
  configured:
    description: The strategy that the owner has set.
    type: str
    required: true
  confirmed:
    description: Whether the operator has confirmed the phase, where it needs that.
    type: bool
    required: true
  predictable:
    description: Whether the phase can be predicted, in check mode.
    type: bool
    required: true
  resumes:
    description: Whether an earlier run has begun the migration.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Show what is run of the cutover
  ansible.builtin.debug:
    msg: >-
      {{ ansible_play_hosts
         | pi_controller.raft_migration.phase_files(hostvars, 'cutover', 'rolling', confirmed=true, predictable=true, resumes=false) }}
"""

RETURN = r"""
_value:
  description: Names of files, in their order; empty where the phase is done on every Pi, or where this run has failed on one.
  type: list
  elements: str
"""

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ..module_utils._core.phase_order import phase_files
from ..module_utils._core.recorded import known_journal

FAILURE = "raft_migration_failure"


def files_of(
    hosts: Iterable[str],
    hostvars: Mapping[str, Mapping[str, Any]],
    phase: str,
    configured: str,
    *,
    confirmed: bool,
    predictable: bool,
    resumes: bool,
) -> list[str]:
    journals: dict[str, Any] = {}
    for host in hosts:
        variables = hostvars[host]
        if FAILURE in variables:
            return []
        journals[host] = known_journal(variables)
    return phase_files(journals, phase, configured, confirmed=confirmed, predictable=predictable, resumes=resumes)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"phase_files": files_of}

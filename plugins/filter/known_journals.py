# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: known_journals
short_description: The journal of each Pi as this run knows it
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - What a run has read of each Pi's journal when it began, or has written into it since.
  - Facts may be kept from an earlier run, by a fact cache. Those of a Pi whose journal this run could not read do not count.
positional: _input, hostvars
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description:
      - Ansible's variable C(hostvars), in which each host has C(raft_migration_journal_read), the result of
        M(pi_controller.raft_migration.migration_journal_info).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which phases every Pi has done
  ansible.builtin.debug:
    msg: >-
      {{ (ansible_play_hosts | pi_controller.raft_migration.known_journals(hostvars)
          | pi_controller.raft_migration.recorded).done | join(', ') }}
"""

RETURN = r"""
_value:
  description: By host the fact C(raft_migration_journal), or the result that this run has read; empty where there is neither.
  type: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ..module_utils._core.recorded import known_journal


def known_journals(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {host: known_journal(hostvars[host]) for host in hosts}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"known_journals": known_journals}

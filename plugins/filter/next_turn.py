# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: next_turn
short_description: Whose turn is next where the Pis have theirs one by one
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - A Pi that an earlier run left in its turn goes first, then the followers, the leader last.
positional: _input, last, seen, addresses
options:
  _input:
    description: >-
      V(waiting), V(started) or V(done) by host, C(turns) of the filter
      P(pi_controller.raft_migration.recorded#filter).
    type: dict
    required: true
  last:
    description: The Pi whose turn has just ended in this run; empty before the first turn.
    type: str
    required: true
  seen:
    description: The cluster as that Pi has seen it, a result of M(pi_controller.raft_migration.raft_info).
    type: dict
    required: true
  addresses:
    description: The address of each Pi by its name in the inventory.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show whose turn is next
  ansible.builtin.debug:
    msg: "{{ (turns | pi_controller.raft_migration.next_turn('', seen, addresses)).host }}"
"""

RETURN = r"""
_value:
  description: >-
    C(host), the Pi whose turn is next; C(turns) to record with its start; C(last) as given; C(waiting), the hosts that
    come after it; C(standing), the hosts whose turns are over and whose daemons can be Ready.
  type: dict
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._raft import turns


def next_turn(
    states: Mapping[str, str], last: str, seen: Mapping[str, Any], addresses: Mapping[str, str]
) -> dict[str, Any]:
    try:
        return turns.next_turn(states, last, seen, addresses)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"next_turn": next_turn}

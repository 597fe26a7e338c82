# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rollback_outcome
short_description: The outcome of a rollback, from that of each Pi
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - A rollback that fails on one Pi stops on all of them. The others have no reason of their own, and one that came to its end before
    says that the rollback is done.
positional: _input
options:
  _input:
    description:
      - What C(rollback.yml) of the role C(run) has left on each Pi, V(none) where it has left nothing.
      - V(done), or the task it failed at and its message. Both are empty on a Pi that was stopped by another one.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what the rollback failed with
  ansible.builtin.debug:
    msg: "{{ ['done', ': ', 'Save | Fetch the state: no room'] | pi_controller.raft_migration.rollback_outcome }}"
"""

RETURN = r"""
_value:
  description: V(none) without a rollback, V(done) where every Pi that says something says so, or what it failed with.
  type: str
"""

from collections.abc import Iterable
from typing import Any, Callable

NONE = "none"
DONE = "done"
WITHOUT_REASON = ": "


def rollback_outcome(outcomes: Iterable[str]) -> str:
    known = [outcome for outcome in outcomes if outcome != NONE]
    failed = [outcome for outcome in known if outcome not in (DONE, WITHOUT_REASON)]
    if failed:
        return failed[0]
    if WITHOUT_REASON in known:
        return "a Pi does not answer"
    return DONE if known else NONE


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollback_outcome": rollback_outcome}

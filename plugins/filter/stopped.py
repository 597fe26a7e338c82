# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: stopped
short_description: The message of a migration that stopped
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Says what happened, the current state, and the commands to continue or to roll back.
positional: _input
options:
  _input:
    description: What each Pi's phase failed with, as C(phase), C(host), C(task) and C(message).
    type: list
    elements: dict
    required: true
  opening:
    description: Whether cutover has written down that the pods may take writes.
    type: bool
    required: true
  rollback:
    description: V(none) when the run pauses, V(done) when it was rolled back, or the message the rollback failed with.
    type: str
    required: true
  strategy:
    description: How the migration goes.
    type: str
    choices: [parallel, rolling]
    default: parallel
  status:
    description:
      - The C(status) that M(pi_controller.raft_migration.migration_cluster_info) returned after that. Without it the message says that
        the current state was not looked at.
    type: dict
"""

EXAMPLES = r"""
- name: Say what happened and how to continue
  ansible.builtin.fail:
    msg: "{{ failures | pi_controller.raft_migration.stopped(opening=false, rollback='done') }}"
"""

RETURN = r"""
_value:
  description: The message, several lines.
  type: str
"""

from typing import Any, Callable

from ..module_utils._report.outcome import as_message
from ..module_utils._report.stopped import stopped


def message(
    failures: list[dict[str, Any]],
    opening: bool,
    rollback: str,
    strategy: str = "parallel",
    status: dict[str, Any] | None = None,
) -> str:
    return as_message(stopped(failures, opening, rollback, strategy, status))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stopped": message}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: next_phase
short_description: Which phase a run begins right after another one
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Where the next phase begins at once, its start is recorded together with the end of the one before.
positional: _input, strategy, verb, run_tags, skip_tags
options:
  _input:
    description: The phase that ends.
    type: str
    required: true
  strategy:
    description: How the migration goes.
    type: str
    choices: [parallel, rolling]
    required: true
  verb:
    description: The tag of the plays that follow in the playbook; empty where none do.
    type: str
    required: true
  run_tags:
    description: Ansible's variable C(ansible_run_tags).
    type: list
    elements: str
    required: true
  skip_tags:
    description: Ansible's variable C(ansible_skip_tags).
    type: list
    elements: str
    required: true
  held:
    description: Phases that this run does not begin, whatever its tags.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what begins after prepare
  ansible.builtin.debug:
    msg: >-
      {{ 'prepare'
         | pi_controller.raft_migration.next_phase('rolling', 'transfer', ansible_run_tags, ansible_skip_tags) }}
"""

RETURN = r"""
_value:
  description: The next phase; empty where this run does not begin it.
  type: str
"""

from typing import Any, Callable

from ..module_utils._core.phase_order import next_phase


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"next_phase": next_phase}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: failure_message
short_description: The message of a failed task or loop
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Gives the message of a failed task. Of a loop, whose own message says only that items failed, it is the message of the
    first of these, after the item where that is a string or a number.
  - Of an alert of the quorum watch it gives the alert alone.
positional: _input
options:
  _input:
    description: C(ansible_failed_result), as a rescue has it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say why it failed
  ansible.builtin.debug:
    msg: "{{ ansible_failed_result | pi_controller.raft_migration.failure_message }}"
"""

RETURN = r"""
_value:
  description: The message; empty where there is none.
  type: str
"""

from typing import Any, Callable

from ..module_utils._report.stopped import failure_message


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"failure_message": failure_message}

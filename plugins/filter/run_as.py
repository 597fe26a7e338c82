# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: run_as
short_description: The user of the pods, from the owner of the daemon's data
version_added: 0.2.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - An image may have a user of its own, who cannot read what the unit has written. All pods run as one user, so the owner of the
    data is taken where it is the same on every Pi. Where it is not, pre-flight asks for C(runAsUser).
positional: _input, security_context
options:
  _input:
    description: By host, C(uid) and C(gid) of the database; empty where there is none.
    type: dict
    required: true
  security_context:
    description: The owner's C(pi_controller_security_context). With C(runAsUser) in it nothing is derived.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show as whom the pods run
  ansible.builtin.debug:
    msg: "{{ {'pi-1': {'uid': 1000, 'gid': 1000}} | pi_controller.raft_migration.run_as({}) }}"
"""

RETURN = r"""
_value:
  description: The keys C(runAsUser) and C(runAsGroup) of a security context; empty where nothing can be derived.
  type: dict
  sample: {"runAsUser": 1000, "runAsGroup": 1000}
"""

from typing import Any, Callable

from ..module_utils._daemon.pod_user import pod_user


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"run_as": pod_user}

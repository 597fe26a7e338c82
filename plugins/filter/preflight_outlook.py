# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: preflight_outlook
short_description: What each strategy would cost a cluster, and which one to choose
version_added: 0.2.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Predicts write pause, time and disk space from what pre-flight has measured on each Pi. The time is that of the lab, with what the
    size of the database adds; slow Pis take longer.
positional: _input, config, owner
options:
  _input:
    description: As in P(pi_controller.raft_migration.preflight_findings#filter).
    type: dict
    required: true
  config:
    description: As in P(pi_controller.raft_migration.preflight_findings#filter).
    type: dict
    required: true
  owner:
    description: As in P(pi_controller.raft_migration.preflight_findings#filter).
    type: dict
    required: true
seealso:
  - plugin: pi_controller.raft_migration.preflight_findings
    plugin_type: filter
"""

EXAMPLES = r"""
# The role preflight shows how `seen` and `owner` are put together.
- name: Show what to expect
  ansible.builtin.debug:
    msg: "{{ seen | pi_controller.raft_migration.preflight_outlook(raft_migration, owner) }}"
"""

RETURN = r"""
_value:
  description: One line a strategy, and one with the recommended one. Empty once C(prepare) was begun, and where no Pi was read.
  type: list
  elements: str
  sample:
    - "parallel (configured): write pause of about 2 s, at least 58 s, up to 4.0 MiB more on the disk of pi-1"
    - "rolling: write pause of one change of leadership, at least 41 s, up to 1.6 MiB more on the disk of pi-1"
    - "Recommended: rolling, set migration.strategy to rolling (each Pi keeps its own data, and nothing is carried while writes wait)"
"""

from typing import Any, Callable


def preflight_outlook(seen: dict[str, Any], config: dict[str, Any], owner: dict[str, Any]) -> list[str]:
    # Ansible loads all filters of a collection for the first of them, in each process, and this one imports most.
    from ..module_utils._preflight.judge import expected

    return expected(seen, config, owner)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"preflight_outlook": preflight_outlook}

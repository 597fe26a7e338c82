# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recorded
short_description: What the journals of all Pis record together
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Puts the journals of all Pis together into the state of the migration, by which every Pi decides. One Pi's word is
    enough for a step that cannot be taken back; a phase is done when every journal says so.
positional: _input
options:
  _input:
    description:
      - The result of M(pi_controller.raft_migration.migration_journal_info) of each host. One without a journal, as
        of a Pi that does not answer, says nothing.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which phases every Pi has done
  ansible.builtin.debug:
    msg: "{{ (journals | pi_controller.raft_migration.recorded).done | join(', ') }}"
"""

RETURN = r"""
_value:
  description:
    - C(begun), whether there is a journal, and C(migration_id), its name or an empty string.
    - C(strategy), how the migration goes, or an empty string where no phase has begun.
    - C(done), the phases that are done on every Pi.
    - C(opening), whether the pods may hold writes that the units never saw; C(opening_hosts), the hosts whose
      journals say so; C(opening_unproven), whether that still needs a proof.
    - C(cutover), what cutover has written down with the opening; empty before it.
    - C(ports_moved), whether a pod may be on the standard ports.
    - C(rollback_begun), whether a rollback has begun; C(rollback), what it has written down on whichever Pi;
      C(by_turns), whether it goes Pi by Pi; C(units_opened), whether the units may hold writes that the pods never
      saw.
    - C(handovers), by host V(waiting), V(started) or V(done) in a migration Pi by Pi; C(handed_over), the hosts that
      may have a pod in it.
    - C(turns), by host V(waiting), V(started) or V(done) in a rollback Pi by Pi.
  type: dict
"""

from typing import Any, Callable

from ..module_utils._core.recorded import recorded


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"recorded": recorded}

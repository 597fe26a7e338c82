# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: opening_doubts
short_description: Units that may have taken writes after the opening of the pods was recorded
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - After the opening the old leader stays fenced. Where the run died before every Pi had followed, the other Pis' fences have ended by
    themselves, which lets no write in as long as they follow that leader.
  - So a unit is in doubt that is in a later term and does not hold what the units held at the opening.
positional: _input, contents, cutover
options:
  _input:
    description: What M(pi_controller.raft_migration.raft_info) returned of each host's own unit.
    type: dict
    required: true
  contents:
    description: What M(pi_controller.raft_migration.sqlite_info) returned of each host's unit.
    type: dict
    required: true
  cutover:
    description: The facts that were recorded with the opening, C(old_term) and C(content_digest).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: No unit has taken a write since
  ansible.builtin.assert:
    that: units | pi_controller.raft_migration.opening_doubts(contents, recorded.cutover) | length == 0
"""

RETURN = r"""
_value:
  description: A sentence for each such unit; empty when no unit can have taken a write.
  type: list
  elements: str
"""

from collections.abc import Iterator, Mapping
from typing import Any, Callable


def _doubts(
    units: Mapping[str, Mapping[str, Any]], contents: Mapping[str, Mapping[str, Any]], cutover: Mapping[str, Any]
) -> Iterator[str]:
    for host, unit in units.items():
        term = unit.get("term")
        digest = contents.get(host, {}).get("digest")
        if term is not None and term > cutover["old_term"] and digest != cutover["content_digest"]:
            yield (
                f"the unit on {host} is in term {term} and holds content {digest or 'that cannot be read'}, at the opening it "
                f"was term {cutover['old_term']} and content {cutover['content_digest']}"
            )


def opening_doubts(
    units: Mapping[str, Mapping[str, Any]], contents: Mapping[str, Mapping[str, Any]], cutover: Mapping[str, Any]
) -> list[str]:
    return list(_doubts(units, contents, cutover))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"opening_doubts": opening_doubts}

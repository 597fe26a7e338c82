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
  - One in the same term is in doubt where it leads, or has applied more than those that hold it. One that has applied less is only behind.
  - Where no unit holds that any more, all of them are in doubt.
positional: _input, contents, cutover, restored
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
  restored:
    description: Other contents that a unit may hold without a write of a client, as what a rollback has given it.
    type: list
    elements: str
    default: []
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

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable


def _doubts(
    units: Mapping[str, Mapping[str, Any]],
    contents: Mapping[str, Mapping[str, Any]],
    cutover: Mapping[str, Any],
    restored: Iterable[str],
) -> Iterator[str]:
    digests = {host: result["digest"] for host, result in contents.items() if "digest" in result}
    opened, old_term = cutover.get("content_digest"), cutover.get("old_term")
    known = {opened, *restored}
    if known.isdisjoint(digests.values()):
        held = ", ".join(f"{host} {digest}" for host, digest in sorted(digests.items()))
        yield f"at the opening the units held content {opened}, which none holds now ({held or 'none can be read'})"
        return
    unwritten = [_own(units.get(host, {})).get("applied_index") for host, digest in digests.items() if digest in known]
    for host, unit in units.items():
        term, digest = unit.get("term"), digests.get(host)
        if term is None or digest in known:
            continue
        if (old_term is not None and term > old_term) or _is_ahead(_own(unit), digest, unwritten):
            yield (
                f"the unit on {host} is in term {term} and holds content {digest or 'that cannot be read'}, at the opening it "
                f"was term {old_term} and content {opened}"
            )


def _own(unit: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the unit says of itself as a member: it is the only one that was asked."""
    return next((member for member in unit.get("members") or () if member.get("reachable")), {})


def _is_ahead(own: Mapping[str, Any], digest: str | None, unwritten: list[int | None]) -> bool:
    """Whether a unit with other content than at the opening has more than those with that content. One that is behind has less."""
    # The leader of the opening's term held that content.
    if own.get("role") == "leader":
        return True
    applied, known = own.get("applied_index"), [index for index in unwritten if index is not None]
    return digest is not None and applied is not None and bool(known) and applied > max(known)


def opening_doubts(
    units: Mapping[str, Mapping[str, Any]],
    contents: Mapping[str, Mapping[str, Any]],
    cutover: Mapping[str, Any],
    restored: Iterable[str] = (),
) -> list[str]:
    return list(_doubts(units, contents, cutover, restored))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"opening_doubts": opening_doubts}

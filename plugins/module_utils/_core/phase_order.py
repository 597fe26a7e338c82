# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a phase may begin, by the journals of all Pis, and what is run of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .journal import PENDING, STRATEGIES
from .recorded import recorded


def phase_obstacles(journals: Mapping[str, Any], phase: str, configured: str) -> dict[str, str]:
    """Why `phase` may not begin, a sentence for each Pi with a reason; empty where it may.

    `journals` has the result of a journal module of each host, as for `recorded`; `configured` is the strategy that the owner
    has set. On a Pi that has the phase behind it, only another strategy is a reason.
    """
    return _obstacles(recorded(journals), journals, phase, configured)


def next_phase(
    phase: str,
    strategy: str,
    verb: str,
    run_tags: Collection[str],
    skip_tags: Collection[str],
    held: Collection[str] = (),
) -> str:
    """The phase that this run begins right after `phase`; empty where it may not.

    `verb` is the tag of the plays that follow in the playbook, empty where none do; `held` are phases that wait for the
    operator. A tag that says nothing of the verb by itself (`tagged`, for one) counts as if it left them out: then the next
    phase records its start by itself.
    """
    order = STRATEGIES[strategy]
    later = order[order.index(phase) + 1 :]
    begins = bool(verb and {"all", verb} & set(run_tags)) and not {"all", "tagged", verb} & set(skip_tags)
    return later[0] if later and begins and later[0] not in held else ""


def phase_files(
    journals: Mapping[str, Any], phase: str, configured: str, *, confirmed: bool, predictable: bool, resumes: bool
) -> list[str]:
    """The files of tasks that the role `run` has for `phase` now, in their order; none where the phase is done on every Pi.

    `confirmed` is whether the operator has confirmed the phase, where it needs that; `predictable` whether check mode can predict it;
    `resumes` whether an earlier run has begun the migration. Where none has, a phase that is started was started by this run, with the
    end of the phase before.
    """
    known = recorded(journals)
    if phase in known["done"]:
        return []
    if not predictable:
        return ["phase_unpredictable.yml"]
    if not confirmed:
        return ["phase_unconfirmed.yml"]
    if _obstacles(known, journals, phase, configured):
        return ["phase_refused.yml"]
    # Before a cutover that one Pi's journal says has been opened is finished, that is proven. A proof that fails is no failure of the phase.
    proof = ["opened.yml"] if phase == "cutover" and known["opening_unproven"] else []
    started = all((result.get("phase_states") or {}).get(phase) == "started" for result in journals.values())
    return [*proof, "phase_goes_on.yml" if started and not resumes else "phase_begun.yml"]


def _obstacles(known: Mapping[str, Any], journals: Mapping[str, Any], phase: str, configured: str) -> dict[str, str]:
    strategy = known["strategy"] or configured
    found = {}
    for host, result in journals.items():
        states, current = result.get("phase_states") or {}, result.get("current")
        begins = states.get(phase, PENDING) != "done"
        if begins and known["rollback_begun"]:
            found[host] = f"{host}: a rollback is in progress; finish it first with the playbook rollback"
        elif begins and current != phase:
            found[host] = (
                f"{host}: phase {phase} comes after {current}, which is {states.get(current, PENDING)}; run that first"
            )
        elif strategy != configured:
            found[host] = (
                f"The migration was begun with the strategy {strategy}, and migration.strategy is {configured}. "
                f"Set it to {strategy} again, or roll back first"
            )
    return found

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the journals of all Pis say together.

Every Pi decides by this and not by its own journal, so that all of them take the same way. A run that was killed
leaves a step written down on some Pis only: a step that cannot be taken back counts from the first journal that has
it, a phase is done when all of them say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .journal import FACT, PARALLEL, PHASES, ROLLBACK, strategy_of

# What cleanup writes down of the archive before its content goes.
REMOVED = "removed"
# Where a run keeps what it has read of a Pi's journal when it began.
READ = "raft_migration_journal_read"


def known_journal(variables: Mapping[str, Any]) -> Any:
    """The journal of the Pi with these variables, as this run has written it last, or has read it."""
    read = variables.get(READ, {})
    if "phase_states" not in read:
        return read
    facts = variables.get("ansible_facts", {})
    return facts.get(FACT, read)


def recorded(journals: Mapping[str, Any]) -> dict[str, Any]:
    """The state of the migration.

    `journals` has the result of `migration_journal_info` or `migration_journal` of each host, in the order of the
    inventory; a result without a journal, as of a Pi that does not answer, says nothing.

    - `begun`: whether there is a journal at all; `migration_id`: its name, or an empty string.
    - `strategy`: how it goes, or an empty string where no phase has begun.
    - `done`: the phases that are done on every Pi.
    - `opening`: whether the pods may hold writes that the units never saw; `opening_hosts`: whose journals say so.
      `opening_unproven`: whether that needs a proof, since no rollback has acted on it and not every Pi is past the
      cutover.
    - `cutover`: what cutover has written down with the opening; empty before it.
    - `ports_moved`: whether a pod may be on the standard ports. None is before every Pi has ended the shutdown, in whose last entry the
      phase of the ports starts.
    - `rollback_begun`; `rollback`: what rollbacks have written down on whichever Pi; `by_turns`: whether it goes Pi
      by Pi; `units_opened`: whether the units may hold writes that the pods never saw.
    - `archive_removed`: whether a unit may have no data of its own left; `archive_kept`: why data folders were not archived.
    - `handovers`: `waiting`, `started` or `done` for each Pi in a migration Pi by Pi; `handed_over`: those that may
      have a pod.
    - `turns`: `waiting`, `started` or `done` for each Pi in a rollback Pi by Pi. One that has its unit has nothing to
      do in it, and one that was left in the middle of its turn is in the middle of it again.
    """
    found = dict(_journals(journals))
    opened = [host for host, journal in found.items() if "opening" in _facts(journal, "cutover")]
    rollback: dict[str, Any] = {}
    for journal in found.values():
        rollback.update(_facts(journal, ROLLBACK))
    done = [
        phase for phase in PHASES if journals and all(_state(result, phase) == "done" for result in journals.values())
    ]
    handovers = {host: _facts(found.get(host), "cutover").get("turn", "waiting") for host in journals}
    strategy = next((strategy_of(journal) for journal in found.values() if journal["phases"]), "")
    # A fact that is there counts, whatever it says: it was written before the step was taken.
    acted = any(name in rollback for name in ("taken", "opening"))
    return {
        "begun": bool(found),
        "migration_id": next(
            (journal["migration_id"] for journal in found.values() if journal.get("migration_id")), ""
        ),
        "strategy": strategy,
        "done": done,
        "opening": bool(opened),
        "opening_hosts": opened,
        "opening_unproven": bool(opened) and not acted and "cutover" not in done,
        "cutover": dict(_facts(found[opened[0]], "cutover")) if opened else {},
        "ports_moved": any("port_migration" in journal["phases"] for journal in found.values())
        and not any(
            (journal["phases"].get("systemd_shutdown") or {}).get("state") in ("started", "failed")
            for journal in found.values()
        ),
        "rollback_begun": any(ROLLBACK in journal["phases"] for journal in found.values()),
        "rollback": rollback,
        "by_turns": rollback.get("way") == "turns",
        "units_opened": bool(rollback.get("opening", False)),
        "archive_removed": any(_facts(journal, "cleanup").get("archive") == REMOVED for journal in found.values()),
        "archive_kept": sorted(
            {str(why) for journal in found.values() if (why := _facts(journal, "cleanup").get("why"))}
        ),
        "handovers": handovers,
        "handed_over": [host for host, state in handovers.items() if state != "waiting"],
        "turns": {
            host: _facts(found.get(host), ROLLBACK).get("turn", _way_back(strategy, handovers[host]))
            for host in journals
        },
    }


def _way_back(strategy: str, handover: str) -> str:
    """The turn of a Pi in a rollback that has not come to it, by its turn on the way there."""
    if strategy in ("", PARALLEL):
        return "waiting"
    return {"waiting": "done", "started": "started"}.get(handover, "waiting")


def _journals(journals: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for host, result in journals.items():
        journal = result.get("journal") if isinstance(result, Mapping) else None
        if isinstance(journal, Mapping) and isinstance(journal.get("phases"), Mapping):
            yield host, journal


def _facts(journal: Mapping[str, Any] | None, phase: str) -> Mapping[str, Any]:
    return ((journal or {}).get("phases", {}).get(phase) or {}).get("facts") or {}


def _state(result: Any, phase: str) -> Any:
    return (result.get("phase_states") or {}).get(phase) if isinstance(result, Mapping) else None

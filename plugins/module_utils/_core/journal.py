# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of a migration: one JSON file on each Pi that says which phases are behind it.

It is on the Pis so that any control node finds the migration's status. A killed run leaves a whole journal, the
old one or the new one.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .durable import fsync, private_folder, replacing
from .failures import MigrationError
from .text import visible_in

FORMAT = 1
PHASES = ("prepare", "transfer", "validate", "cutover", "systemd_shutdown", "port_migration", "cleanup")
PARALLEL, ROLLING = "parallel", "rolling"
# By strategy, in order. Pi by Pi there is no second cluster: each unit stops in its turn, and its pod has the standard ports at once.
STRATEGIES = {PARALLEL: PHASES, ROLLING: ("prepare", "transfer", "validate", "cutover", "cleanup")}
# Not a phase of the migration but the way out of it: it may begin after any of them, and nothing follows it.
ROLLBACK = "rollback"
STATES = ("started", "done", "failed", "rolled_back")
PENDING = "pending"
# The fact of each Pi that the journal modules return.
FACT = "raft_migration_journal"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")

Journal = dict  # dict[str, Any], but Python 3.9 evaluates aliases


class JournalError(MigrationError):
    """A journal that cannot be read, or that belongs to another migration."""


class AnotherMigration(JournalError):
    """The journal is not of the migration that was to be recorded in it, or not as its run knows it. Nothing was changed."""

    def __init__(self, message: str, seen: Any, wanted: Any, next_step: str) -> None:
        super().__init__(message, seen=seen, wanted=wanted, next_step=next_step)
        self.failure["another_migration"] = True


def load(path: Path) -> Journal | None:
    """The journal; None where there is none. Anything but a journal of this format is refused, never replaced."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, str(error)) from error
    try:
        journal = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"it is not JSON ({error})") from error
    if not isinstance(journal, dict) or journal.get("format") != FORMAT:
        seen = journal.get("format") if isinstance(journal, dict) else type(journal).__name__
        raise _refused(path, f"its format is {seen!r}, this collection reads {FORMAT}")
    _check(path, journal)
    return journal


def _check(path: Path, journal: Journal) -> None:
    phases, events = journal.get("phases"), journal.get("events")
    if journal.get("strategy", PARALLEL) not in STRATEGIES:
        raise _refused(
            path, f"its strategy is {journal['strategy']!r}, this collection knows {' and '.join(STRATEGIES)}"
        )
    if not isinstance(phases, dict) or not isinstance(events, list):
        raise _refused(path, "it has no phases or no events")
    for name, entry in phases.items():
        if name not in (*PHASES, ROLLBACK) or not isinstance(entry, dict) or entry.get("state") not in STATES:
            raise _refused(path, f"phase {name!r} is unknown or has no known state")
        # Written as null by hand, or by another tool; the rest of the collection relies on an object.
        if entry.get("facts") is None:
            entry["facts"] = {}
        if not isinstance(entry["facts"], dict):
            raise _refused(path, f"the facts of phase {name!r} are not an object")
        for moment in ("started", "finished"):
            if not isinstance(entry.get(moment), (str, type(None))):
                raise _refused(path, f"{moment!r} of phase {name!r} is not a time")
    # Both become parts of paths, the second one on every Pi.
    rollback = phases.get(ROLLBACK, {}).get("facts", {})
    for what, name in (("migration_id", journal.get("migration_id")), ("rollback id", rollback.get("id"))):
        if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise _refused(path, f"its {what} is not a name of letters, digits, dots, underscores and hyphens")
    if not all(isinstance(event, dict) for event in events):
        raise _refused(path, "its events are not objects")


def _refused(path: Path, why: str) -> JournalError:
    return JournalError(
        f"the journal {path} cannot be used: {why}",
        seen=why,
        wanted=f"a journal of format {FORMAT}",
        next_step=(
            "look at the file. If another release of the collection wrote it, go on with that one. If it is damaged, "
            "copy the journal of another Pi in the same phase over it. Only when no phase has changed "
            f"anything yet, move {path} away"
        ),
    )


def save(path: Path, journal: Journal) -> None:
    """Replace the journal as a whole and make it durable."""
    if not path.parent.exists():
        private_folder(path.parent)
    with replacing(path, 0o600) as new:
        new.write_text(json.dumps(journal, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def check_events(journal: Journal | None, known: int) -> None:
    """Raise AnotherMigration unless the journal has as many events as the run that goes by it has read. Each state of a phase is one."""
    seen = len(journal["events"]) if journal else 0
    if seen != known:
        raise AnotherMigration(
            f"the journal has {seen} events, and had {known} when this run read it",
            seen=seen,
            wanted=known,
            next_step="run the same command again, which reads it anew",
        )


def archive(path: Path, journal: Journal) -> Path:
    """Put the journal aside, so that another migration can begin. Nothing is deleted."""
    aside = archived_at(path, journal)
    path.rename(aside)
    fsync(path.parent)
    return aside


def archived_at(path: Path, journal: Journal) -> Path:
    """A free name beside `path` that carries the migration's id."""
    stem = f"{path.stem}.{journal.get('migration_id') or 'unnamed'}"
    aside, number = path.with_name(f"{stem}{path.suffix}"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{stem}.{number}{path.suffix}")
    return aside


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def marked(
    journal: Journal | None,
    phase: str,
    state: str,
    facts: dict[str, Any],
    migration_id: str | None,
    at: str,
    strategy: str | None = None,
) -> Journal:
    """The journal with `phase` in `state`; equal to what it was when that says nothing new.

    A phase that is done stays done, with what was written down then, when a run starts it again or fails on another Pi.
    """
    after: Journal = (
        copy.deepcopy(journal) if journal else {"format": FORMAT, "migration_id": None, "phases": {}, "events": []}
    )
    if migration_id:
        known = after.get("migration_id")
        if known not in (None, migration_id):
            raise AnotherMigration(
                f"the journal belongs to migration {known}, not to {migration_id}",
                seen=known,
                wanted=migration_id,
                next_step="go on with that one, or put its journal aside with state=archived",
            )
        after["migration_id"] = migration_id
    if strategy:
        begun = strategy_of(journal)
        if journal and journal["phases"] and begun != strategy:
            raise AnotherMigration(
                f"the migration was begun with the strategy {begun}, not with {strategy}",
                seen=begun,
                wanted=strategy,
                next_step=f"set migration.strategy to {begun}, or roll back first",
            )
        after["strategy"] = strategy
    entry = after["phases"].get(phase)
    before = entry["state"] if entry else None
    if (state == "rolled_back" and before is None) or (state in ("started", "failed") and before == "done"):
        return after
    if state != before:
        entry = {**(entry or {"facts": {}}), "state": state}
        if state == "started":
            entry.update(started=at, finished=None)
        else:
            entry.update(started=entry.get("started") or at, finished=at)
        after["phases"][phase] = entry
        after["events"].append({"at": at, "phase": phase, "state": state})
    entry["facts"] = {**(entry.get("facts") or {}), **visible_in(facts)}
    return after


def strategy_of(journal: Mapping[str, Any] | None) -> str:
    """How this migration goes. Journals of releases that knew one strategy do not name it."""
    return str((journal or {}).get("strategy") or PARALLEL)


def phase_states(journal: Journal | None) -> dict[str, str]:
    """The state of every phase of its strategy, in order; `pending` for those that have not begun."""
    phases = journal["phases"] if journal else {}
    return {phase: phases[phase]["state"] if phase in phases else PENDING for phase in STRATEGIES[strategy_of(journal)]}


def current_phase(journal: Journal | None) -> str | None:
    """The first phase that is not done; None when all are."""
    return next((phase for phase, state in phase_states(journal).items() if state != "done"), None)


def known_by(journal: Journal | None) -> dict[str, Any]:
    """What both journal modules return, and keep as the fact `FACT` of the Pi: that of the one that has read or written it last."""
    return {"journal": journal, "phase_states": phase_states(journal), "current": current_phase(journal)}


def conflicts(journals: dict[str, Journal | None]) -> list[str]:
    """What the Pis' journals (host: journal) cannot all be right about, a sentence each; empty when they agree.

    A run records each phase everywhere before it goes on, so a Pi that is behind while another is two steps ahead
    has lost its journal or has another one. The end of a phase and the start of the next are one entry, so a Pi that has not
    ended a phase may be beside one that has just begun the next. Only the ports change one Pi after the other, and a rollback
    that is done archives the journals one by one.
    """
    found: list[str] = []
    there = {host: journal for host, journal in journals.items() if journal}
    if there and all((journal["phases"].get(ROLLBACK) or {}).get("state") == "done" for journal in there.values()):
        return found
    # A failure may be the first that was written on a Pi.
    named = {host: name for host, journal in there.items() if (name := journal.get("migration_id"))}
    if len(set(named.values())) > 1:
        found.append("the journals belong to different migrations: " + ", ".join(f"{h} {i}" for h, i in named.items()))
    strategies = {host: strategy_of(journal) for host, journal in journals.items() if journal and journal["phases"]}
    if len(set(strategies.values())) > 1:
        found.append(
            "the journals have different strategies: "
            + ", ".join(f"{host} {name}" for host, name in strategies.items())
        )
        return found
    order = STRATEGIES[next(iter(strategies.values()), PARALLEL)]
    # A Pi without a journal has begun no phase of whatever strategy the others have.
    states = {host: dict.fromkeys(order, PENDING) | phase_states(journal) for host, journal in journals.items()}
    for number, phase in enumerate(order):
        begun = [
            f"{host} {later}"
            for host, state in states.items()
            for later in order[number + 1 :]
            if state[later] != PENDING
        ]
        behind = [f"{host} {state[phase]}" for host, state in states.items() if state[phase] != "done"]
        if _at_one_entry(there, states, phase, order[number + 1 :]):
            continue
        if begun and behind and len(behind) < len(states):
            found.append(
                f"phase {phase} is not done everywhere ({', '.join(behind)}), yet begun was {', '.join(begun)}"
            )
    return found


def _at_one_entry(
    journals: Mapping[str, Journal], states: Mapping[str, Mapping[str, str]], phase: str, later: Sequence[str]
) -> bool:
    """Whether no Pi is further than the entry that ends `phase` and starts the next one, and none is behind what comes before that entry.

    A phase that has gone on has facts, where an effect of it would be undone by another run of the one before.
    """
    if not later or any(state[phase] == PENDING for state in states.values()):
        return False
    begun = {(name, state[name]) for state in states.values() for name in later if state[name] != PENDING}
    went_on = any((journal["phases"].get(later[0]) or {}).get("facts") for journal in journals.values())
    return begun <= {(later[0], "started")} and not went_on

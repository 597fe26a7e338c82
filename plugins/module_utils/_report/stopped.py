# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The outcome of a run that stopped, from what failed on each Pi, the journals, and the status if it was read. Nothing is asked for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .._core.commands import CONFIRM, MIGRATE, ROLLBACK, STATUS, play
from .._core.journal import PARALLEL
from .._core.text import visible
from .outcome import Outcome, current_state, state_of

GO_ON = f"{MIGRATE} {CONFIRM}"
# Up to here a run is continued without the confirmation that the cutover needs: it may be one that was not to go so far.
BEFORE_CUTOVER = ("prepare", "transfer", "validate")
# What is left when every pod is on the standard ports and every unit masked. No failure of it rolls a finished migration back.
ARCHIVING = "cleanup"
# An alert comes through a lookup in a keyword, which is of no interest to who reads it.
ALERT = re.compile(r"^Task failed: .* failed: (?=Quorum watch, )", re.DOTALL)


def failure_message(result: dict[str, Any]) -> str:
    """The message of a failed task. A loop itself says only that an item failed: then it is the first of these, and which."""
    items = (item for item in result.get("results") or [] if isinstance(item, dict))
    failed = next((item for item in items if item.get("failed") or item.get("unreachable")), result)
    item = failed.get(failed.get("ansible_loop_var", ""))
    # From here it goes into the journal, the report and the message of the run.
    message = visible(ALERT.sub("", str(failed.get("msg") or "")))
    return f"{item}: {message}" if isinstance(item, (str, int)) else message


def what_happened(failures: list[dict[str, Any]]) -> tuple[str, ...]:
    """Where it stopped, then a line for each Pi with a reason; one that only failed along with another has neither task nor message."""
    reasons = [failure for failure in failures if failure.get("task") or failure["message"]] or failures
    lines = [f"{failure['host']}: {failure['message'] or 'see the task above'}" for failure in reasons]
    # What fails once for all of them is reported once.
    if len({failure["message"] for failure in reasons}) == 1 and len(reasons) > 1:
        lines = [reasons[0]["message"] or "see the task above"]
    # Ansible does not say what a Pi was doing that no longer answers.
    task = next((failure["task"] for failure in reasons if failure.get("task")), None)
    where = f"phase {reasons[0]['phase']} stopped" + (f' at "{task}"' if task else "")
    return where, *lines


def recorded(opening: bool, phase: str, strategy: str = PARALLEL) -> str:
    """Who was given the clients, as far as cutover's entry in the journal says."""
    if strategy != PARALLEL and phase == "cutover":
        return "units and pods are members of one cluster."
    opening = opening or (strategy != PARALLEL and phase == "cleanup")
    if not opening:
        return "no client was routed to the pods."
    if phase == "cutover":
        return "clients write to the pods, and the systemd cluster no longer takes writes. Cutover only has to be finished."
    return "the pods have the clients and the systemd cluster takes none."


def state_lines(status: Mapping[str, Any] | None, journal: str) -> tuple[str, ...]:
    """The current state as it was read; where nothing has looked, what the `journal` says."""
    if status:
        return current_state(state_of(status))
    return ("not looked at.", f"By the journal, {journal}", f"Check with {STATUS}")


def stopped(
    failures: list[dict[str, Any]],
    opening: bool,
    rollback: str,
    strategy: str = PARALLEL,
    status: Mapping[str, Any] | None = None,
) -> Outcome:
    """The outcome of a run that stopped. `rollback` is `none` (paused), `done`, or the message it failed with.

    `status` is what was read after that, if anything was.
    """
    happened, phase = what_happened(failures), failures[0]["phase"]
    state = state_lines(status, recorded(opening, phase, strategy))
    if rollback == "done":
        return Outcome(
            headline="The migration was rolled back",
            happened=happened,
            # The rollback's last step has looked at the units.
            state=(*current_state(state_of(status)), "The units have every write the pods had taken.")
            if status
            else ("the systemd cluster serves reads and writes, with every write the pods had taken.",),
            command=MIGRATE,
            goal="To start again",
            why="fix the cause first; it stops before the cutover",
        )
    if rollback == "none" and phase == ARCHIVING and strategy == PARALLEL:
        return Outcome(
            headline="Migrated; the archive was not made",
            happened=happened,
            state=(
                *state,
                "Nothing was rolled back: all that is missing is the archive of the units' data.",
            ),
            command=play("complete"),
            goal="To make the archive",
            why="fix the cause first",
            back=ROLLBACK,
        )
    if rollback == "none":
        return Outcome(
            headline="The migration is paused",
            happened=happened,
            state=state,
            command=MIGRATE if phase in BEFORE_CUTOVER else GO_ON,
            why="fix the cause first; finished phases are skipped",
            back=ROLLBACK,
        )
    return Outcome(
        headline="The rollback stopped"
        if phase == "rollback"
        else "The migration stopped and its rollback stopped too",
        happened=(*happened, f"Rollback: {rollback}"),
        state=(
            *(current_state(state_of(status)) if status else ("not looked at.",)),
            "Nothing was deleted. What clients wrote to the pods is in the pods' data folders, in those of units that have taken over, "
            "or in rollback.state in the backup folder.",
        ),
        command=ROLLBACK,
        goal="To finish the rollback",
        why="fix the cause first",
    )

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to tell somebody whose migration has stopped: what happened, what is true now, and the commands on and back."""

from __future__ import annotations

import re
from typing import Any

from .._core.commands import CONFIRM, MIGRATE, ROLLBACK, STATUS

GO_ON = f"{MIGRATE} {CONFIRM}"
# An alert comes through a lookup in a keyword, which is of no interest to who reads it.
ALERT = re.compile(r"^Task failed: .* failed: (?=Quorum watch, )", re.DOTALL)


def failure_message(result: dict[str, Any]) -> str:
    """What a failed task said. A loop itself says only that an item failed: what is told is the first of these, and which."""
    items = (one for one in result.get("results") or [] if isinstance(one, dict))
    told = next((one for one in items if one.get("failed") or one.get("unreachable")), result)
    item = told.get(told.get("ansible_loop_var", ""))
    message = ALERT.sub("", str(told.get("msg") or ""))
    return f"{item}: {message}" if isinstance(item, (str, int)) else message


def what_happened(failures: list[dict[str, Any]]) -> list[str]:
    """A line for each Pi that had something to tell; one that was only failed along with another has neither task nor message."""
    told = [one for one in failures if one.get("task") or one["message"]] or failures
    lines = [f"{one['host']}: {one['message'] or 'see the task above'}" for one in told]
    # What fails once for all of them is told once.
    if len({one["message"] for one in told}) == 1 and len(told) > 1:
        lines = [told[0]["message"] or "see the task above"]
    # Ansible does not tell what a Pi was doing that does not answer any more.
    task = next((one["task"] for one in told if one.get("task")), None)
    where = f"phase {told[0]['phase']} stopped" + (f' at "{task}"' if task else "")
    return [where, *lines]


def serving(opening: bool, phase: str) -> str:
    """Who has the clients, seen from what cutover has written down."""
    if not opening:
        return "The systemd cluster serves reads and writes as before; the pods have no clients."
    if phase == "cutover":
        return (
            "The pods hold what clients write from now on and the systemd cluster no longer takes writes. "
            "Cutover only has to be finished."
        )
    # A Pi may be away, or half-way: that is not written down anywhere, but can be looked at.
    return f"The pods have the clients; the systemd cluster takes none. How well they serve: {STATUS}"


def stopped(failures: list[dict[str, Any]], opening: bool, way_back: str) -> str:
    """The last words of a run that stopped. `way_back` is `none` (paused), `done`, or the message it failed with."""
    lines = what_happened(failures)
    if way_back == "done":
        return "\n".join(
            [
                "The migration was rolled back: " + lines[0],
                *lines[1:],
                "Now: the systemd cluster serves reads and writes, with every write the pods had taken.",
                f"Go on: mend the cause, then start again with: {GO_ON}",
            ]
        )
    phase = failures[0]["phase"]
    if way_back == "none":
        return "\n".join(
            [
                "The migration is paused: " + lines[0],
                *lines[1:],
                "Now: " + serving(opening, phase),
                f"Go on: mend the cause, then (finished phases are left alone): {GO_ON}",
                f"Go back: {ROLLBACK}",
            ]
        )
    headline = "The way back stopped: " if phase == "rollback" else "The migration stopped and the way back stopped too: "
    return "\n".join(
        [
            headline + lines[0],
            *lines[1:],
            f"The way back: {way_back}",
            "Nothing was deleted. What the pods had taken is in their data folders, in those of units that have taken over, or in "
            "rollback.state in the backup folder.",
            f"Mend the cause, then finish the way back with: {ROLLBACK}",
        ]
    )

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report says first: whether all is well, what happened, the current state, and the next commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core import words
from .._core.journal import ROLLBACK
from .outcome import Outcome, as_verdict, current_state

HEADLINES = {
    "migrated": "Migrated to Kubernetes",
    "rolled_back": "Rolled back to systemd",
    "failed": "The migration stopped",
    "paused": "The migration is paused",
}


def verdict(report: Mapping[str, Any]) -> dict[str, Any]:
    failing = [check for check in report["checks"] if check["ok"] is False and check["group"] != "phases"]
    good = report["outcome"] in ("migrated", "paused", "rolled_back") and not failing
    outcome = Outcome(
        headline=HEADLINES[report["outcome"]] + ("" if good or report["outcome"] == "failed" else ", with findings"),
        happened=_happened(report),
        state=current_state(report["state"]),
        findings=tuple(check["fault"] or f"{check['title']}: {check['seen']}." for check in failing),
        **report["next"],
    )
    return {"good": good, **as_verdict(outcome)}


def _happened(report: Mapping[str, Any]) -> tuple[str, ...]:
    figures, outcome = report["figures"], report["outcome"]
    took = words.seconds(figures["duration_seconds"])
    if outcome == "migrated":
        pis = words.plural(len(report["state"]["hosts"]), "Pi")
        pause = figures["write_pause_seconds"]
        seen = figures["client_write_pause_seconds"]
        by_clients = f", {words.seconds(seen)} as clients saw it" if seen is not None else ""
        paused = (
            (f"Write pause at the cutover: {words.seconds(pause)} behind the fence{by_clients}.",)
            if pause is not None
            else ()
        )
        return f"The Raft cluster of {pis} moved from systemd to pods in {took}.", *paused
    if outcome == "rolled_back":
        return *_stopped(report), f"The cluster was rolled back to systemd, {took} after the migration began."
    if outcome == "failed":
        return *_stopped(report), _rolled_back(report)
    verb = "is" if figures["phases_done"] == 1 else "are"
    done = f"{figures['phases_done']} of {figures['phases']} phases {verb} done; the next one has not begun."
    return done, f"Time so far: {took}."


def _rolled_back(report: Mapping[str, Any]) -> str:
    """What a failed run says of a rollback."""
    phase = next((phase for phase in report["phases"] if phase["name"] == ROLLBACK), None)
    if phase is None:
        return "Nothing was rolled back automatically."
    if phase["state"] == "done":
        return "A rollback is done on every Pi."
    if (report["failure"] or {}).get("phase") == ROLLBACK:
        return "The rollback is not finished."
    if not phase["task"] and not phase["message"]:
        hosts = ", ".join(f"{host} {state}" for host, state in phase["hosts"].items())
        return f"A rollback began and did not finish: {hosts}."
    task = f' at the step "{phase["task"]}"' if phase["task"] else ""
    why = f": {str(phase['message']).strip().rstrip('.')}" if phase["message"] else ""
    return f"A rollback began and stopped{task}{why}."


def _stopped(report: Mapping[str, Any]) -> tuple[str, ...]:
    failure = report["failure"]
    if not failure:
        return ()
    titles = {phase["name"]: phase["title"] for phase in report["phases"]}
    phase = titles.get(failure.get("phase") or "", failure.get("phase") or "a phase")
    task = f' at the step "{failure["task"]}"' if failure.get("task") else ""
    host = f" on {failure['host']}" if failure.get("host") else ""
    why = f": {str(failure['message']).strip().rstrip('.')}" if failure.get("message") else ""
    return (f"The phase {phase.lower()} failed{host}{task}{why}.",)

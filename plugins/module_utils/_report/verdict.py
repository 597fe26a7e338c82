# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report says first: what happened, what is true now, and what to do next. In plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core import words

HEADLINES = {
    "migrated": "Migrated to Kubernetes",
    "rolled_back": "Rolled back to systemd",
    "failed": "The migration stopped",
    "paused": "The migration is paused",
}
SERVING = {
    "systemd": "The daemons under systemd serve all clients.",
    "pods": "The pods serve all clients.",
    "mixed": "Some clients reach the daemons under systemd and others the pods.",
    "unknown": "Who serves the clients could not be seen.",
}


def verdict(report: Mapping[str, Any]) -> dict[str, Any]:
    failing = [check for check in report["checks"] if check["ok"] is False and check["group"] != "phases"]
    good = report["outcome"] in ("migrated", "paused", "rolled_back") and not failing
    return {
        "good": good,
        "headline": HEADLINES[report["outcome"]] + ("" if good or report["outcome"] == "failed" else ", with findings"),
        "happened": _happened(report),
        "now": _now(report),
        "doubts": [check["fault"] or f"{check['title']}: {check['seen']}." for check in failing],
        "command": report["next"]["command"],
        "back": report["next"]["back"],
        "why": report["next"]["why"],
    }


def _happened(report: Mapping[str, Any]) -> str:
    figures, outcome, failure = report["figures"], report["outcome"], report["failure"]
    took = words.seconds(figures["duration_seconds"])
    pis = words.plural(len(report["state"]["hosts"]), "Pi")
    if outcome == "migrated":
        pause = figures["write_pause_seconds"]
        seen = figures["client_write_pause_seconds"]
        waited = f" Write pause at the cutover: {words.seconds(pause)} behind the fence" if pause is not None else ""
        waited += (f", {words.seconds(seen)} as clients saw it." if seen is not None else ".") if waited else ""
        return f"The Raft cluster of {pis} moved from systemd to pods in {took}.{waited}"
    if outcome == "rolled_back":
        return f"{_stopped(report, failure)}Everything was taken back to systemd, {took} after the migration began."
    if outcome == "failed":
        return f"{_stopped(report, failure)}Nothing was taken back by itself."
    verb = "is" if figures["phases_done"] == 1 else "are"
    return f"{figures['phases_done']} of {figures['phases']} phases {verb} done; the next one has not begun. So far it took {took}."


def _stopped(report: Mapping[str, Any], failure: Mapping[str, Any] | None) -> str:
    if not failure:
        return ""
    titles = {phase["name"]: phase["title"] for phase in report["phases"]}
    phase = titles.get(failure.get("phase") or "", failure.get("phase") or "a phase")
    task = f' at the step "{failure["task"]}"' if failure.get("task") else ""
    host = f" on {failure['host']}" if failure.get("host") else ""
    why = f": {str(failure['message']).strip().rstrip('.')}" if failure.get("message") else ""
    return f"The phase {phase.lower()} failed{host}{task}{why}. "


def _now(report: Mapping[str, Any]) -> list[str]:
    state = report["state"]
    lines = [SERVING[state["served_by"]]]
    for name, title in (("old", "systemd"), ("new", "pods")):
        cluster = state["clusters"][name]
        if not cluster["exists"] and state["word"] == "unknown":
            continue
        if not cluster["exists"]:
            lines.append("No daemon runs under systemd." if name == "old" else "The pods form no cluster.")
            continue
        quorum = "has a quorum" if cluster["quorate"] else "has no quorum"
        leader = f"leader {cluster['leader']}, " if cluster["leader"] else "no leader, "
        lines.append(
            f"Cluster of {title}: {quorum}; {leader}term {cluster['term']}, "
            f"{cluster['answering']} of {words.plural(cluster['voters'], 'voter')} answering."
        )
    return lines

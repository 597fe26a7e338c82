# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened, the current state, and the next commands: one value, made in three places and shown in three ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._core import words

CLUSTERS = {"old": "systemd", "new": "pods"}
REACHED = {"systemd": "the daemons under systemd", "pods": "the pods", "other": "neither systemd nor a pod"}


@dataclass(frozen=True)
class Outcome:
    """`command` reaches the `goal`, such as `To continue`; `why` says on what condition. `back` rolls back. Either command may be missing."""

    headline: str = ""
    happened: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    command: str | None = None
    goal: str = "To continue"
    why: str = ""
    back: str | None = None


def as_message(outcome: Outcome) -> str:
    """For the task that fails a run: a line each."""
    first, *details = outcome.happened
    lines = [f"{outcome.headline}: {first}", *details, f"Current state: {' '.join(outcome.state)}"]
    if outcome.command:
        lines.append(f"{outcome.goal} ({outcome.why}): {outcome.command}")
    if outcome.back:
        lines.append(f"To roll back: {outcome.back}")
    return "\n".join(lines)


def as_lines(outcome: Outcome) -> list[tuple[str, str]]:
    """For the terminal, below what it has printed of the failure: (kind, line)."""
    lines = [("text", "")]
    if outcome.state:
        lines += [("title", "Current state"), *(("text", f"  {line}") for line in outcome.state)]
    if outcome.command:
        lines += [("title", f"{outcome.goal} ({outcome.why})"), ("text", f"  {outcome.command}")]
    if outcome.back:
        lines += [("title", "To roll back"), ("text", f"  {outcome.back}")]
    return lines


def as_verdict(outcome: Outcome) -> dict[str, Any]:
    """For the report's JSON and its page, without `good`."""
    return {
        "headline": outcome.headline,
        "happened": " ".join(outcome.happened),
        "now": list(outcome.state),
        "doubts": list(outcome.findings),
        "command": outcome.command,
        "back": outcome.back,
        "why": outcome.why,
    }


def state_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a status that says who serves the clients and how both clusters are."""
    clusters = {}
    for name, cluster in status["clusters"].items():
        voters = [member for member in cluster["members"] if member["voter"]]
        clusters[name] = {
            "exists": cluster["exists"] and bool(cluster["members"]),
            "leader": cluster["leader"] or cluster["leader_address"],
            "term": cluster["term"],
            "quorate": cluster["quorate"],
            "voters": len(voters),
            "answering": sum(member["reachable"] for member in voters),
        }
    return {
        "word": status["state"],
        "phase": status["phase"],
        "served_by": status["traffic"]["served_by"],
        "clients": {side: list(names) for side, names in status["traffic"]["clients"].items()},
        "clusters": clusters,
        "hosts": {name: dict(host) for name, host in status["traffic"]["hosts"].items()},
    }


def clients_served(state: Mapping[str, Any]) -> str:
    """Who serves, whose clients reach nothing or something else, and what was not seen."""
    served_by, clients = state["served_by"], state["clients"]
    if served_by == "unknown":
        return "Which daemons serve the clients is unknown."
    if served_by == "nothing":
        parts = ["No client reaches a daemon"]
    elif served_by == "mixed":
        parts = [
            f"clients of {words.listed(clients[side])} reach {name}" for side, name in REACHED.items() if clients[side]
        ]
    else:
        all_clients = "" if clients["nothing"] or clients["unknown"] else " all clients"
        parts = [f"{REACHED[served_by]} serve{all_clients}"]
    if clients["nothing"] and served_by != "nothing":
        parts.append(f"clients of {words.listed(clients['nothing'])} reach nothing")
    if clients["unknown"]:
        parts.append(f"{words.listed(clients['unknown'])} {'was' if len(clients['unknown']) == 1 else 'were'} not seen")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def current_state(state: Mapping[str, Any]) -> tuple[str, ...]:
    """`state` is what `state_of` returns: a sentence on the clients, and one on each cluster."""
    lines = [clients_served(state)]
    for name, title in CLUSTERS.items():
        cluster = state["clusters"][name]
        if cluster["exists"]:
            quorum = "quorum" if cluster["quorate"] else "NO QUORUM"
            leader = f"leader {cluster['leader']}" if cluster["leader"] else "no leader"
            answering = f"{cluster['answering']} of {words.plural(cluster['voters'], 'voter')} answering"
            lines.append(f"{title}: {quorum}, {leader}, term {cluster['term']}, {answering}.")
        elif state["word"] != "unknown":
            lines.append("No daemon runs under systemd." if name == "old" else "The pods form no cluster.")
    return tuple(lines)

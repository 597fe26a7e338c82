# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._core import words
from .._core.text import one_line, visible
from .status import differing

MARKS = {"done": "✓", "started": "…", "failed": "✗", "rolled_back": "↩", "pending": "·"}
CLUSTERS = (("old", "systemd"), ("new", "pods"))


def columns(rows: Iterable[Sequence[Any]], indent: str = "  ") -> list[str]:
    """Rows of cells with every column as wide as its widest cell."""
    # A line feed in a cell would begin a row that is not one.
    texts = [["–" if cell is None else one_line(str(cell)) for cell in row] for row in rows]
    if not texts:
        return []
    widths = [max(len(row[index]) for row in texts) for index in range(len(texts[0]))]
    return [(indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths))).rstrip() for row in texts]


def render(status: Mapping[str, Any]) -> list[str]:
    """The status, line by line."""
    lines = [f"Migration: {words.STATE_TITLES[status['state']]}{_at(status)}", f"Next:      {_next(status)}"]
    if status["next"]["back"] and status["next"]["command"]:
        lines.append(f"Roll back: {status['next']['back']}")
    lines += [
        f"Owner:     {_owner(status['owner'], status['owner_known'])}",
        f"Served by: {_served_by(status['traffic'])}",
        "",
    ]
    for title, part in (
        ("PHASES", _phases(status)),
        *(
            (f"CLUSTER OF {name.upper()}", _cluster(status["clusters"][which], status["state"] != "unknown"))
            for which, name in CLUSTERS
        ),
        ("TRAFFIC", _traffic(status)),
        ("BACKUPS", _backups(status)),
        ("COULD NOT BE READ", [f"  {one_line(fault, 2000)}" for fault in status["faults"]]),
    ):
        if part:
            lines += [title, *part, ""]
    return "\n".join(lines[:-1]).splitlines()


def _served_by(traffic: Mapping[str, Any]) -> str:
    """`pods; clients of pi-2 reach nothing`: what serves, and whose clients it does not."""
    clients, parts = traffic["clients"], [traffic["served_by"]]
    if clients["nothing"] and traffic["served_by"] != "nothing":
        parts.append(f"clients of {words.listed(clients['nothing'])} reach nothing")
    if clients["unknown"] and traffic["served_by"] != "unknown":
        parts.append(f"not seen: {words.listed(clients['unknown'])}")
    return "; ".join(parts)


def _at(status: Mapping[str, Any]) -> str:
    if not status["phase"]:
        return ""
    where = f" at {words.PHASE_TITLES[status['phase']].lower()}" if status["state"] != "not_started" else ""
    step = f', step "{status["step"]}"' if status["step"] else ""
    why = "".join(f"\n           {line}" for line in visible(status["message"] or "").splitlines())
    return f"{where}{step}{why}"


def _next(status: Mapping[str, Any]) -> str:
    step = status["next"]
    return f"{step['command']}\n           ({step['why']})" if step["command"] else step["why"]


def _owner(owner: Mapping[str, Any] | None, known: bool) -> str:
    if not known:
        return "unknown (Kubernetes did not answer)"
    if owner is None:
        return "no run holds the lock"
    word = "expired" if owner["expired"] else "holds the lock"
    return f"{one_line(owner['holder'])} ({word}, renewed {words.seconds(owner['renewed_seconds_ago'])} ago)"


def _phases(status: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, phase in status["phases"].items():
        rows.append(
            (
                MARKS[phase["state"]],
                words.PHASE_TITLES[name],
                phase["state"].replace("_", " "),
                (phase["started"] or "")[:19].replace("T", " "),
                ", ".join(differing(phase)),
            )
        )
    return columns(rows)


def _cluster(cluster: Mapping[str, Any], seen: bool) -> list[str]:
    if not cluster["exists"]:
        return ["  no daemon listens" if seen else "  not known"]
    if not cluster["members"]:
        return [f"  {words.plural(cluster['answering'], 'daemon')} without a cluster yet"]
    quorum = "quorum" if cluster["quorate"] else "NO QUORUM"
    head = f"  {quorum}, leader {cluster['leader'] or cluster['leader_address'] or 'none'}, term {cluster['term']}"
    rows: list[Sequence[Any]] = [("ID", "ADDRESS", "ROLE", "TERM", "INDEX", "APPLIED", "LAG", "HOST")]
    for member in cluster["members"]:
        role = member["role"] or "no answer"
        rows.append(
            (member["id"], member["address"], role if member["voter"] else f"{role} (learner)", member["term"], member["last_index"],
             member["applied_index"], member["lag"], member["host"])
        )  # fmt: skip
    return [head, *columns(rows)]


def _traffic(status: Mapping[str, Any]) -> list[str]:
    traffic = status["traffic"]
    rows: list[Sequence[Any]] = [("CLIENTS OF", "GATE", "REACH", "STANDARD PORT", "TEMPORARY PORT", "UNIT")]
    rows += [
        (
            name,
            host["gate"],
            host["reaches"],
            host["standard_port"] or "free",
            host["temporary_port"] or "free",
            host["unit"],
        )
        for name, host in traffic["hosts"].items()
    ]
    service = traffic["service"]
    targets = columns(((target["endpoint"], target["reaches"]) for target in service["routes_to"]), "    ") or [
        "    nowhere"
    ]
    return [*columns(rows), f"  the Service, which points by {service['mode']} to", *targets]


def _backups(status: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, host in status["backups"]["hosts"].items():
        if host is None:
            rows.append((name, "unknown" if name in status["not_seen"] else "none", "", ""))
        else:
            rows.append((name, f"{words.seconds(host['age_seconds'])} old", words.size(host["bytes"]), host["path"]))
    return columns(rows)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a daemon's Raft answers mean: members, status, snapshots, Go durations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .shape import members_answer, number, status_answer

_DURATION_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")


@dataclass(frozen=True)
class Member:
    """One server of the Raft configuration."""

    id: str
    address: str
    voter: bool = True


@dataclass(frozen=True)
class NodeStatus:
    """What one node says of itself and of the cluster; a key the release does not send is None."""

    role: str | None
    leader: str | None
    is_leader: bool
    members: tuple[Member, ...] = ()
    health: Mapping[str, Any] | None = None
    term: int | None = None
    last_index: int | None = None
    commit_index: int | None = None
    applied_index: int | None = None
    snapshot_index: int | None = None
    # Seconds since the leader was last heard; None is "never".
    last_contact: float | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TakenSnapshot:
    """What the snapshot call answers."""

    id: str
    index: int | None
    term: int | None
    size: int | None
    path: str | None


def parse_duration(text: Any) -> float | None:
    """Seconds of a Go duration (`1m2.5s`, `35.1ms`); None for `never` and for what is none."""
    text = str(text)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


def parse_members(found: Any) -> tuple[Member, ...]:
    """Members from their Go field names; raises Unreadable where it is not a list of members."""
    return tuple(Member(id=member["ID"], address=member["Address"], voter=member["Voter"]) for member in members_answer(found))


def parse_status(found: Any) -> NodeStatus:
    """A status answer, with the numbers that `raft_stats` sends as strings; raises Unreadable where it is none."""
    body = status_answer(found)
    stats = body["raft_stats"]
    state = body.get("state") or stats.get("state")
    return NodeStatus(
        role=str(state).lower() if state else None,
        leader=body["leader"] or None,
        is_leader=bool(body.get("is_leader", str(state).lower() == "leader")),
        members=parse_members(body["members"]),
        health=body["health"],
        term=number(stats.get("term")),
        last_index=number(stats.get("last_log_index")),
        commit_index=number(stats.get("commit_index")),
        applied_index=number(stats.get("applied_index")),
        snapshot_index=number(stats.get("last_snapshot_index")),
        last_contact=parse_duration(stats.get("last_contact")),
        stats=stats,
    )

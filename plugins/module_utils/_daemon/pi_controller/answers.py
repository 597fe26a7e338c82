# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answers of pi-controller: their shape, checked in this one place before anything relies on it, and what they mean.

Each function returns the answer reduced to what is known of it, every string printable and short, every list bounded, or
raises Unreadable with what is wrong where. What a release sends in addition is dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Callable

from ..._core.text import one_line
from ..interface import Member, NodeStatus, Unreadable

# Raft clusters have 3 to 9 members; each member's host is looked up by name.
MAX_MEMBERS = 64
MAX_CAPABILITIES = 64
MAX_TOKEN = 8192
_LONGEST = 256
_ADDRESS = re.compile(r"[!-~]{1,256}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# What is read of `raft_stats`; it has the whole configuration as text, too.
STATS = (
    "state",
    "term",
    "last_log_index",
    "last_log_term",
    "commit_index",
    "applied_index",
    "fsm_pending",
    "last_snapshot_index",
    "last_snapshot_term",
    "last_contact",
    "num_peers",
)
_MAX_INDEX = 1 << 64
_DURATION_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")


def status_answer(found: Any) -> dict[str, Any]:
    """`GET status`: state, leader, is_leader, members, health, and of raft_stats what is in STATS."""
    body = _mapping(found, "the answer")
    stats = _mapping(body.get("raft_stats") or {}, "raft_stats")
    health = body.get("health")
    checked: dict[str, Any] = {
        "leader": _address(body.get("leader") or "", "leader"),
        "members": members_answer(body.get("members")),
        "health": {one_line(str(key), 64): inner for key, inner in health.items() if _scalar(inner)}
        if isinstance(health, Mapping) and len(health) <= MAX_CAPABILITIES
        else None,
        "raft_stats": {name: _statistic(stats[name]) for name in STATS if name in stats},
    }
    if body.get("state") is not None:
        checked["state"] = _text(body["state"], "state")
    if body.get("is_leader") is not None:
        checked["is_leader"] = _boolean(body["is_leader"], "is_leader")
    return checked


def members_answer(found: Any) -> list[dict[str, Any]]:
    """The list of `{"ID", "Address", "Voter"}`; none at all is an empty one."""
    members = _sequence([] if found is None else found, "members", MAX_MEMBERS)
    checked = []
    for number, member in enumerate(members):
        where = f"members[{number}]"
        entry = _mapping(member, where)
        voter = entry.get("Voter")
        checked.append(
            {
                "ID": _text(entry.get("ID"), f"{where}.ID"),
                "Address": _address(entry.get("Address"), f"{where}.Address", empty=False),
                "Voter": True if voter is None else _boolean(voter, f"{where}.Voter"),
            }
        )
    if len({entry["ID"] for entry in checked}) < len(checked):
        raise Unreadable("two members have one ID")
    return checked


def capabilities_answer(found: Any) -> frozenset[str]:
    """`GET capabilities`: a list of names, or an object that has it."""
    if isinstance(found, Mapping):
        found = found.get("capabilities")
    names = _sequence(found, "capabilities", MAX_CAPABILITIES)
    return frozenset(name for name in names if isinstance(name, str) and _NAME.fullmatch(name))


def login_answer(found: Any) -> str:
    """`POST login`: the token, which no error shows."""
    token = _mapping(found, "the answer").get("access_token") if isinstance(found, Mapping) else None
    if not isinstance(token, str) or not token or len(token) > MAX_TOKEN:
        raise Unreadable("it has no access_token")
    return token


def read_only_answer(found: Any) -> bool:
    """`GET read-only`. Only a true boolean counts: the word "false" must not pass for a fence."""
    return _boolean(_mapping(found, "the answer").get("enabled"), "enabled")


def snapshot_answer(found: Any) -> dict[str, Any]:
    """`POST snapshot`. The id becomes part of a path, so it is one plain name."""
    body = _mapping(found, "the answer")
    name, path = body.get("id"), body.get("path")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Unreadable(f"id is {_shown(name)}, wanted the name of a snapshot")
    if path is not None and path != "" and (not isinstance(path, str) or len(path) > 4096 or not path.isprintable()):
        raise Unreadable(f"path is {_shown(path)}, wanted a path")
    numbers = {key: _index(body.get(key), key) for key in ("index", "term", "size")}
    return {"id": name, "path": path or None, **numbers}


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Unreadable(f"{where} is {_shown(value)}, wanted an object")
    return value


def _sequence(value: Any, where: str, longest: int) -> list[Any]:
    if not isinstance(value, list):
        raise Unreadable(f"{where} is {_shown(value)}, wanted a list")
    if len(value) > longest:
        raise Unreadable(f"{where} has {len(value)} entries, at most {longest} are read")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value or len(value) > _LONGEST or not value.isprintable():
        raise Unreadable(f"{where} is {_shown(value)}, wanted printable text of at most {_LONGEST} characters")
    return value


def _address(value: Any, where: str, *, empty: bool = True) -> str:
    if empty and value == "":
        return ""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise Unreadable(f"{where} is {_shown(value)}, wanted an address such as 10.77.0.11:9091")
    return value


def _boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise Unreadable(f"{where} is {_shown(value)}, wanted true or false")
    return value


def _index(value: Any, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_INDEX:
        raise Unreadable(f"{where} is {_shown(value)}, wanted a number of 64 bits")
    return value


def _scalar(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, (bool, int, float))
        or (isinstance(value, str) and len(value) <= _LONGEST and value.isprintable())
    )


def _statistic(value: Any) -> Any:
    """A statistic that makes no sense is as good as one that is not sent."""
    return value if _scalar(value) else None


def number(value: Any) -> int | None:
    """A statistic as a number of 64 bits; Raft sends them as strings."""
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_INDEX else None


_KINDS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (lambda value: value is None, "missing"),
    (lambda value: isinstance(value, Mapping), "an object"),
    (lambda value: isinstance(value, (list, tuple)), "a list"),
)


def _shown(value: Any) -> str:
    for matches, kind in _KINDS:
        if matches(value):
            return kind
    if isinstance(value, str) and len(value) > 80:
        return f"a text of {len(value)} characters"
    return one_line(json.dumps(value, ensure_ascii=True, default=str), 80)


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
    return tuple(
        Member(id=member["ID"], address=member["Address"], voter=member["Voter"]) for member in members_answer(found)
    )


def _last_term(stats: Mapping[str, Any]) -> int | None:
    """The term of the last entry as Raft itself takes it: that of its log, but of its last snapshot where that has the higher index.

    A member whose log goes on behind a snapshot that it was sent refuses all that follows that snapshot.
    """
    log, snapshot = (
        (number(stats.get(f"last_{where}_index")), number(stats.get(f"last_{where}_term")))
        for where in ("log", "snapshot")
    )
    known = [(index or 0, term) for index, term in (log, snapshot) if term is not None]
    # The first of two with one index is the log's.
    return max(known, key=lambda entry: entry[0])[1] if known else None


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
        last_term=_last_term(stats),
        commit_index=number(stats.get("commit_index")),
        applied_index=number(stats.get("applied_index")),
        fsm_pending=number(stats.get("fsm_pending")),
        snapshot_index=number(stats.get("last_snapshot_index")),
        last_contact=parse_duration(stats.get("last_contact")),
    )

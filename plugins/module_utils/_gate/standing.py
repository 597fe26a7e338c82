# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate's table as the kernel has it, from the JSON of `nft -j list table`. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

FAMILY, NAME = "inet", "pi_controller_gate"
# Has a member's old port routed to its new one, see moved.py.
MOVED = "pi_controller_moved"
# Input for `nft -f -` after which there is no such table, whether there was one or not.
NOTHING_MOVED = f"table {FAMILY} {MOVED}\ndelete table {FAMILY} {MOVED}\n"
STATES = ("open", "fenced", "redirected", "forwarded")
MIXED = "mixed"
# A lease that has ended: the table is there, and no client is kept from the daemon or routed away any more.
LAPSED = "lapsed"
_COMMENT = re.compile(rf": ({'|'.join(STATES)}) (\d+)/(\d+): ")


class Chain(NamedTuple):
    """Where the kernel calls a chain. `priority` orders the chains of one hook, lowest first."""

    kind: str
    hook: str
    priority: int


CHAINS = {
    # Before connection tracking and before any NAT, so on the port that the client asked for.
    "front": Chain("filter", "prerouting", -310),
    "out": Chain("filter", "output", -310),
    # After connection tracking.
    "out_tracked": Chain("filter", "output", -190),
    "lead_in": Chain("nat", "prerouting", -110),
    "lead_out": Chain("nat", "output", -110),
    "through": Chain("filter", "forward", -10),
    # After all NAT and after ipvs: whatever comes here is about to reach a socket of this Pi.
    "deliver": Chain("filter", "input", 110),
    "back": Chain("nat", "postrouting", 90),
}


@dataclass
class Table:
    """Our table as the kernel has it: chains by name, each rule by its comment and verdict, sets by their elements."""

    chains: dict[str, Chain] = field(default_factory=dict)
    rules: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    sets: dict[str, frozenset[str]] = field(default_factory=dict)
    # The fenced ports that expire by themselves.
    lapsing: frozenset[str] = frozenset()
    forward_to: tuple[str, ...] = field(default=(), compare=False)
    # The other Pi that an earlier state routed to, where connections that still go there are ended.
    ends_through: tuple[str, ...] = field(default=(), compare=False)

    @property
    def comments(self) -> list[str]:
        return [comment for name in CHAINS for comment, _verdict in self.rules.get(name, [])]


def parse(text: str) -> Table:
    """Read the output of `nft -j list table`. Raises ValueError where it is not that."""
    table = Table()
    found: list[str] = []
    ended: list[str] = []
    for entry in json.loads(text)["nftables"]:
        if "chain" in entry:
            chain = entry["chain"]
            table.chains[chain["name"]] = Chain(chain.get("type", ""), chain.get("hook", ""), int(chain.get("prio", 0)))
            table.rules.setdefault(chain["name"], [])
        elif "set" in entry:
            table.sets[entry["set"]["name"]] = frozenset(map(_element, entry["set"].get("elem", [])))
            table.lapsing |= frozenset(map(_element, filter(_expires, entry["set"].get("elem", []))))
        elif "rule" in entry:
            rule = entry["rule"]
            verdict = next(reversed(rule["expr"][-1])) if rule["expr"] else ""
            table.rules.setdefault(rule["chain"], []).append((rule.get("comment", ""), verdict))
            found += [str(target["addr"]) for target in (expr.get("dnat") for expr in rule["expr"]) if _is_host(target)]
            ended += [
                str(match["right"]) for match in (expr.get("match") for expr in rule["expr"]) if _is_answering(match)
            ]
    table.forward_to, table.ends_through = tuple(dict.fromkeys(found)), tuple(dict.fromkeys(ended))
    return table


def _is_host(target: Any) -> bool:
    return isinstance(target, dict) and "addr" in target and "port" not in target


def _is_answering(match: Any) -> bool:
    left = (
        match.get("left", {}).get("ct", {}) if isinstance(match, dict) and isinstance(match.get("left"), dict) else {}
    )
    return (left.get("key"), left.get("dir")) in {("saddr", "reply"), ("ip saddr", "reply"), ("ip6 saddr", "reply")}


def _element(element: Any) -> str:
    if isinstance(element, dict) and "prefix" in element:
        return f"{element['prefix']['addr']}/{element['prefix']['len']}"
    if isinstance(element, dict) and "range" in element:
        return "-".join(element["range"])
    # One with a lifetime is {"elem": {"val": 8080, "timeout": 30, "expires": 12}}.
    return str(element["elem"]["val"] if isinstance(element, dict) and "elem" in element else element)


def _expires(element: Any) -> bool:
    return isinstance(element, dict) and isinstance(element.get("elem"), dict) and "timeout" in element["elem"]


def state_of(table: Table | None) -> str:
    """The state that these rules are all of; `mixed` when one is missing, is a stranger, or is of another state.

    `lapsed` where it was a lease, and has ended.
    """
    if table is None:
        return "open"
    found = [_COMMENT.search(comment) for comment in table.comments]
    if not found or not all(found) or sum(map(len, table.rules.values())) != len(found):
        return MIXED
    seen = [match.groups() for match in found if match]
    states = {state for state, _number, _total in seen}
    numbers = [(int(number), int(total)) for _state, number, total in seen]
    if len(states) != 1 or numbers != [(number, len(seen)) for number in range(1, len(seen) + 1)]:
        return MIXED
    state = states.pop()
    return LAPSED if state != "open" and not table.sets.get("fenced") else state


def stays(table: Table | None) -> bool:
    """Whether it keeps clients from the daemon, and does not end by itself."""
    return table is not None and not table.lapsing and state_of(table) not in ("open", LAPSED, MIXED)


def show(table: Table | None) -> str:
    """The table as text, for a diff."""
    if table is None:
        return ""
    lines = [f"set {name}: {', '.join(sorted(elements))}" for name, elements in sorted(table.sets.items())]
    lines += [f"expires by itself: {', '.join(sorted(table.lapsing))}"] if table.lapsing else []
    for name in sorted(table.rules):
        lines += [f"{name}: {comment} ({verdict})" for comment, verdict in table.rules[name]]
    return "".join(line + "\n" for line in lines)

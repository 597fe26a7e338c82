# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both clusters of a migration in the terms of the inventory: which Pi leads each, and what both sides can do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .._daemon.interface import READ_ONLY, RESTORE, SNAPSHOT

SIDES = ("old", "new")
BOTH = "both"
# How the content goes from one side to the other.
API, SQLITE = "api", "sqlite"


def carry_of(source: Collection[str], target: Collection[str]) -> str:
    """`API` or `SQLITE`, by what the daemons of both sides can do: their capabilities."""
    return API if SNAPSHOT in source and RESTORE in target else SQLITE


def fence_of(source: Collection[str], target: Collection[str]) -> str:
    """`read-only` where daemons on both sides refuse writes themselves, or `network`.

    The module that makes them read-only carries by their own calls in the same step.
    """
    by_call = READ_ONLY in source and READ_ONLY in target and carry_of(source, target) == API
    return "read-only" if by_call else "network"


def both_sides(seen: Mapping[str, Any], addresses: Mapping[str, str]) -> dict[str, Any]:
    """What is known of both sides, from the last result of `raft_info` for each.

    `seen` has them as `old` and `new`, and as `both` the last look at both; of each side the later look counts. A result of a look that
    failed, was skipped or was never made says nothing, and that side is left out. `addresses` are those of the Pis, by host, in the order
    of the inventory. Raises ValueError for a side that there is not.

    As soon as both sides have a leader, each has `detour`, what the gate does on the leader's Pi while its daemon must not
    answer (`state` and `forward_to`, as of `traffic_gate`), and there are `fence` (`read-only` or `network`) and `carry`
    (`api` or `sqlite`): what both daemons can do, or else the way round.
    """
    unknown = sorted(set(seen) - {*SIDES, BOTH})
    if unknown:
        raise ValueError(f"a side is one of {' and '.join(SIDES)}, not {unknown[0]!r}")
    last = {side: _last(seen, side) for side in SIDES}
    view: dict[str, Any] = {side: dict(last[side]) for side in SIDES if _looked(last[side])}
    if not all((view.get(side) or {}).get("leader") for side in SIDES):
        return view
    hosts = {side: view[side]["leader"]["host"] for side in SIDES}
    # Two Pis that forward to each other would answer no client, so it is one that leads neither cluster. Of two Pis
    # with a leader each, the old one's clients go to the other; those of the new one are refused until it is opened.
    neither = [host for host in addresses if host not in hosts.values()]
    followers = [host for host in addresses if host != hosts["old"]]
    view["old"]["detour"] = _detour([*neither, *followers], addresses)
    view["new"]["detour"] = _detour(neither, addresses)
    can = [set(view[side].get("capabilities") or ()) for side in SIDES]
    view["fence"] = fence_of(*can)
    view["carry"] = carry_of(*can)
    return view


def _last(seen: Mapping[str, Any], side: str) -> Any:
    """The later of the two looks that this side may be in. One that was skipped is none."""
    own, both = seen.get(side), seen.get(BOTH)
    if not isinstance(both, Mapping) or _at(both) <= _at(own):
        return own
    return None if both.get("failed") else both["clusters"][side]


def _at(look: Any) -> float:
    return float(look.get("looked_at", 0.0)) if isinstance(look, Mapping) else 0.0


def _looked(result: Any) -> bool:
    return isinstance(result, Mapping) and "leader" in result and not result.get("failed")


def _detour(hosts: list[str], addresses: Mapping[str, str]) -> dict[str, str]:
    return {"state": "forwarded", "forward_to": addresses[hosts[0]]} if hosts else {"state": "fenced", "forward_to": ""}

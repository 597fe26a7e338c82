# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollback decides by: whether it can go Pi by Pi, whose turn is next, and which pods agree on a leader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._core.addresses import in_one_spelling, normal
from .cluster import host_of
from .sides import carry_of

WAITING, STARTED, DONE = "waiting", "started", "done"


def not_by_turns(
    takeovers: Mapping[str, Any], daemonset: Mapping[str, Any], seen: Mapping[str, Any], endpoints: Sequence[str]
) -> list[str]:
    """Why pods and units cannot change places Pi by Pi, a text for each reason.

    The first three are results of modules, each with `msg` where it failed: of `unit_takeover` by host, of
    `k8s_daemonset_nodes` and of `raft_info`. `endpoints` is where the members have to be, the unit's `address:port`
    on each Pi.
    """
    reasons = [str(look["msg"]) for look in (*takeovers.values(), daemonset, seen) if "msg" in look]
    found = sorted(in_one_spelling(str(member["address"])) for member in seen.get("members") or ())
    wanted = sorted(map(in_one_spelling, endpoints))
    if "msg" not in seen and found != wanted:
        reasons.append(f"the members are at {', '.join(found)}, wanted {', '.join(wanted)}")
    return reasons


def next_turn(
    turns: Mapping[str, str], last: str, seen: Mapping[str, Any], addresses: Mapping[str, str]
) -> dict[str, Any]:
    """The turn that follows where each Pi has one, on the way there or in a rollback.

    `turns` is what the journals say of each Pi, `last` the Pi whose turn has just ended in this run (empty before the
    first), `seen` what it has seen of the cluster (a result of `raft_info`), `addresses` those of the Pis. Raises
    ValueError where no Pi is left.

    A Pi that an earlier run left in its turn goes first: as long as its daemon may be away, no other one may stop.
    Then the followers, the leader last. Returns `host`, the `turns` to record with the start of its turn, `last` as given,
    `waiting`, who comes after, and `standing`, whose turns are over and whose daemons can be Ready: without a quorum none is, and
    where an earlier run has left a Pi in its turn, there may be none.
    """
    left = [host for host, state in turns.items() if state != DONE and host != last]
    leader = host_of(str((seen.get("leader") or {}).get("address") or ""))
    half_way = [host for host in left if turns[host] == STARTED]
    followers = [host for host in left if normal(addresses[host]) != leader]
    order = [*half_way, *followers, *left]
    if not order:
        raise ValueError("every Pi has had its turn. Next: run the playbook rollback again")
    host = order[0]
    ended = {last: DONE} if last else {}
    return {
        "host": host,
        "turns": {**turns, **ended, host: STARTED},
        "last": last,
        "standing": [pi for pi, state in turns.items() if pi == last or (state == DONE and not half_way)],
        "waiting": [other for other in left if other != host],
    }


def pods_agreed(views: Mapping[str, Any]) -> dict[str, Any]:
    """What the pods say, each asked on its own Pi: `views` is the result of `raft_info` by host.

    A leader knows its own URL, the others only its address. Returns the `leader`'s host (empty where no pod leads),
    its `url`, the hosts whose pods `follow` it, itself among them, a `text` for those that are too few, and how their
    state can be taken: `fence` and `carry`, as of `cluster_view`.
    """
    leaders = {host: view["leader"] for host, view in views.items() if isinstance(view, Mapping) and view.get("leader")}
    leader = next((host for host, found in leaders.items() if found.get("url")), "")
    if not leader:
        return {"leader": "", "url": None, "follow": [], "text": "No pod leads", "fence": "network", "carry": "sqlite"}
    follow = [host for host, found in leaders.items() if found["address"] == leaders[leader]["address"]]
    can = set(views[leader].get("capabilities") or ())
    return {
        "leader": leader,
        "url": leaders[leader]["url"],
        "follow": follow,
        "text": f"Only {', '.join(follow)} follow the pod of {leader}",
        "fence": "read-only" if "read-only" in can else "network",
        "carry": carry_of(can, can),
    }

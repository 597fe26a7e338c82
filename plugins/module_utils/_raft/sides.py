# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both clusters of a migration in the terms of the inventory: which Pi leads each, and what both sides can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.addresses import normal
from .cluster import host_of

SIDES = ("old", "new")


def with_side(
    known: Mapping[str, Any], side: str, seen: Mapping[str, Any], addresses: Mapping[str, str]
) -> dict[str, Any]:
    """What is known of both sides, with what `raft_info` has just `seen` of one of them.

    `addresses` are those of the Pis, by host, in the order of the inventory. Raises ValueError for a side that there is
    not, and for a leader that is no host of the inventory.

    Each side is what `raft_info` returns, with two things more: `leader.host`, and `detour`, what the gate does on
    the leader's Pi while its daemon must not answer (`state` and `forward_to`, as of `traffic_gate`). As soon as both
    sides are known there are `fence` (`read-only` or `network`) and `carry` (`api` or `sqlite`): what both daemons
    can do, or else the way round.
    """
    if side not in SIDES:
        raise ValueError(f"a side is one of {' and '.join(SIDES)}, not {side!r}")
    leader = seen.get("leader")
    if leader:
        leader = {**leader, "host": _host_at(str(leader["address"]), side, addresses)}
    view: dict[str, Any] = {
        name: {key: value for key, value in known[name].items() if key != "detour"} for name in SIDES if name in known
    }
    view[side] = {**seen, "leader": leader}
    if not all((view.get(name) or {}).get("leader") for name in SIDES):
        return view
    old, new = (view[name] for name in SIDES)
    hosts = {name: view[name]["leader"]["host"] for name in SIDES}
    # Two Pis that forward to each other would answer no client, so it is one that leads neither cluster. Of two Pis
    # with a leader each, the old one's clients go to the other; those of the new one are refused until it is opened.
    neither = [host for host in addresses if host not in hosts.values()]
    followers = [host for host in addresses if host != hosts["old"]]
    view["old"] = {**old, "detour": _detour([*neither, *followers], addresses)}
    view["new"] = {**new, "detour": _detour(neither, addresses)}
    can = [set(member.get("capabilities") or ()) for member in (old, new)]
    view["fence"] = "read-only" if all("read-only" in capabilities for capabilities in can) else "network"
    view["carry"] = "api" if "snapshot" in can[0] and "restore" in can[1] else "sqlite"
    return view


def _host_at(address: str, side: str, addresses: Mapping[str, str]) -> str:
    for host, known in addresses.items():
        if host_of(address) == normal(known):
            return host
    hosts = ", ".join(f"{host} ({known})" for host, known in addresses.items())
    raise ValueError(
        f"the {side} cluster is led from {address}, which is not an address of {hosts}. "
        "Next: set pi_controller_address of that Pi to the address that the daemon advertises"
    )


def _detour(hosts: list[str], addresses: Mapping[str, str]) -> dict[str, str]:
    return {"state": "forwarded", "forward_to": addresses[hosts[0]]} if hosts else {"state": "fenced", "forward_to": ""}

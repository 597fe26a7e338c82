# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order a port migration goes from Pi to Pi, and whose pod has moved by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .._core.addresses import normal, with_port
from .cluster import host_of


def port_turns(
    looks: Mapping[str, Mapping[str, Any]], addresses: Mapping[str, str], port: int, rest: int
) -> list[dict[str, Any]]:
    """The turn of each Pi, in their order: its `host`, and whether its pod has `moved` to the standard ports.

    `looks` is what each Pi has seen of the pods' cluster, a result of `raft_info` with `leader.host` by host; `addresses` are those
    of the Pis, `port` and `rest` are the standard ports of Raft and of REST. Who leads is what the first of them has seen: two that saw
    different leaders would disagree about whose turn it is.
    """
    pods = {host: _place(look, addresses[host], port, rest) for host, look in looks.items()}
    leader = next(iter(looks.values()))["leader"]["host"]
    return [{"host": host, "moved": pods[host]["moved"]} for host in port_order(pods, leader)]


def _place(look: Mapping[str, Any], address: str, port: int, rest: int) -> dict[str, bool]:
    """Where the list of members says that a Pi's pod is, and a leader where it really is.

    One whose pod has moved may have been elected before its member was changed. One that is still listed at its old address is reached
    there through a port that is routed to the new one; that it has moved shows on its own Pi, where it answers on the standard port.
    """
    own = [member for member in look["members"] if host_of(member["address"]) == normal(address)]
    known = [member["address"] for member in own] + [look["leader"]["address"]]
    return {
        "moved": with_port(address, port) in known,
        "reached": any(member["in_contact"] and urlsplit(member["url"] or "").port != rest for member in own),
    }


def port_order(pods: Mapping[str, Mapping[str, bool]], leader: str) -> list[str]:
    """Every host once, the leader's last unless its pod has moved.

    `pods` has for each host whether its pod has `moved` to the standard ports, and whether the leader has `reached` it where it was.

    A pod that has moved may have been left with its gate shut, and one that the leader does not reach where it was without a
    member: as long as either is half-way, no other pod may be taken away. Of these two the first needs only to be let
    in, also where it leads.
    """
    moved = [host for host, pod in pods.items() if pod["moved"]]
    unreached = [host for host, pod in pods.items() if not pod["reached"] and host != leader]
    followers = [host for host in pods if host != leader]
    return list(dict.fromkeys([*moved, *unreached, *followers, leader]))

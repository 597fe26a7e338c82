# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which node of Kubernetes each host of the inventory is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._core.addresses import normal


def node_names(nodes: Iterable[Mapping[str, Any]], addresses: Mapping[str, str]) -> dict[str, str]:
    """Node by host: the one of the host's own name, else the one that has its address as InternalIP. Others are left out.

    An inventory of k3s-ansible has addresses for names, and a node never has.
    """
    known = list(nodes)
    names = {node["metadata"]["name"] for node in known}
    by_address = {
        normal(entry["address"]): node["metadata"]["name"]
        for node in known
        for entry in (node.get("status") or {}).get("addresses") or ()
        if entry.get("type") == "InternalIP"
    }
    found = {host: host if host in names else by_address.get(normal(address)) for host, address in addresses.items()}
    return {host: name for host, name in found.items() if name}

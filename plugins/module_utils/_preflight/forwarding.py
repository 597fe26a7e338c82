# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a Pi's firewall would drop what its gate forwards to a neighbour in its turn. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._core.journal import PARALLEL
from .findings import WARNING, Finding
from .plan import Plan

CHECK = "forwarded packets"
WANTED = "what the gate forwards to a neighbour passes, both ways"
# Tables of iptables. A rule of nft in one would keep iptables from reading it.
IPTABLES = {"ip filter FORWARD": "iptables", "ip6 filter FORWARD": "ip6tables"}


def forwarding_findings(plan: Plan, host: str, seen: Mapping[str, Any]) -> Iterator[Finding]:
    # With one Pi there is no neighbour. Pi by Pi, where followers keep what they take to themselves, clients are refused.
    if len(plan.hosts) < 2 or (plan.followers_write and plan.strategy != PARALLEL):
        return
    forwarding = seen["forwarding"]
    for chain in forwarding["denied_by"]:
        yield Finding(
            host,
            CHECK,
            f"chain {chain} drops forwarded packets by default",
            WANTED,
            "have a rule of that chain accept what goes to the other Pis and comes back; without one this Pi's clients time out "
            f"in its turn: {_accept(chain)}",
            WARNING,
        )
    # These have findings of their own.
    if forwarding["unreadable"] and seen["privileged"] and "nft" not in seen["missing_tools"]:
        yield Finding(
            host,
            CHECK,
            f"not read: {forwarding['unreadable']}",
            "chains that nft can list",
            "run nft -j list chains on this Pi; the gate needs nft as well",
            WARNING,
        )


def _accept(chain: str) -> str:
    """What the gate forwards has had its destination changed by it, and so have the replies."""
    if chain in IPTABLES:
        return f"{IPTABLES[chain]} -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT"
    return f"nft insert rule {chain} ct status dnat accept"

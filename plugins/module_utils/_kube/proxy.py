# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The endpoints that kube-proxy has programmed on this host, from what each of its modes leaves in the kernel. Pure."""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

IPTABLES, NFTABLES, IPVS, NONE, UNKNOWN = "iptables", "nftables", "ipvs", "none", "unknown"
# Where new connections to Services enter kube-proxy's chains in iptables mode.
ROOTS = ("KUBE-SERVICES", "KUBE-NODEPORTS")
_REAL_SERVER = re.compile(r"^\s*-> (\S+):([0-9A-F]{4})\s+\S+\s+(\d+)", re.MULTILINE)


class NatRule(NamedTuple):
    """What counts of a rule in a nat table: its chain, the chain it goes on to, and the address it translates to."""

    chain: str
    jump: str | None = None
    destination: str | None = None


@dataclass(frozen=True)
class ProxyRules:
    """The mode of kube-proxy and the endpoints (`ip:port`, `[ip]:port`) that new connections can be routed to."""

    mode: str
    endpoints: frozenset[str] = frozenset()
    # Why the rules cannot be read.
    unreadable: str | None = None

    @property
    def known(self) -> bool:
        return self.unreadable is None

    def settled(self, routes_to: Iterable[str], forgotten: Iterable[str]) -> bool:
        wanted = {endpoint_of_text(text) for text in routes_to}
        unwanted = {endpoint_of_text(text) for text in forgotten}
        return self.known and wanted <= self.endpoints and not unwanted & self.endpoints


def endpoint(ip: str, port: int) -> str:
    address = ipaddress.ip_address(ip)
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def endpoint_of_text(text: str) -> str:
    """`[fd00:0::1]:80`, `fd00::1:80` (an address without brackets) and `10.0.0.1:80` in one form."""
    ip, _colon, port = text.rpartition(":")
    return endpoint(ip.strip("[]"), int(port))


def of_nat_rules(rules: Iterable[NatRule]) -> frozenset[str] | None:
    """The endpoints in iptables mode, or None where kube-proxy has no chain there.

    Chains of endpoints that are gone may stay until kube-proxy has time to remove them, but nothing jumps to them.
    """
    by_chain: dict[str, list[NatRule]] = {}
    for rule in rules:
        by_chain.setdefault(rule.chain, []).append(rule)
    if not any(root in by_chain for root in ROOTS):
        return None
    reached: set[str] = set()
    ahead = [root for root in ROOTS if root in by_chain]
    while ahead:
        chain = ahead.pop()
        if chain not in reached:
            reached.add(chain)
            ahead += [rule.jump for rule in by_chain.get(chain, []) if rule.jump]
    return frozenset(rule.destination for chain in reached for rule in by_chain.get(chain, []) if rule.destination)


def parse_iptables_save(saved: str) -> list[NatRule]:
    """The rules in the text of `iptables-save -t nat`. A chain without rules counts as one rule that does nothing."""
    rules = []
    for line in saved.splitlines():
        if line.startswith(":"):
            rules.append(NatRule(line[1:].split()[0]))
        if not line.startswith("-A "):
            continue
        words = shlex.split(line)
        following = dict(zip(words, words[1:]))
        target = following.get("-j") or following.get("-g")
        destination = following.get("--to-destination") if target == "DNAT" else None
        # An endpoint always has a port; a range or a bare address is not of kube-proxy.
        exact = destination and re.fullmatch(r"\[?[0-9a-fA-F.:]+\]?:\d+", destination)
        rules.append(NatRule(words[1], target, endpoint_of_text(destination) if destination and exact else None))
    return rules


def of_nft_table(listed: str) -> frozenset[str]:
    """The endpoints in nftables mode, from the text of `nft -j list table ip kube-proxy` (or ip6).

    kube-proxy empties the chains of endpoints that are gone before it removes them, so every translation counts.
    """
    found: set[str] = set()
    for item in json.loads(listed)["nftables"]:
        for statement in (item.get("rule") or {}).get("expr") or []:
            if isinstance(statement, dict) and "dnat" in statement:
                found.update(_translations(statement["dnat"]))
    return frozenset(found)


def _translations(dnat: dict[str, Any]) -> Iterator[str]:
    """`{"addr": IP, "port": N}`, or a map from random numbers to pairs of both."""
    address = dnat.get("addr")
    if isinstance(address, str) and isinstance(dnat.get("port"), int):
        yield endpoint(address, dnat["port"])
    elif isinstance(address, dict) and "map" in address:
        for _number, value in address["map"]["data"]["set"]:
            ip, port = value["concat"]
            yield endpoint(ip, int(port))


def of_ip_vs(listed: str) -> frozenset[str] | None:
    """The endpoints in ipvs mode, from /proc/net/ip_vs; None where there is no virtual server.

    An endpoint of weight 0 is drained: it keeps its connections and gets no new one.
    """
    if not re.search(r"^(TCP|UDP|SCTP) ", listed, re.MULTILINE):
        return None
    return frozenset(
        endpoint(_ip_vs_address(address), int(port, 16))
        for address, port, weight in _REAL_SERVER.findall(listed)
        if int(weight)
    )


def _ip_vs_address(text: str) -> str:
    return text.strip("[]") if text.startswith("[") else str(ipaddress.IPv4Address(int(text, 16)))

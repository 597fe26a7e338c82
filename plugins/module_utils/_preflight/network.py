# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong between the Pis, from what M(preflight_ports) has tried on each of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from statistics import median
from typing import Any

from .._core.addresses import with_port
from .findings import Finding
from .plan import Plan
from .port_probe import ANSWERED, CONNECTED, REFUSED, TIMEOUT

# Leases, log times and the order of events in reports are compared between Pis.
MAX_SKEW = 1.0
_WORDS = {TIMEOUT: "no answer", REFUSED: "refused"}


def network_findings(plan: Plan, results: Mapping[str, Mapping[str, Any]], down: Collection[str]) -> Iterator[Finding]:
    """`results` are those of the Pis on which the probe ran; on the Pis that are `down` no unit listens."""
    for host in plan.hosts:
        for peer, ports in (results.get(host) or {}).get("reached", {}).items():
            yield from _reach(plan, host, peer, ports, results.get(peer), peer in down)
    yield from _clocks(results)


def _reach(
    plan: Plan, host: str, peer: str, ports: Mapping[str, Any], other: Mapping[str, Any] | None, peer_down: bool
) -> Iterator[Finding]:
    address = plan.places[peer].address
    names = {seen["name"] for seen in ports.values() if seen["result"] == ANSWERED and seen["name"] != peer}
    for name in sorted(names):
        yield Finding(
            host,
            f"address of {peer}",
            f"{address} belongs to {name}",
            f"it belongs to {peer}",
            f"correct ansible_host or pi_controller_address of {peer}",
        )
    for port in sorted(
        int(text)
        for text, seen in ports.items()
        if seen["result"] == CONNECTED and int(text) in plan.new_ports.values()
    ):
        # On its own Pi the port is free, so what answers is reached by an address translation (a hostPort, a Service, a rule by hand).
        if other is not None and port in other["listened"]:
            yield Finding(
                peer,
                f"port {port}",
                f"{plan.port_names(port)} of {address} is answered by something else, as seen from {host}; on {peer} itself it is free",
                f"what connects to {with_port(address, port)} reaches {peer}'s own listener",
                f"find the rule that translates it (nft list ruleset, kubectl get pods,services -A), or set {plan.setting_of(port)} to another port",
            )
    closed: dict[str, list[int]] = {}
    for text, seen in ports.items():
        if seen["result"] not in (ANSWERED, CONNECTED) and not _explained(plan, int(text), seen, other, peer_down):
            closed.setdefault(seen["result"], []).append(int(text))
    for result, numbers in closed.items():
        listed = ", ".join(plan.port_names(port) for port in sorted(numbers))
        bare = ",".join(map(str, sorted(numbers)))
        yield Finding(
            host,
            f"way to {peer}",
            f"{_WORDS.get(result, result)} from {address} on {listed}",
            f"{peer} can be reached on every port",
            f"let TCP {bare} from {plan.places[host].address} through to {address} (firewall of either Pi, router between)",
        )


def _explained(
    plan: Plan, port: int, seen: Mapping[str, Any], other: Mapping[str, Any] | None, peer_down: bool
) -> bool:
    """Whether the peer itself has the finding that this one follows from."""
    if port in plan.standard_ports.values():
        return peer_down
    # Without a probe there, or where it could not listen, no process answers. That packets get lost has its own cause.
    return other is None or (seen["result"] == REFUSED and str(port) in other["taken"])


def _clocks(results: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """A Pi is named when it is off against most of the others; of two that differ it is unknown which is wrong."""
    for host, result in results.items():
        # The peer's clock minus ours, so that ours is off by the opposite.
        known = [(-clock["offset"], clock["uncertainty"]) for clock in result.get("clocks", {}).values()]
        if not known:
            continue
        offset, uncertainty = _against_most([each[0] for each in known]), max(each[1] for each in known)
        if abs(offset) - uncertainty > MAX_SKEW:
            yield Finding(
                host,
                "clock",
                f"{abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} the other Pis",
                f"within {MAX_SKEW:g} s",
                "let it keep time (timedatectl set-ntp true, or chrony), and see timedatectl status",
            )


def _against_most(offsets: list[float]) -> float:
    """Ours counts as one of the clocks, at 0: a bystander of one that is off agrees with all the rest."""
    return offsets[0] if len(offsets) == 1 else median([0.0, *offsets])

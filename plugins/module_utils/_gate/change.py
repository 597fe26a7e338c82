# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what a module is asked for to a gate that is set: refusals first, then one transaction, then what it ends."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .addresses import own_addresses
from .boot import BootUnit
from .lease import Lease
from .nft import GateError, Nft
from .sockets import Connection, Sockets
from .standing import LAPSED, MIXED, Table, state_of
from .table import Gate, Port
from .tracked import Routed, forget, forget_over

FORWARDING = {4: Path("/proc/sys/net/ipv4/ip_forward"), 6: Path("/proc/sys/net/ipv6/conf/all/forwarding")}


@dataclass(frozen=True)
class Changed:
    """What the kernel had, what it has now (in check mode: would have), and how many connections that ends."""

    before: Table | None
    after: Table | None
    ended: int = 0


def wanted_gate(params: Mapping[str, Any]) -> Gate:
    """The gate that a module's parameters describe, without this Pi's addresses. Raises GateError."""
    ports = tuple(Port(port["standard"], port["temporary"]) for port in params["ports"] or [])
    # Only a redirection looks at the temporary ports.
    numbers = [number for port in ports for number in (port if params["state"] == "redirected" else port[:1])]
    if any(not 0 < number < 65536 for number in numbers) or len(set(numbers)) != len(numbers):
        raise GateError(f"ports {numbers} are not all different numbers from 1 to 65535", seen=numbers)
    if params["established"] == "keep" and params["state"] == "fenced":
        raise GateError("a fence has to end established connections", next_step="leave established at reset")
    services = tuple((_parsed(entry["cluster_ip"]), _parsed(entry["address"])) for entry in params["services"])
    for service, pi in services:
        if service.version != pi.version:
            raise GateError(
                f"the Service {service} cannot be routed to {pi}: one is IPv4, the other IPv6", seen=str(service)
            )
    forward_to = _forward_to(params["forward_to"] or []) if params["state"] == "forwarded" else ()
    return Gate(
        params["state"], ports, forward_to,
        keep_established=params["established"] == "keep",
        services=tuple((str(service), str(pi)) for service, pi in services),
    )  # fmt: skip


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise GateError(f"{text} is not an IP address", seen=text) from error


def _forward_to(texts: list[str]) -> tuple[str, ...]:
    addresses = [_parsed(text) for text in texts]
    if len({address.version for address in addresses}) != len(addresses):
        raise GateError(f"forward_to {', '.join(texts)} names two addresses of one family", seen=texts)
    for address in addresses:
        if address.is_loopback or _is_own(str(address)):
            raise GateError(
                f"forward_to {address} is an address of this Pi, clients would go round in circles",
                seen=str(address),
                next_step="name another Pi, or use state redirected",
            )
        _check_forwarding(FORWARDING[address.version])
    return tuple(map(str, addresses))


def _check_forwarding(path: Path) -> None:
    name = ".".join(path.parts[3:])
    try:
        seen = path.read_text().strip()
    except OSError as error:
        raise GateError(
            f"{path} cannot be read: {error.strerror}", next_step="see whether the kernel has that family"
        ) from error
    if seen != "1":
        raise GateError(
            f"this Pi does not forward packets: {name} is {seen}",
            seen=int(seen),
            wanted=1,
            next_step="K3s sets it when it starts, so see that K3s runs; or set it with ansible.posix.sysctl",
        )


def _is_own(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def with_addresses(gate: Gate) -> Gate:
    """The gate for this Pi's own addresses. Raises GateError where the kernel does not show them."""
    try:
        own = own_addresses()
    except OSError as error:
        number = errno.errorcode.get(error.errno or 0, "no answer")
        raise GateError(
            f"the addresses of this Pi cannot be read from the kernel: {error.strerror or error} ({number})",
            next_step="run it as root on the Pi itself",
        ) from error
    return replace(gate, own=tuple(dict.fromkeys([*own, *(pi for _service, pi in gate.services)])))


def completed(gate: Gate, before: Table | None) -> Gate:
    """The gate with all that it takes from this Pi and from the gate that it follows. Raises GateError."""
    return ending_routed(with_addresses(gate) if gate.state != "open" else gate, before)


def change_gate(
    nft: Nft,
    boot: BootUnit,
    gate: Gate,
    before: Table | None,
    established: str,
    patience: float,
    check_mode: bool,
    lease: Lease | None = None,
) -> tuple[bool, Changed]:
    """Whether anything changes (in check mode: would), the boot unit included, and what.

    Raises GateError, LeaseEnded, OSError.
    """
    # Known to the next boot before it is set, and forgotten only once it is gone; but one that must follow a lease can fail.
    first = boot.persists and not (lease and lease.held)
    changed = first and boot.write(check_mode)
    done = proven(nft, gate, before, lease) if check_mode else set_gate(nft, gate, before, established, patience, lease)
    changed = (not first and boot.write(check_mode)) or changed
    return changed or done.before != done.after, done


def set_gate(
    nft: Nft, gate: Gate, before: Table | None, established: str, patience: float, lease: Lease | None = None
) -> Changed:
    """Make the kernel have this gate in place of `before`. Raises GateError and LeaseEnded; then the state is as the message says."""
    gate = lease.of(gate) if lease else gate
    ends = gate.exists and established != "keep"
    # The daemon the gate routes away from: an open one routes away from the pod.
    sockets = Sockets([port.temporary if gate.state == "open" else port.standard for port in gate.ports])
    ended: list[Connection] = []
    now = before
    # A lease is renewed each time.
    changes = before != gate.expected() or gate.lifetime is not None
    routed = _routed_before(gate, before) if before and changes and established != "keep" else None
    # Where the gate is set already, no connection is let in again to finish.
    if established == "finish" and changes and (ends or routed):
        lenient = replace(gate, keep_established=True, ends_routed=False, ends_through=())
        nft.apply(lenient, before)
        now = lenient.expected()
        # It was set just now, and must not have ended meanwhile.
        lease = replace(lease, held=True) if lease else None
        if ends:
            ended = sockets.finish(patience)
        if routed:
            routed.finish(patience / 2)
        if routed and gate.state == "open":
            # What is forgotten under way gets no answer, and no reset either: first no new request may come this way.
            passing = replace(gate, ends_through=tuple(routed.others), own=tuple(routed.own), ports=_both(routed.ports))
            nft.apply(passing, now)
            now = passing.expected()
            routed.finish(patience / 2)
    if changes:
        gate = lease.of(gate) if lease else gate
        nft.apply(gate, now)
        after = nft.confirmed(gate)
    else:
        after = before
    # Once the gate is open, whoever asks for the pod's own port is let alone.
    if ends and (changes or gate.state != "open"):
        left = sockets.current() or []
        sockets.end(left)
        ended += left
        # Where the pod's clients are not ended yet, the kernel still has to know that they were routed there.
        if sockets.can_end or gate.state != "open":
            forget(ended)
    # In any other state a rule ends them.
    if routed and gate.state == "open":
        routed.forget()
    if changes and established != "keep" and _routes_elsewhere(gate, before):
        _forget_over(gate)
    return Changed(before, after, len(ended))


def _routes_elsewhere(gate: Gate, before: Table | None) -> bool:
    """Whether a client that comes now is answered at another place than before."""
    return state_of(before) != gate.state or (before is not None and before.forward_to != gate.forward_to)


def _forget_over(gate: Gate) -> None:
    # Whoever talks to the pod goes on doing so, wherever new clients are routed.
    sockets = Sockets([number for port in gate.ports for number in port])
    now_at = {
        "open": [port.standard for port in gate.ports],
        "redirected": [port.temporary for port in gate.ports],
    }.get(gate.state, [])
    with contextlib.suppress(OSError):
        own = gate.own or own_addresses()
        forget_over([port.standard for port in gate.ports], own, now_at, sockets.current())


def _routed_before(gate: Gate, before: Table) -> Routed | None:
    """What the gate `before`, or an earlier one, has routed to a Pi that this one routes no client to.

    It has no socket here. A client that kept such a connection would stay with that Pi's daemon for good: with the old one
    when its own Pi has the new, or with a follower that sends its writes back to this Pi.
    """
    routed_away = dict.fromkeys((*before.forward_to, *before.ends_through))
    others = tuple(address for address in routed_away if address not in gate.forward_to)
    if not others:
        return None
    with contextlib.suppress(OSError):
        # Of a lease that has ended the table has no ports.
        ports = [int(port) for port in before.sets.get("fenced", ())] or [port.standard for port in gate.ports]
        return Routed(others, ports, gate.own or own_addresses())
    return None


def _both(ports: Collection[int]) -> tuple[Port, ...]:
    return tuple(Port(port, port) for port in ports)


def proven(nft: Nft, gate: Gate, before: Table | None, lease: Lease | None = None) -> Changed:
    """What `set_gate` would do, after the kernel has shown that it can."""
    gate = lease.of(gate) if lease else gate
    nft.check(gate)
    return Changed(before, before if before == gate.expected() else gate.expected())


def ending_routed(gate: Gate, before: Table | None) -> Gate:
    """The gate that also ends connections an earlier one routed elsewhere: to the pod before `open`, or to another Pi."""
    # A table in the state `open` is what an earlier opening has left for the same reason.
    ends = before is not None and gate.state != "open" and not gate.keep_established
    routed_away = (*before.forward_to, *before.ends_through) if before is not None and ends else ()
    gate = replace(
        gate, ends_through=tuple(dict.fromkeys(address for address in routed_away if address not in gate.forward_to))
    )
    was_routed = before is not None and state_of(before) in ("open", "redirected", LAPSED, MIXED)
    return replace(
        gate, ends_routed=bool(gate.state == "open" and gate.ports and was_routed and not gate.keep_established)
    )

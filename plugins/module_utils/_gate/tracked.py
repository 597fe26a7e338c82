# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections as the kernel's connection tracking has them: which of them are routed to another Pi, and forgetting them."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .._core.operator import is_operator
from . import netlink
from .sockets import Connection

_CT_GET, _CT_DELETE = 1 << 8 | 1, 1 << 8 | 2
_TUPLE_ORIGINAL, _TUPLE_REPLY, _TUPLE_IP, _TUPLE_PROTO, _PROTOINFO = 1, 2, 1, 2, 4
_PROTOINFO_TCP, _TCP_STATE = 1, 1
# enum tcp_conntrack up to here: made, established, or closed by one side only. After it nothing is asked or answered.
_CLOSE_WAIT = 5
# struct nfgenmsg: family, version, resource.
_NETFILTER_HEADER = struct.Struct("!BBH")
_POLL_SECONDS = 0.01


def forget(connections: Collection[Connection]) -> None:
    """Have the kernel forget which way these went, where it can.

    It remembers for ten seconds or more, and a client that comes again from the same port would be routed that way.
    """
    for connection in connections:
        with contextlib.suppress(OSError):
            list(netlink.ask(netlink.NETFILTER, _CT_DELETE, netlink.ACK, _tracked(connection)))


def _tracked(connection: Connection) -> bytes:
    """The tracked connection by its answers, which come from the daemon's own address and port however it was routed there."""
    addresses = [ipaddress.ip_address(address) for address in (connection.address, connection.peer)]
    family = socket.AF_INET if addresses[0].version == 4 else socket.AF_INET6
    first = 1 if family == socket.AF_INET else 3
    ports = (connection.port, connection.peer_port)
    return _NETFILTER_HEADER.pack(family, 0, 0) + netlink.nested(
        _TUPLE_REPLY,
        netlink.nested(_TUPLE_IP, *(netlink.attribute(first + n, raw.packed) for n, raw in enumerate(addresses))),
        netlink.nested(
            _TUPLE_PROTO,
            netlink.attribute(1, bytes([socket.IPPROTO_TCP])),
            *(netlink.attribute(2 + n, struct.pack("!H", port)) for n, port in enumerate(ports)),
        ),
    )


class Ends(NamedTuple):
    """One direction of a tracked connection; port 0 where it is not TCP."""

    source: str
    source_port: int
    target: str
    port: int


class Tracked(NamedTuple):
    """A tracked connection: how the kernel is asked for it, its first packet's direction, that of its answers, and its state."""

    name: bytes
    original: Ends
    answers: Ends
    state: int

    @property
    def under_way(self) -> bool:
        """Whether a request or its answer can still be on its way."""
        return self.state <= _CLOSE_WAIT


def tracked(family: int, ports: Collection[int]) -> Iterator[Tracked]:
    """The connections to one of these ports. Raises OSError where this kernel shows none."""
    request = _NETFILTER_HEADER.pack(family, 0, 0)
    # Most of what a busy Pi tracks is something else: found out before all of it is taken apart.
    wanted = [struct.pack("!H", port) for port in ports]
    for message in netlink.ask(netlink.NETFILTER, _CT_GET, netlink.DUMP, request):
        if not any(port in message for port in wanted):
            continue
        parts = netlink.attributes(message[_NETFILTER_HEADER.size :])
        raw, answers = (parts.get(kind, b"") for kind in (_TUPLE_ORIGINAL, _TUPLE_REPLY))
        original = _ends(raw, family)
        if original.port in ports:
            name = request + netlink.nested(_TUPLE_ORIGINAL, raw)
            yield Tracked(name, original, _ends(answers, family), _tcp_state(parts.get(_PROTOINFO, b"")))


def forget_over(
    ports: Collection[int], own: Collection[str], now_at: Collection[int], sockets: Collection[Connection] | None
) -> None:
    """Have the kernel forget connections that are over and went to another port of this Pi than `now_at`.

    `ports` are those that clients ask for at this Pi's `own` addresses; `sockets` are what the daemons still have, None where the
    kernel does not show them. One that was being closed while the gate changed is tracked for up to two minutes, and a client that
    comes again from the same port would be taken for it: refused, as it is routed to nowhere.
    """
    alive = {(found.peer, found.peer_port) for found in sockets or ()}
    for family in {socket.AF_INET6 if ":" in address else socket.AF_INET for address in own}:
        # Not every kernel shows them, and one may have ended by itself.
        with contextlib.suppress(OSError):
            for found in list(tracked(family, ports)):
                # As the daemon's socket has it, whatever was translated on the way.
                client = (found.answers.target, found.answers.port)
                over = not found.under_way if sockets is None else client not in alive
                here = _is_here(found.original.target, own) and _is_here(found.answers.source, own)
                if here and over and found.answers.source_port not in now_at and not is_operator(client[0]):
                    with contextlib.suppress(OSError):
                        list(netlink.ask(netlink.NETFILTER, _CT_DELETE, netlink.ACK, found.name))


def _is_here(address: str, own: Collection[str]) -> bool:
    return address in own or (address != "" and ipaddress.ip_address(address).is_loopback)


@dataclass(frozen=True)
class Routed:
    """The connections to this Pi's `ports`, at its `own` addresses, that it has routed to one of the `others`.

    No socket of this Pi has them.
    """

    others: Collection[str]
    ports: Collection[int]
    own: Collection[str]

    def current(self) -> list[tuple[bytes, bool]] | None:
        """The kernel's name of each, and whether a request can still be under way on it; None where it shows none."""
        found = []
        try:
            for family in {socket.AF_INET6 if ":" in address else socket.AF_INET for address in self.others}:
                found += [
                    (seen.name, seen.under_way)
                    for seen in tracked(family, self.ports)
                    if seen.answers.source in self.others and seen.original.target in self.own
                ]
        except OSError:
            return None
        return found

    def finish(self, patience: float) -> None:
        """Wait, up to `patience` seconds, until no request can be under way. An idle connection looks like a waiting one."""
        until = time.monotonic() + patience
        while True:
            seen = self.current()
            left = until - time.monotonic()
            if left <= 0 or (seen is not None and not any(under_way for _name, under_way in seen)):
                return
            # What is shown can be waited for; otherwise only time can.
            time.sleep(min(left, _POLL_SECONDS if seen is not None else patience))

    def forget(self) -> int:
        """Have the kernel forget them; returns how many it did.

        A client that goes on gets a reset from whoever it reaches then, and connects anew. One that waits for an answer
        gets none.
        """
        count = 0
        for name, _under_way in self.current() or ():
            # It may have ended by itself, and not every kernel can.
            with contextlib.suppress(OSError):
                list(netlink.ask(netlink.NETFILTER, _CT_DELETE, netlink.ACK, name))
                count += 1
        return count


def _tcp_state(raw: bytes) -> int:
    """The state of a tracked connection (enum tcp_conntrack); 0 where the kernel does not give it."""
    return netlink.attributes(netlink.attributes(raw).get(_PROTOINFO_TCP, b"")).get(_TCP_STATE, b"\0")[0]


def _ends(raw: bytes, family: int) -> Ends:
    parts = netlink.attributes(raw)
    addresses, protocol = (netlink.attributes(parts.get(kind, b"")) for kind in (_TUPLE_IP, _TUPLE_PROTO))
    first = 1 if family == socket.AF_INET else 3
    if protocol.get(1) != bytes([socket.IPPROTO_TCP]) or not {first, first + 1} <= addresses.keys():
        return Ends("", 0, "", 0)
    source, target = (str(ipaddress.ip_address(addresses[first + n])) for n in (0, 1))
    source_port, port = (int.from_bytes(protocol.get(kind, b"")[:2], "big") for kind in (2, 3))
    return Ends(source, source_port, target, port)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of the daemon as the kernel has them: which ones a request is under way on, and ending them at once.

All of it hastens what the gate's table does anyway. A kernel without these abilities (Raspberry Pi OS has no
CONFIG_INET_DIAG_DESTROY) ends a connection with its next packet.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Collection
from typing import NamedTuple

from .._core.operator import is_operator
from . import netlink

_BY_FAMILY, _DESTROY = 20, 21
_WITH_INFO = 1 << 1
_INFO = 2
# family, protocol, extensions, states, then the socket's identity: ports in the network's byte order, addresses, cookie.
_REQUEST = struct.Struct("=BBBxI")
_IDENTITY = struct.Struct("!HH16s16s")
_IDENTITY_LENGTH = 48
_MESSAGE = struct.Struct("=BBBB")
_QUEUES = struct.Struct("=III")
# struct tcp_info: milliseconds since data was sent and received, and segments with data that were sent.
_LAST_SENT, _LAST_RECEIVED, _DATA_SEGMENTS_SENT = 44, 52, 156
_ESTABLISHED, _SYN_RECEIVED, _TIME_WAIT, _CLOSE, _CLOSE_WAIT, _LISTEN = 1, 3, 6, 7, 8, 10
_CONNECTED = 0xFFFF & ~(1 << _TIME_WAIT | 1 << _CLOSE | 1 << _LISTEN)
# The peer may still ask, or waits for its answer.
_OPEN_TO_THE_PEER = (_ESTABLISHED, _CLOSE_WAIT)


class Connection(NamedTuple):
    """One socket of the daemon. `identity` names it to the kernel."""

    family: int
    identity: bytes
    port: int
    peer_port: int
    address: str
    peer: str
    busy: bool


def read(message: bytes) -> Connection:
    """Read one answer of the kernel's socket monitor."""
    family, state = _MESSAGE.unpack_from(message)[:2]
    identity = message[_MESSAGE.size : _MESSAGE.size + _IDENTITY_LENGTH]
    port, peer_port, address, peer = _IDENTITY.unpack_from(identity)
    _expires, unread, unacknowledged = _QUEUES.unpack_from(message, _MESSAGE.size + _IDENTITY_LENGTH)
    info = netlink.attributes(message[72:]).get(_INFO, b"")
    length = 4 if family == socket.AF_INET else 16
    return Connection(
        family, identity, port, peer_port, _address(address[:length]), _address(peer[:length]),
        _busy(state, unread, unacknowledged, info),
    )  # fmt: skip


def _busy(state: int, unread: int, unacknowledged: int, info: bytes) -> bool:
    """Whether a request is on its way, is being answered, or the answer has not arrived yet.

    A daemon that has heard something since it last spoke owes an answer. One that never spoke on a connection has got
    no request on it yet, or one that it works on.
    """
    if state == _SYN_RECEIVED or unread or unacknowledged:
        return True
    if state not in _OPEN_TO_THE_PEER:
        return False
    if len(info) < _DATA_SEGMENTS_SENT + 4:
        return True
    sent, received, segments = (
        struct.unpack_from("=I", info, offset)[0] for offset in (_LAST_SENT, _LAST_RECEIVED, _DATA_SEGMENTS_SENT)
    )
    return not segments or received < sent


def _address(raw: bytes) -> str:
    address = ipaddress.ip_address(raw)
    return str(getattr(address, "ipv4_mapped", None) or address)


class Sockets:
    """The connections on some local ports, those of the operator aside."""

    def __init__(self, ports: Collection[int]) -> None:
        self.ports = ports
        # Known once the kernel has been asked to.
        self.can_end = True

    def current(self) -> list[Connection] | None:
        """Every one that is not over yet, or None where this kernel does not show them."""
        found: list[Connection] = []
        try:
            for family in (socket.AF_INET, socket.AF_INET6):
                request = _REQUEST.pack(family, socket.IPPROTO_TCP, _WITH_INFO, _CONNECTED) + bytes(_IDENTITY_LENGTH)
                found += map(read, netlink.ask(netlink.SOCK_DIAG, _BY_FAMILY, netlink.DUMP, request))
        except OSError:
            return None
        return [seen for seen in found if seen.port in self.ports and not is_operator(seen.peer)]

    def end(self, connections: Collection[Connection]) -> None:
        """Have the kernel end these, so that a client that waits learns it at once."""
        for connection in connections:
            request = _REQUEST.pack(connection.family, socket.IPPROTO_TCP, 0, 0xFFFF) + connection.identity
            try:
                list(netlink.ask(netlink.SOCK_DIAG, _DESTROY, netlink.ACK, request))
            except FileNotFoundError:
                continue  # it has ended meanwhile
            except OSError:
                self.can_end = False
                return

    def finish(self, patience: float) -> list[Connection]:
        """Wait, up to `patience` seconds, until no request waits for its answer; returns those that were ended meanwhile.

        Each idle connection is ended at once where the kernel can: a client may ask the next question on it.
        """
        until = time.monotonic() + patience
        ended: list[Connection] = []
        calm = False
        while True:
            seen = self.current()
            if seen is not None:
                idle = [connection for connection in seen if not connection.busy]
                if self.can_end and idle:
                    self.end(idle)
                    ended += idle if self.can_end else []
                # One that is on its way through the kernel is not shown yet, so one look is not enough.
                if calm and len(idle) == len(seen):
                    return ended
                calm = len(idle) == len(seen)
            left = until - time.monotonic()
            if left <= 0:
                return ended
            # What is shown can be waited for; otherwise only time can.
            time.sleep(min(left, 0.01 if seen is not None else patience))

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel says of connections and addresses, from bytes as it sends them; tests/network asks a real one."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from typing import Any

import pytest
from conftest import import_plugin

netlink = import_plugin("module_utils._gate.netlink")
sockets = import_plugin("module_utils._gate.sockets")
addresses = import_plugin("module_utils._gate.addresses")

ESTABLISHED, SYN_RECEIVED, CLOSE_WAIT, FIN_WAIT = 1, 3, 8, 5


def answer(
    state: int = ESTABLISHED, unread: int = 0, unacknowledged: int = 0, sent: int = 0, received: int = 0, segments: int = 0,
    peer: str = "10.77.0.200", family: int = socket.AF_INET, info: bool = True,
) -> bytes:  # fmt: skip
    """One socket as the kernel's monitor describes it; `sent` and `received` are milliseconds ago."""
    own, other = (ipaddress.ip_address(text).packed for text in ("10.77.0.11", peer))
    if family == socket.AF_INET6:
        own, other = (b"\0" * 10 + b"\xff\xff" + raw for raw in (own, other))
    identity = struct.pack("!HH16s16s", 8080, 40112, own, other) + b"\0" * 12
    message = (
        struct.pack("=BBBB", family, state, 0, 0) + identity + struct.pack("=IIIII", 0, unread, unacknowledged, 0, 1)
    )
    text = bytearray(200)
    struct.pack_into("=I", text, 44, sent)
    struct.pack_into("=I", text, 52, received)
    struct.pack_into("=I", text, 156, segments)
    return message + (netlink.attribute(2, bytes(text)) if info else b"")


@pytest.mark.parametrize(
    ("what", "message", "busy"),
    [
        ("answered", answer(sent=20, received=24, segments=2), False),
        ("answered in the same moment", answer(sent=20, received=20, segments=2), False),
        ("asked again", answer(sent=400, received=8, segments=2), True),
        ("asked again just now", answer(sent=400, received=0, segments=2), True),
        ("asked for the first time", answer(sent=40, received=40), True),
        ("about to be connected", answer(SYN_RECEIVED), True),
        ("not read yet", answer(unread=60, sent=20, received=20, segments=2), True),
        ("answer under way", answer(unacknowledged=90, sent=4, received=8, segments=2), True),
        ("sent all it has to ask", answer(CLOSE_WAIT, sent=40, received=40), True),
        ("over", answer(FIN_WAIT), False),
        ("on a kernel that says nothing of it", answer(info=False), True),
    ],
)
def test_a_connection_is_busy_as_long_as_a_client_waits(what, message, busy):
    assert sockets.read(message).busy is busy, what


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_both_ends_of_a_connection_are_read(family):
    seen = sockets.read(answer(family=family))

    assert (seen.address, seen.port, seen.peer, seen.peer_port) == ("10.77.0.11", 8080, "10.77.0.200", 40112)


def kernel(monkeypatch: pytest.MonkeyPatch, *answers: bytes, can_end: bool = True) -> list[tuple[int, int]]:
    """A kernel with these sockets until they are ended; returns what it was asked."""
    asked: list[tuple[int, int]] = []
    left = list(answers)

    def ask(protocol: int, kind: int, flags: int, payload: bytes) -> Any:
        asked.append((protocol, kind))
        if (protocol, kind) == (netlink.SOCK_DIAG, 21):
            if not can_end:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            left[:] = [message for message in left if message[4:52] != payload[8:56]]
        return iter(left if kind == 20 and payload[0] == socket.AF_INET else [])

    monkeypatch.setattr(sockets.netlink, "ask", ask)
    return asked


def test_operator_connections_and_other_ports_are_not_counted(monkeypatch):
    kernel(monkeypatch, answer(), answer(peer="127.0.9.91"), answer(peer="127.0.9.127"))

    assert [seen.peer for seen in sockets.Sockets([8080]).current()] == ["10.77.0.200"]
    assert sockets.Sockets([9090]).current() == []


def test_idle_connections_are_ended_and_counted_where_the_kernel_can(monkeypatch):
    kernel(monkeypatch, answer(segments=2))
    assert len(sockets.Sockets([8080]).finish(10)) == 1

    kernel(monkeypatch, answer(segments=2), can_end=False)
    unable = sockets.Sockets([8080])
    assert (unable.finish(10), unable.can_end) == ([], False)


def test_waiting_for_the_kernel_is_bounded(monkeypatch):
    def refuse(*_request: Any) -> Any:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(sockets.netlink, "ask", refuse)
    slept: list[float] = []
    monkeypatch.setattr(sockets.time, "sleep", slept.append)
    monkeypatch.setattr(sockets.time, "monotonic", iter([0.0, 0.0, 1.0]).__next__)

    assert sockets.Sockets([8080]).current() is None
    assert sockets.Sockets([8080]).finish(0.5) == []
    assert slept == [0.5]


def link(name: str, kind: str = "") -> bytes:
    information = netlink.nested(18, netlink.attribute(1, kind.encode() + b"\0")) if kind else b""
    return struct.pack("=BxHiII", 0, 1, 4, 0, 0) + netlink.attribute(3, name.encode() + b"\0") + information


@pytest.mark.parametrize(
    ("message", "of_services"),
    [
        (link("eth0"), False),
        (link("cni0", "bridge"), False),
        (link("kube-ipvs0"), True),
        (link("any-name", "dummy"), True),
        (link("nodelocaldns", "dummy"), True),
        (link("dummy-by-name", "veth"), False),
    ],
)
def test_k4_interfaces_with_addresses_of_services_are_known(message, of_services):
    assert addresses.is_of_services(message) is of_services


@pytest.mark.parametrize("text", ["192.0.2.11", "2001:db8::11"])
def test_an_address_is_read_with_its_interface(text):
    raw = ipaddress.ip_address(text).packed
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    message = struct.pack("=BBBBi", family, 24, 0, 0, 4) + netlink.attribute(1, raw)

    assert addresses.address_of(message) == (4, text)
    # A point-to-point link has the far end's address beside its own.
    assert addresses.address_of(
        struct.pack("=BBBBi", family, 24, 0, 0, 4) + netlink.attribute(1, raw[::-1]) + netlink.attribute(2, raw)
    ) == (4, text)


def test_this_machines_addresses_are_read_from_its_kernel():
    own = addresses.own_addresses()

    assert all(not ipaddress.ip_address(text).is_loopback for text in own)
    for text in own:
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        if not text.startswith("fe80"):
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((text, 0))


def test_a_message_that_is_cut_short_ends_the_reading():
    whole = netlink.attribute(1, b"abcd") + netlink.attribute(2, b"efgh")

    assert netlink.attributes(whole) == {1: b"abcd", 2: b"efgh"}
    for length in range(len(whole)):
        assert set(netlink.attributes(whole[:length])) <= {1, 2}


def test_a_connection_that_shows_up_late_is_waited_for(monkeypatch):
    """Its first packet was on its way through the kernel when new ones began to be routed elsewhere."""
    looks = iter([[], [sockets.read(answer(sent=40, received=40))], [], []])
    monkeypatch.setattr(sockets.Sockets, "current", lambda _self: next(looks))

    assert sockets.Sockets([8080]).finish(10) == []
    assert list(looks) == []

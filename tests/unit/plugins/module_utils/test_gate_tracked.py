# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracked connections that are routed to another Pi, with a kernel that shows them or refuses; real ones are in tests/network."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from typing import Any

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._gate import netlink, tracked

CLIENT, PI, OTHER = "10.77.0.200", "10.77.0.11", "10.77.0.12"
ESTABLISHED, CLOSE_WAIT, TIME_WAIT = 3, 5, 7
LED = tracked.Routed([OTHER], [8080], [PI])


def ends(source: str, destination: str, port: int) -> bytes:
    addresses = (
        netlink.attribute(1 + n, ipaddress.ip_address(address).packed)
        for n, address in enumerate((source, destination))
    )
    ports = netlink.attribute(1, bytes([socket.IPPROTO_TCP])) + netlink.attribute(3, struct.pack("!H", port))
    return netlink.nested(1, *addresses) + netlink.nested(2, ports)


def connection(state: int, asked: str = PI, port: int = 8080, answering: str = OTHER) -> bytes:
    """One message of the kernel's list."""
    tcp = netlink.nested(1, netlink.attribute(1, bytes([state])))
    return bytes(4) + b"".join(
        [
            netlink.nested(1, ends(CLIENT, asked, port)),
            netlink.nested(2, ends(answering, CLIENT, 40000)),
            netlink.nested(4, tcp),
        ]
    )


class Kernel:
    """Answers each listing with the next list, the last one for good."""

    def __init__(self, *listings: list[bytes]) -> None:
        self.listings, self.deleted = list(listings), 0

    def ask(self, _protocol: int, kind: int, flags: int, _payload: bytes) -> Any:
        if flags == netlink.DUMP:
            return iter(self.listings.pop(0) if len(self.listings) > 1 else self.listings[0])
        self.deleted += 1
        return iter(())


def test_only_connections_routed_to_the_other_pi_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = [
        connection(ESTABLISHED),
        connection(TIME_WAIT),
        connection(ESTABLISHED, asked=OTHER),
        connection(ESTABLISHED, port=22),
        connection(ESTABLISHED, answering=PI),
    ]
    monkeypatch.setattr(netlink, "ask", Kernel(listing).ask)

    seen = LED.current()
    assert seen is not None
    assert [under_way for _name, under_way in seen] == [True, False]


@pytest.mark.parametrize("last", [[], [connection(TIME_WAIT)]])
def test_finish_returns_with_the_last_answer(monkeypatch: pytest.MonkeyPatch, last: list[bytes]) -> None:
    kernel = Kernel([connection(ESTABLISHED)], [connection(CLOSE_WAIT)], last)
    monkeypatch.setattr(netlink, "ask", kernel.ask)
    slept: list[float] = []
    monkeypatch.setattr(tracked.time, "sleep", slept.append)

    LED.finish(60)
    assert len(slept) == 2


def test_finish_ends_with_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "ask", Kernel([connection(ESTABLISHED)]).ask)
    clock = iter([0.0, 0.2, 0.4, 0.6])
    monkeypatch.setattr(tracked.time, "monotonic", lambda: next(clock))
    slept: list[float] = []
    monkeypatch.setattr(tracked.time, "sleep", slept.append)

    LED.finish(0.5)
    assert len(slept) == 2


def test_all_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel([connection(ESTABLISHED), connection(TIME_WAIT), connection(ESTABLISHED, port=22)])
    monkeypatch.setattr(netlink, "ask", kernel.ask)

    assert LED.forget() == 2
    assert kernel.deleted == 2


def test_a_kernel_that_shows_none_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_request: Any) -> Any:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(netlink, "ask", refuse)
    slept: list[float] = []
    monkeypatch.setattr(tracked.time, "sleep", slept.append)
    monkeypatch.setattr(tracked.time, "monotonic", iter([0.0, 0.0, 0.5]).__next__)

    LED.finish(0.5)
    assert slept == [0.5]
    assert LED.current() is None
    assert LED.forget() == 0

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules that iptables-nft has put into the kernel's nat tables, read from the kernel itself.

A Pi with `nft` alone cannot show them: without iptables' own extensions nft prints a DNAT target without its address.
Messages: linux/netfilter/nf_tables.h; the target's data: struct nf_nat_range (linux/netfilter/nf_nat.h).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

from .proxy import NatRule, endpoint

NETLINK_NETFILTER = 12
GET_RULES, NEW_RULE = 10 << 8 | 7, 10 << 8 | 6
REQUEST_DUMP = 0x1 | 0x300
ERROR, DONE = 2, 3
INTERRUPTED = 0x10
FAMILIES = (socket.AF_INET, socket.AF_INET6)
TIMEOUT = 5.0
TRIES = 5
_NO_SUCH = 2


class Interrupted(OSError):
    """The rules were changed while they were read."""


def nat_rules() -> list[NatRule]:
    """The rules of `table ip nat` and `table ip6 nat`. Raises OSError where the kernel does not answer."""
    for tries_left in reversed(range(TRIES)):
        try:
            return [rule for family in FAMILIES for rule in _dump(family)]
        except Interrupted:
            if not tries_left:
                raise
    return []


def _dump(family: int) -> list[NatRule]:
    rules: list[NatRule] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        kernel.settimeout(TIMEOUT)
        kernel.bind((0, 0))
        kernel.send(request(family))
        while True:
            found, more = parse(kernel.recv(1 << 18))
            rules += found
            if not more:
                return rules


def request(family: int) -> bytes:
    table = b"nat\0"
    body = struct.pack("=BBH", family, 0, 0) + struct.pack("=HH", 4 + len(table), 1) + table
    return struct.pack("=IHHII", 16 + len(body), GET_RULES, REQUEST_DUMP, 1, 0) + body


def parse(answer: bytes) -> tuple[list[NatRule], bool]:
    """The rules in one answer of the kernel, and whether more answers follow."""
    rules: list[NatRule] = []
    while len(answer) >= 16:
        length, kind, flags = struct.unpack_from("=IHH", answer)
        body, answer = answer[16:length], answer[length + 3 & ~3 :]
        if flags & INTERRUPTED and kind in (NEW_RULE, DONE):
            raise Interrupted("the rules were changed while they were read")
        if kind == DONE:
            return rules, False
        if kind == ERROR:
            number = -struct.unpack_from("=i", body)[0]
            if number == _NO_SUCH:
                return rules, False
            raise OSError(number, "the kernel refuses to list the rules of the nat table")
        if kind == NEW_RULE:
            rules.append(_rule(dict(_attributes(body[4:]))))
    return rules, True


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        # The two highest bits say "nested" and "in network order".
        yield kind & 0x3FFF, data[4:length]
        data = data[length + 3 & ~3 :]


def _rule(rule: dict[int, bytes]) -> NatRule:
    jump, destination = None, None
    values: list[bytes] = []
    for _kind, element in _attributes(rule.get(4, b"")):
        expression = dict(_attributes(element))
        name, data = _text(expression.get(1, b"")), dict(_attributes(expression.get(2, b"")))
        if name == "target" and _text(data.get(1, b"")) == "DNAT":
            destination = _range(data.get(3, b""), struct.unpack(">I", data.get(2, b"\0\0\0\0"))[0])
        elif name == "immediate":
            content = dict(_attributes(data.get(2, b"")))
            if 2 in content:
                jump = _text(dict(_attributes(content[2])).get(2, b"")) or jump
            elif 1 in content:
                values.append(content[1])
        elif name == "nat":
            destination = _native(values)
    return NatRule(_text(rule.get(2, b"")), jump, destination)


def _range(info: bytes, revision: int) -> str | None:
    """The one address and port of a range. Revision 0 is of IPv4 alone: a count, flags, two addresses, two ports."""
    if revision == 0:
        if len(info) < 20:
            return None
        return endpoint(str(ipaddress.IPv4Address(info[8:12])), struct.unpack_from(">H", info, 16)[0])
    if len(info) < 40:
        return None
    # An IPv4 address is in the first four of sixteen bytes, the rest is zero.
    address = info[4:20] if any(info[8:20]) else info[4:8]
    return endpoint(str(ipaddress.ip_address(address)), struct.unpack_from(">H", info, 36)[0])


def _native(values: list[bytes]) -> str | None:
    """nf_tables' own translation: the address and the port are loaded into registers before."""
    addresses = [value for value in values if len(value) in (4, 16)]
    ports = [value for value in values if len(value) == 2]
    if not addresses or not ports:
        return None
    return endpoint(str(ipaddress.ip_address(addresses[0])), struct.unpack(">H", ports[0])[0])


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("ascii", "replace")

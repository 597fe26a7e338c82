# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Netlink with Python's standard library: a question to the kernel, and the messages it answers with."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

ROUTE, SOCK_DIAG, NETFILTER = 0, 4, 12
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
# A kernel answers at once; this is for one that does not.
TIMEOUT_SECONDS = 2.0

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_TYPE = 0x3FFF


def ask(protocol: int, kind: int, flags: int, payload: bytes) -> Iterator[bytes]:
    """Send one request and yield the payload of each message of the answer.

    Raises OSError with the kernel's number where it refuses, and TimeoutError where it does not answer.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as connection:  # type: ignore[attr-defined, unused-ignore]
        connection.settimeout(TIMEOUT_SECONDS)
        connection.bind((0, 0))
        connection.send(_HEADER.pack(_HEADER.size + len(payload), kind, flags | REQUEST, 1, 0) + payload)
        while True:
            for message_kind, message in _messages(connection.recv(1 << 18)):
                if message_kind == _ERROR:
                    number = -struct.unpack_from("=i", message)[0]
                    if number:
                        raise OSError(number, os.strerror(number))
                    return
                if message_kind == _DONE:
                    return
                yield message


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind = _HEADER.unpack_from(data)[:2]
        if not _HEADER.size <= length <= len(data):
            return
        yield kind, data[_HEADER.size : length]
        data = data[_aligned(length) :]


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a message or of a nested attribute, by type."""
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            break
        found[kind & _TYPE] = data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return found


def attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (_aligned(length) - length)


def nested(kind: int, *values: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(values))


def _aligned(length: int) -> int:
    return (length + 3) & ~3

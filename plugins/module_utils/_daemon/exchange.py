# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One HTTP request and its answer, bounded in time and size from the first packet to the last byte.

A socket's own timeout bounds one read only: a peer that sends a byte now and then, or one `100 Continue` after the other,
keeps `http.client` reading forever. Here every read and write has what is left of one deadline. Redirects are not
followed: the request carries a token, and the peer must not choose who gets it.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# The largest answer of a sane daemon is a status with all its members: some 20 KiB.
MAX_ANSWER = 1 << 20
_CHUNK = 1 << 16


class Body(Protocol):
    """What is sent in parts."""

    def read(self, size: int = -1) -> bytes:
        """The next part, empty at the end."""


class AnswerTooLarge(OSError):
    """The peer sends more than any answer has."""


class CallTimeout(OSError):
    """The deadline of the whole call has passed."""


@dataclass(frozen=True)
class Reply:
    """What came back. `location` is where a redirect points, which is only for the message; `pause` is Retry-After in seconds."""

    status: int
    text: str
    location: str | None = None
    pause: float | None = None


class Deadline:
    """A moment by which a call must be over. `seconds` is the whole time it has."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def allows(self, seconds: float) -> bool:
        """Whether so much time is left, and some more."""
        return time.monotonic() + seconds < self._end

    def left(self) -> float:
        """Seconds that are left, never 0 (which would mean "do not block"); raises CallTimeout when none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise CallTimeout(f"no complete answer within {self.seconds:g} s")
        return left


class _Reader(io.RawIOBase):
    """The bytes of a socket, until the deadline or the size limit."""

    def __init__(self, sock: socket.socket, deadline: Deadline, limit: int) -> None:
        super().__init__()
        self._sock, self._deadline, self._limit, self._seen = sock, deadline, limit, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left())
        try:
            count = self._sock.recv_into(buffer)
        except socket.timeout:  # noqa: UP041 - TimeoutError itself only from Python 3.10 on
            self._deadline.left()
            raise
        self._seen += count
        if self._seen > self._limit:
            raise AnswerTooLarge(f"the answer is larger than {self._limit} bytes")
        return count


class _Bounded:
    """What `http.client` needs of a socket. It is closed by its owner."""

    def __init__(self, sock: socket.socket, deadline: Deadline, limit: int) -> None:
        self._sock, self._deadline, self._limit = sock, deadline, limit

    def makefile(self, *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._deadline, self._limit))

    def sendall(self, data: Any) -> None:
        view = memoryview(data)
        while view:
            self._sock.settimeout(self._deadline.left())
            view = view[self._sock.send(view[:_CHUNK]) :]

    def close(self) -> None:
        pass


def exchange(
    connect: Callable[[Deadline], socket.socket],
    host: str,
    port: int,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | Body | None,
    deadline: Deadline,
    limit: int = MAX_ANSWER,
) -> Reply:
    """Send one request over what `connect` opens and read its answer. Raises OSError and http.client.HTTPException."""
    sock = connect(deadline)
    try:
        # In blocks of 8 KiB, which are the default, a large state takes noticeably longer.
        connection = http.client.HTTPConnection(host, port, blocksize=_CHUNK)
        connection.sock = _Bounded(sock, deadline, limit)
        connection.request(method, target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        text = answer.read(limit).decode("utf-8", "replace")
        return Reply(answer.status, text, answer.getheader("Location"), _seconds(answer.getheader("Retry-After")))
    finally:
        sock.close()


def _seconds(text: str | None) -> float | None:
    """Retry-After where it is a number; the form with a date needs a clock that both sides share."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def open_socket(
    host: str, port: int, source: tuple[str, int] | None, tls: ssl.SSLContext | None, deadline: Deadline, name: str = ""
) -> socket.socket:
    """A connected socket, the TLS handshake included; every address of the host is tried within the one deadline.

    `name` is what the certificate has to be for, where that is not `host`.
    """
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, address in _addresses(host, port):
        sock = socket.socket(family, kind, protocol)
        try:
            if source is not None:
                sock.bind(source)
            sock.settimeout(deadline.left())
            sock.connect(address)
            # A request is sent in two writes, which must not wait for each other.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is None:
                return sock
            secured = tls.wrap_socket(sock, server_hostname=name or host, do_handshake_on_connect=False)
            sock = secured
            # The timeout of a handshake, unlike that of a read, is for all of it.
            secured.settimeout(deadline.left())
            secured.do_handshake()
            return secured
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def _addresses(host: str, port: int) -> Iterator[tuple[int, int, int, Any]]:
    for family, kind, protocol, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        yield family, kind, protocol, address

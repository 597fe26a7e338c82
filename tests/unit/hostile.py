# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hostile daemon: answers on a real socket with whatever bytes a script yields, at whatever pace.

with HostileDaemon(drip(b"HTTP/1.1 200 OK\\r\\n...")) as daemon:
    PiController(daemon.url).status()
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

# What a script yields: bytes to send, or seconds to wait. It gets the request's head.
Script = Callable[[bytes], Iterator["bytes | float"]]


class HostileDaemon:
    """Answers every connection by `script`. `requests` has what arrived, so that a test sees who got a token."""

    def __init__(self, script: Script, host: str = "127.0.0.1") -> None:
        self.script = script
        self.requests: list[bytes] = []
        self._over = threading.Event()
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> HostileDaemon:
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        # A listener that is only closed keeps the thread in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                sock, _peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.settimeout(5)
            request = _request(sock)
            self.requests.append(request)
            sock.settimeout(2)
            for step in self.script(request):
                if self._over.is_set():
                    return
                if isinstance(step, float):
                    self._over.wait(step)
                else:
                    sock.sendall(step)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(0.5)
                sock.recv(1)


def _request(sock: socket.socket) -> bytes:
    """The head of the request and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return data
        data += more
    head, _end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0:
        more = sock.recv(65536)
        if not more:
            break
        missing -= len(more)
    return data


def http(status: int, body: bytes, *headers: bytes) -> bytes:
    """A whole answer."""
    lines = [b"HTTP/1.1 %d X" % status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def fixed(answer: bytes) -> Script:
    """The same bytes for every request."""

    def script(_request: bytes) -> Iterator[bytes | float]:
        yield answer

    return script


def saying(body: Any, status: int = 200) -> Script:
    """A JSON answer; bytes are sent as they are."""
    return fixed(http(status, body if isinstance(body, bytes) else json.dumps(body).encode()))


def drip(answer: bytes, every: float = 0.02) -> Script:
    """Byte by byte, each soon enough for a timeout of one read."""

    def script(_request: bytes) -> Iterator[bytes | float]:
        for number in range(len(answer)):
            yield answer[number : number + 1]
            yield every

    return script


def forever(opening: bytes, again: bytes, every: float = 0.0) -> Script:
    """`opening`, then `again` without an end."""

    def script(_request: bytes) -> Iterator[bytes | float]:
        yield opening
        while True:
            yield again
            if every:
                yield every

    return script


def echo_token(request: bytes) -> Iterator[bytes | float]:
    """Sends the bearer token back in every place an error is made from, plain and in JSON's escapes."""
    found = re.search(rb"(?i)authorization: bearer ([^\r\n]*)", request)
    token = found[1].decode("latin-1") if found else ""
    escaped = "".join(f"\\u{ord(character):04x}" for character in token)
    yield http(500, b'{"error": %s, "again": "%s"}' % (json.dumps(f"bad token {token}").encode(), escaped.encode()))


def took(began: float) -> float:
    return time.monotonic() - began

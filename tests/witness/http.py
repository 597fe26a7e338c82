# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP as an honest client sees it: from a chosen network namespace, fresh or kept alive, with the phase an error came in.

http.client does the parsing. The sockets are made here, because three things have to be known exactly: the namespace a connection
starts in, whether a request may have reached the server, and whether an idle connection had died before it was used again.
"""

from __future__ import annotations

import ctypes
import http.client
import ipaddress
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import NamedTuple

CLONE_NEWNET = 0x40000000
NETNS_FOLDER = "/run/netns"
REST_PORT = 8080
# The witness is a tool of the lab: it never talks to anything but the lab's hosts, its Services and loopback.
LAB_NETWORKS = tuple(
    ipaddress.ip_network(net) for net in ("127.0.0.0/8", "10.77.0.0/24", "10.96.0.0/16", "fd77::/64", "fd96::/112")
)

_libc = ctypes.CDLL(None, use_errno=True)


class Route(NamedTuple):
    """A way to the cluster: an address, the network namespace to use it from (empty: the machine's own), and the address to send
    from (empty: whichever the kernel takes).
    """

    name: str
    host: str
    port: int
    netns: str = ""
    source: str = ""

    @property
    def target(self) -> str:
        return at(self.host, self.port)

    @property
    def label(self) -> str:
        return f"{self.name}@{self.netns}" if self.netns else self.name

    def of_client(self, number: int) -> Route:
        """The same way from an address of this client's own, for daemons that count requests by address."""
        return self._replace(source=str(ipaddress.ip_address(self.source) + number)) if self.source else self


def at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_route(text: str) -> Route:
    """`[NAME=][http://]HOST[:PORT][@NETNS]`; without a name the address is the name. IPv6 with a port is `[HOST]:PORT`."""
    name, _, rest = text.rpartition("=")
    rest = rest.removeprefix("http://")
    address, _, netns = rest.partition("@")
    host, port = _host_and_port(address.rstrip("/"))
    try:
        lab_address(host)
        number = int(port or REST_PORT)
    except ValueError as error:
        raise ValueError(f"route {text!r}: {error}; wanted [NAME=][http://]HOST[:PORT][@NETNS]") from error
    return Route(name or at(host, number), host, number, netns)


def _host_and_port(address: str) -> tuple[str, str]:
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        return host, rest.removeprefix(":")
    if address.count(":") > 1:
        return address, ""
    host, _, port = address.partition(":")
    return host, port


def lab_address(host: str) -> str:
    """The address, if it is one the witness may talk to."""
    if not any(ipaddress.ip_address(host) in network for network in LAB_NETWORKS):
        raise ValueError(f"{host} is outside the lab ({', '.join(map(str, LAB_NETWORKS))})")
    return host


@dataclass
class Reply:
    """What came of a request. `sent` False means that the server cannot have seen any of it."""

    status: int | None = None
    body: bytes = b""
    retry_after: bool = False
    error: str = ""
    sent: bool = True
    connection: str = "fresh"
    retried: bool = False


class HttpClient:
    """For one thread. With `keep_alive` one idle connection is kept for each route."""

    def __init__(self, keep_alive: bool, connect_timeout: float = 1.5, token: str = "") -> None:
        self._keep_alive = keep_alive
        self._connect_timeout = connect_timeout
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._idle: dict[Route, http.client.HTTPConnection] = {}

    def exchange(
        self, route: Route, method: str, path: str, body: bytes | None, timeout: float, may_retry: bool
    ) -> Reply:
        """Send one request. With `may_retry` a reused connection that dies before its first byte of answer gets one fresh one."""
        deadline = time.monotonic() + timeout
        connection = self._take_idle(route)
        reply = Reply(connection="reused" if connection else "fresh")
        while True:
            if connection is None:
                try:
                    connection = self._connect(route, deadline)
                except OSError as error:
                    reply.error, reply.sent = f"connect: {_text(error)}", False
                    return reply
            try:
                headers = dict(self._headers)
                if body is not None:
                    headers["Content-Type"] = "application/json"
                connection.sock.settimeout(_left(deadline))
                connection.request(method, path, body, headers)
                _await_first_byte(connection.sock, deadline)
            except OSError as error:
                _abandon(connection)
                if (
                    may_retry
                    and reply.connection == "reused"
                    and isinstance(error, (ConnectionResetError, BrokenPipeError))
                ):
                    connection, reply.connection, reply.retried = None, "fresh", True
                    continue
                reply.error = f"request: {_text(error)}"
                return reply
            return self._read_answer(route, connection, deadline, reply)

    def close(self) -> None:
        while self._idle:
            self._idle.popitem()[1].close()

    def _read_answer(
        self, route: Route, connection: http.client.HTTPConnection, deadline: float, reply: Reply
    ) -> Reply:
        try:
            connection.sock.settimeout(_left(deadline))
            response = connection.getresponse()
            reply.body = response.read()
        except (OSError, http.client.HTTPException) as error:
            _abandon(connection)
            reply.error = f"answer: {_text(error)}"
            return reply
        reply.status = response.status
        reply.retry_after = response.getheader("Retry-After") is not None
        if self._keep_alive and connection.sock is not None:
            self._idle[route] = connection
        else:
            connection.close()
        return reply

    def _take_idle(self, route: Route) -> http.client.HTTPConnection | None:
        """The idle connection, unless the server has closed it meanwhile (any pooling client looks before it leaps)."""
        connection = self._idle.pop(route, None)
        if connection is None:
            return None
        connection.sock.settimeout(0)
        try:
            connection.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return connection
        except OSError:
            pass
        connection.close()
        return None

    def _connect(self, route: Route, deadline: float) -> http.client.HTTPConnection:
        sock = socket_in(route.netns, socket.AF_INET6 if ":" in route.host else socket.AF_INET)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(min(self._connect_timeout, _left(deadline)))
            if route.source:
                sock.bind((route.source, 0))
            sock.connect((route.host, route.port))
        except OSError:
            sock.close()
            raise
        connection = http.client.HTTPConnection(route.host, route.port)
        connection.sock = sock
        # Never let http.client reconnect by itself: it would do so unseen, and from the machine's own namespace.
        connection.auto_open = 0
        return connection


def socket_in(netns: str, family: int = socket.AF_INET) -> socket.socket:
    """A TCP socket that belongs to a namespace. setns(2) acts on the calling thread only, which is back when this returns."""
    if not netns:
        return socket.socket(family, socket.SOCK_STREAM)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"{NETNS_FOLDER}/{netns}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there, netns)
        finally:
            os.close(there)
        try:
            return socket.socket(family, socket.SOCK_STREAM)
        finally:
            try:
                _setns(home, "home")
            except OSError as error:
                # Not an OSError: a thread lost in the wrong namespace must end, not report failed reads.
                raise RuntimeError(f"cannot leave network namespace {netns}: {error}") from error
    finally:
        os.close(home)


def _setns(descriptor: int, name: str) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns to {name}: {os.strerror(number)}")


def _await_first_byte(sock: socket.socket, deadline: float) -> None:
    sock.settimeout(_left(deadline))
    if not sock.recv(1, socket.MSG_PEEK):
        raise ConnectionResetError("closed by the server before any byte of the answer")


def _abandon(connection: http.client.HTTPConnection) -> None:
    """Close with a reset, so that the kernel does not go on delivering a request this client has given up on."""
    if connection.sock is not None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

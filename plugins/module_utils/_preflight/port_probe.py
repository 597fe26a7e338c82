# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every Pi connects to every Pi on every port, with real listeners; all Pis run this at the same time.

A Pi listens on those ports that are free on it and connects to all ports of its peers. Our listeners speak first, so
that nothing is ever sent to another program's listener:

    listener:  pi-preflight NAME TIME
    caller:    NAME

The names prove that the address really is that Pi's, and the time shows how far two clocks are apart, to half of
the round trip. A Pi ends when it has called and heard every peer. What stays silent although its neighbour ports have
been heard is given `GRACE` seconds; a peer that is not there at all costs the whole `patience`.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAGIC = "pi-preflight"
GRACE = 2.0
# One attempt; a lost packet is sent again by the kernel after a second.
CONNECT_TIMEOUT = 1.5
BANNER_TIMEOUT = 1.5
RETRY = 0.1
TICK = 0.05

ANSWERED, CONNECTED, REFUSED, TIMEOUT = "answered", "connected", "refused", "timeout"


@dataclass(frozen=True)
class Peer:
    name: str
    address: str


@dataclass(frozen=True)
class Clock:
    """How far the peer's clock is ahead of ours, give or take."""

    offset: float
    uncertainty: float


@dataclass
class Probe:
    """One Pi's part. `new` are ports on which the migration is going to listen, `old` those in use already."""

    name: str
    address: str
    peers: Sequence[Peer]
    new: Sequence[int]
    old: Sequence[int]
    patience: float
    clock: Callable[[], float] = time.time
    # On every address, as the daemon does: a holder of the port on any one of them is in the way.
    listen_on: str = ""
    taken: dict[int, str] = field(default_factory=dict)
    reached: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    heard: dict[str, set[int]] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)
    _sockets: dict[int, socket.socket] = field(default_factory=dict)
    # When a peer was first met, in either direction: from then on it is known to be there.
    _met: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> dict[str, Any]:
        began = time.monotonic()
        self._deadline = began + self.patience
        self._listen()
        threads = [threading.Thread(target=self._serve, args=(port,), daemon=True) for port in self._sockets]
        callers = [
            threading.Thread(target=self._call, args=(peer, port), daemon=True)
            for peer in self.peers
            for port in (*self.new, *self.old)
        ]
        try:
            for thread in (*threads, *callers):
                thread.start()
            for thread in callers:
                thread.join()
            while not all(self._finished_with(peer) for peer in self.peers):
                self._over.wait(TICK)
        finally:
            self._over.set()
            for thread in threads:
                thread.join()
            for listener in self._sockets.values():
                listener.close()
        return self._result(time.monotonic() - began)

    def _result(self, elapsed: float) -> dict[str, Any]:
        return {
            "listened": sorted(self._sockets),
            "taken": {str(port): why for port, why in sorted(self.taken.items())},
            "reached": {
                peer: {str(port): seen for port, seen in sorted(ports.items())}
                for peer, ports in sorted(self.reached.items())
            },
            "heard": {peer.name: sorted(self.heard.get(peer.name, ())) for peer in self.peers},
            "clocks": {
                peer: {"offset": round(clock.offset, 6), "uncertainty": round(clock.uncertainty, 6)}
                for peer, clock in sorted(self.clocks.items())
            },
            "elapsed": round(elapsed, 3),
        }

    # --- listening -------------------------------------------------------------------------------

    def _listen(self) -> None:
        """All ports before any caller is answered: once a peer is met on one port, a refusal on another is the truth."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        for port in self.new:
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((self.listen_on, port))
                listener.listen(128)
                listener.settimeout(TICK)
            except OSError as error:
                listener.close()
                self.taken[port] = "in use" if error.errno == errno.EADDRINUSE else str(error)
                continue
            self._sockets[port] = listener

    def _serve(self, port: int) -> None:
        answering = []
        while not self._over.is_set():
            try:
                connection, _source = self._sockets[port].accept()
            except (TimeoutError, socket.timeout):  # noqa: UP041 - they are one only from Python 3.10 on
                continue
            answering.append(threading.Thread(target=self._answer, args=(connection, port), daemon=True))
            answering[-1].start()
        for thread in answering:
            thread.join(BANNER_TIMEOUT)

    def _answer(self, connection: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(BANNER_TIMEOUT)
            connection.sendall(f"{MAGIC} {self.name} {self.clock()!r}\n".encode())
            name = _line(connection)
            if any(peer.name == name for peer in self.peers):
                self._meet(name)
                with self._lock:
                    self.heard.setdefault(name, set()).add(port)

    # --- calling ---------------------------------------------------------------------------------

    def _call(self, peer: Peer, port: int) -> None:
        ours = port in self.new
        while True:
            seen = self._attempt(peer, port, ours)
            # On a port that is ours a peer's listener may have been slow to speak; another one stays silent.
            done = seen["result"] == ANSWERED or (seen["result"] == CONNECTED and not ours)
            if done or time.monotonic() >= self._limit(peer, ours):
                break
            self._over.wait(RETRY)
        with self._lock:
            self.reached.setdefault(peer.name, {})[port] = seen

    def _limit(self, peer: Peer, ours: bool) -> float:
        """Until when to try: on ports that are in use there is nothing to wait for, only a lost packet to forgive."""
        met = self._met.get(peer.name)
        if not ours:
            return self._deadline - self.patience + min(GRACE, self.patience)
        return self._deadline if met is None else min(self._deadline, met + GRACE)

    def _attempt(self, peer: Peer, port: int, ours: bool) -> dict[str, Any]:
        began = time.monotonic()
        before = self.clock()
        try:
            with socket.create_connection((peer.address, port), timeout=CONNECT_TIMEOUT) as connection:
                spent = time.monotonic() - began
                if not ours:
                    return {"result": CONNECTED, "seconds": round(spent, 4)}
                connection.settimeout(BANNER_TIMEOUT)
                name, then = _banner(_line(connection))
                after = before + (time.monotonic() - began)
                if name is None:
                    return {"result": CONNECTED, "seconds": round(spent, 4)}
                with contextlib.suppress(OSError):
                    connection.sendall(f"{self.name}\n".encode())
        except (TimeoutError, socket.timeout):  # noqa: UP041
            return {"result": TIMEOUT, "seconds": round(time.monotonic() - began, 4)}
        except ConnectionRefusedError:
            return {"result": REFUSED, "seconds": round(time.monotonic() - began, 4)}
        except OSError as error:
            return {"result": error.strerror or str(error), "seconds": round(time.monotonic() - began, 4)}
        if name == peer.name:
            self._meet(name)
            self._compare(name, before, then, after)
        return {"result": ANSWERED, "name": name, "seconds": round(spent, 4)}

    def _compare(self, name: str, before: float, then: float, after: float) -> None:
        """Of several exchanges the fastest says most, since its answer cannot have waited long."""
        clock = Clock(then - (before + after) / 2, (after - before) / 2)
        with self._lock:
            known = self.clocks.get(name)
            if known is None or clock.uncertainty < known.uncertainty:
                self.clocks[name] = clock

    # --- when it is over -------------------------------------------------------------------------

    def _meet(self, name: str) -> None:
        with self._lock:
            self._met.setdefault(name, time.monotonic())

    def _finished_with(self, peer: Peer) -> bool:
        """Whether this peer needs our listeners no more."""
        with self._lock:
            if self.heard.get(peer.name, set()) >= set(self._sockets):
                return True
            met = self._met.get(peer.name)
        return time.monotonic() >= (self._deadline if met is None else min(self._deadline, met + GRACE))


def _line(connection: socket.socket) -> str:
    """What the other side says up to the end of its first line; empty where it says nothing."""
    received = b""
    with contextlib.suppress(TimeoutError, socket.timeout, ConnectionError):
        while b"\n" not in received and len(received) < 256:
            part = connection.recv(256)
            if not part:
                break
            received += part
    return received.partition(b"\n")[0].decode("utf-8", "replace")


def _banner(line: str) -> tuple[str | None, float]:
    words = line.split()
    if len(words) != 3 or words[0] != MAGIC:
        return None, 0.0
    try:
        return words[1], float(words[2])
    except ValueError:
        return None, 0.0


def probe(params: Mapping[str, Any]) -> dict[str, Any]:
    """The probe from a module's options."""
    return Probe(
        name=params["name"],
        address=params["address"],
        peers=[Peer(peer["name"], peer["address"]) for peer in params["peers"] if peer["name"] != params["name"]],
        new=sorted(set(params["new_ports"])),
        old=sorted(set(params["old_ports"])),
        patience=params["patience"],
    ).run()

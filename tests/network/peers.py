# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two ends of a TCP connection, run inside a test's network namespace.

serve HOST PORT NAME          answers every line with "NAME PEER-ADDRESS"; the line "hold" is printed as "holding" and answered
                              once a line comes on stdin
ask ADDRESS PORT SOURCE       one line on a fresh connection; prints NAME or what went wrong
talk ADDRESS PORT SOURCE [PATIENCE]
                              one connection, kept: each line of stdin is sent, its answer or what went wrong printed
knock ADDRESS PORT            connections one after the other as fast as it goes, without a word, until stdin ends; prints the same
hammer ADDRESS PORT SOURCE    fresh connections one after the other until stdin ends; prints {answer: count}
"""

from __future__ import annotations

import collections
import json
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable

PATIENCE = 8.0
# For what a test itself brings to its end, on a machine that may be busy.
LONG = 30.0


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        try:
            for line in self.rfile:
                if line.strip() == b"hold":
                    print("holding", flush=True)
                    self.server.released.wait(LONG)
                peer = self.client_address[0].replace("::ffff:", "")
                self.wfile.write(f"{self.server.answer} {peer}\n".encode())
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    address_family = socket.AF_INET6
    request_queue_size = 128
    answer = ""
    released = threading.Event()

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(host: str, port: str, name: str) -> None:
    server = Server((host, int(port)), Handler)
    server.answer = name
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    for _line in sys.stdin:
        server.released.set()
    threading.Event().wait()


def connect(address: str, port: str, source: str) -> socket.socket:
    # `source` is an address, or one with a port: 10.77.0.200:40000.
    own, _, own_port = source.partition(":")
    return socket.create_connection((address, int(port)), PATIENCE, (own, int(own_port or 0)) if own else None)


def exchange(connection: socket.socket, line: str) -> str:
    connection.sendall(line.strip().encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        part = connection.recv(4096)
        if not part:
            return "closed"
        answer += part
    return answer.decode().strip()


def outcome(error: OSError) -> str:
    if isinstance(error, (ConnectionResetError, ConnectionRefusedError, BrokenPipeError)):
        return "reset"
    return "timeout" if isinstance(error, TimeoutError) else type(error).__name__


def ask(address: str, port: str, source: str) -> str:
    try:
        with connect(address, port, source) as connection:
            return exchange(connection, "x")
    except OSError as error:
        return outcome(error)


def talk(address: str, port: str, source: str, patience: str = str(LONG)) -> None:
    with connect(address, port, source) as connection:
        connection.settimeout(float(patience))
        print("ready", flush=True)
        for line in sys.stdin:
            try:
                print(exchange(connection, line), flush=True)
            except OSError as error:
                print(outcome(error), flush=True)


def counted(attempt: Callable[[], str], pause: float) -> None:
    ended = threading.Event()

    def until_closed() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=until_closed, daemon=True).start()
    counts: collections.Counter[str] = collections.Counter()
    print("ready", flush=True)
    # Bounded whatever becomes of the test.
    until = time.monotonic() + 60
    while not ended.is_set() and time.monotonic() < until:
        counts[attempt()] += 1
        time.sleep(pause)
    print(json.dumps(counts), flush=True)


def hammer(address: str, port: str, source: str) -> None:
    counted(lambda: ask(address, port, source).split()[0], 0.001)


def knock(address: str, port: str) -> None:
    def attempt() -> str:
        try:
            with connect(address, port, "") as connection:
                # Closed with a reset: its port is free again at once.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return "connected"
        except OSError as error:
            return outcome(error)

    counted(attempt, 0)


if __name__ == "__main__":
    role, arguments = sys.argv[1], sys.argv[2:]
    if role == "ask":
        print(ask(*arguments))
    elif role == "serve":
        serve(*arguments)
    elif role == "talk":
        talk(*arguments)
    elif role == "knock":
        knock(*arguments)
    elif role == "hammer":
        hammer(*arguments)

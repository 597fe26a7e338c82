# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of a listener beside REST and gRPC, on every Pi: each asks ten times a second over a new connection."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.e2e import rehearsal
from tests.lab import settings

EVERY = 0.1  # seconds
TIMEOUT = 5.0


@dataclass
class Asked:
    """By Pi, how many requests were answered, and what became of the others."""

    answered: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


@contextlib.contextmanager
def asked(port: int = settings.WEBSOCKET_PORT) -> Iterator[Asked]:
    """Clients at work from before the block to after it."""
    found, over = Asked(), threading.Event()
    nodes = rehearsal.lab_state()["nodes"]
    clients = [
        threading.Thread(target=_ask, args=(node["name"], node["address"], port, found, over), daemon=True)
        for node in nodes
    ]
    for client in clients:
        client.start()
    try:
        yield found
    finally:
        over.set()
        for client in clients:
            client.join()


def _ask(name: str, address: str, port: int, found: Asked, over: threading.Event) -> None:
    found.answered[name] = 0
    while not over.wait(EVERY):
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
        try:
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"ok\n"
            found.answered[name] += 1
        except (OSError, http.client.HTTPException, AssertionError) as error:
            found.failed.append(f"{name}: {type(error).__name__} {error}")
        finally:
            connection.close()

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member that moves while its old address is routed to its new one, against real HashiCorp Raft."""

from __future__ import annotations

import contextlib
import importlib
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemon.clusters import STANDARD, Cluster, Daemon, eventually
from tests.raft.test_membership_real import moved, voters

PACKAGE = "ansible_collections.pi_controller.raft_migration.plugins.module_utils"


class Proxy:
    """In place of the kernel's rule: what connects to the old address is routed to the new one."""

    def __init__(self, node: Daemon, old: int) -> None:
        self.node = node
        self.listener = socket.create_server((node.host, old))
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                incoming = self.listener.accept()[0]
                try:
                    outgoing = socket.create_connection((self.node.host, STANDARD["raft"]), timeout=1)
                except OSError:
                    incoming.close()
                    continue
                outgoing.settimeout(None)
                self.open += [incoming, outgoing]
                for source, target in ((incoming, outgoing), (outgoing, incoming)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in (self.listener, *self.open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextlib.contextmanager
def moved_at(node: Daemon, reached: bool = True) -> Iterator[None]:
    """Restarted on the standard ports, with the others knowing its old address."""
    old = node.ports["raft"]
    node.stop()
    proxy = Proxy(node, old) if reached else None
    try:
        node.start(STANDARD)
        yield
    finally:
        if proxy:
            proxy.close()


def takes_writes(cluster: Cluster) -> bool:
    return any(
        node.process and node.ask("POST", "/api/v1/nodes", {"name": "one more"})[0] == 201 for node in cluster.nodes
    )


@pytest.mark.parametrize("reached", [True, False], ids=["its old address is routed", "it is not"])
def test_a_moved_member_keeps_its_vote_when_another_one_dies(cluster: Cluster, reached: bool) -> None:
    """Without, the one that is left reaches no other voter, and has entries that the moved one does not know."""
    cluster.write(5)
    first, second, third = cluster.nodes
    with moved_at(second, reached):
        third.stop(signal.SIGKILL)
        first.ask("POST", "/api/v1/nodes", {"name": "in the log of one"})
        if reached:
            eventually(lambda: takes_writes(cluster), "two of three take writes")
        else:
            with pytest.raises(AssertionError):
                eventually(lambda: takes_writes(cluster), "two of three take writes")


def test_it_is_no_member_for_a_moment_only(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.write(5)
    request = importlib.import_module(f"{PACKAGE}._raft.request")
    membership = importlib.import_module(f"{PACKAGE}._raft.membership")
    # Where the kernel routes others, the Pi itself still sees no listener at the old address.
    monkeypatch.setattr(membership.MembershipChange, "_down", lambda _self, _address: None)
    node = cluster.nodes[1]
    wanted: dict[str, Any] = {
        "urls": cluster.urls,
        "timeout": 5.0,
        "node_id": node.id,
        "address": moved(node),
        "state": "present",
        "replace": True,
        "wait_leader": 20,
        "wait_for_listener": 20,
        "wait_caught_up": 20,
    }
    with moved_at(node):
        change = request.MembershipRequest(wanted, False, True)
        change.run()
    result = change.result()
    assert voters(result)[node.id] == moved(node)
    steps = [step["step"] for step in result["steps"]]
    assert steps == [
        f"{moved(node)} listens",
        f"{node.id} has caught up",
        f"remove {node.id}",
        f"{moved(node)} listens",
        f"add {node.id} at {moved(node)} as voter",
        f"{node.id} has caught up",
    ]
    # The way from the old address is gone by now.
    cluster.write(5)
    eventually(lambda: len(cluster.names(node)) == 10, "the moved node has every write")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test daemons as plain processes on loopback, for tests that need no host of the lab."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

HOST = "127.0.0.1"
T = TypeVar("T")
_given: set[int] = set()


def wait_for(what: str, probe: Callable[[], T], timeout: float = 60.0) -> T:
    """What the probe gives once that is true; a probe that fails on the way is asked again."""
    deadline = time.monotonic() + timeout
    seen: object = None
    while time.monotonic() < deadline:
        try:
            found = probe()
            if found:
                return found
            seen = found
        except (OSError, http.client.HTTPException) as error:
            seen = error
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout:g} s for: {what}; last seen: {seen!r}")


def stopped(process: int) -> bool:
    """Whether every thread of it is."""
    threads = Path(f"/proc/{process}/task").glob("*/stat")
    return {thread.read_text().rpartition(")")[2].split()[0] for thread in threads} == {"T"}


def free_ports(number: int) -> list[int]:
    """Below the range the kernel gives to outgoing connections, so that they stay free while a node is down."""
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(20000, 32000)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        _given.add(port)
        found.append(port)
    return found


class Answer(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Node:
    """One daemon: its folder, its ports and, while it runs, its process."""

    binary: Path
    folder: Path
    id: str
    profile: str = "full"
    keys: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.rest, self.grpc, self.websocket, self.raft = free_ports(4)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.raft}"

    @property
    def database(self) -> Path:
        return self.folder / "pi-controller.db"

    @property
    def raft_dir(self) -> Path:
        return self.folder / "raft"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self, bootstrap: bool = False) -> Node:
        config = {
            "profile": self.profile,
            "app": {"data_dir": str(self.folder)},
            "api": {"host": HOST, "port": self.rest},
            "grpc": {"host": HOST, "port": self.grpc},
            "websocket": {"port": self.websocket},
            "cluster": {
                "enabled": True,
                "controller_id": self.id,
                "bind_addr": self.address,
                "bootstrap": bootstrap,
                "heartbeat_timeout": "300ms",
                "election_timeout": "300ms",
            },
        }
        for key, value in self.keys.items():
            section, _, name = key.partition(".")
            config.setdefault(section, {})[name] = value  # type: ignore[index]
        if self.profile == "published":
            # A folder that a test may write to, and a stop that a test need not wait for.
            config["published"] = {"ca_dir": str(self.folder / "ca"), "slow_stop": "0s", **config.get("published", {})}  # type: ignore[dict-item]
        path = self.folder / "config.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML too
        with (self.folder / "log").open("ab") as log:
            # The published daemon puts Raft's folder below its working directory.
            self.process = subprocess.Popen(
                [self.binary, "--config", path], stdout=log, stderr=log, env={**os.environ, **self.env}, cwd=self.folder
            )
        return self

    def up(self) -> Node:
        def answers() -> bool:
            assert self.process
            assert self.process.poll() is None, f"{self.id} ended:\n{self.log}"
            return self.call("GET", "/health").status == 200

        wait_for(f"{self.id} up", answers)
        return self

    def ready(self) -> Node:
        wait_for(f"{self.id} ready", lambda: self.call("GET", "/ready").status == 200)
        return self

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)
        # On another processor it goes on for a moment, long enough to answer.
        if number == signal.SIGSTOP:
            process = self.process.pid
            wait_for(f"process {process} has stopped", lambda: stopped(process))

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process
        self.process.wait()

    def terminate(self) -> float:
        """Seconds it took to end well."""
        begin = time.monotonic()
        self.signal(signal.SIGTERM)
        assert self.process
        assert self.process.wait(10) == 0, self.log
        return time.monotonic() - begin

    def call(
        self, method: str, path: str, body: Any = None, *, token: str = "", tls: bool = False, timeout: float = 10.0
    ) -> Answer:
        connection = (
            http.client.HTTPSConnection(HOST, self.rest, timeout=timeout, context=ssl._create_unverified_context())
            if tls
            else http.client.HTTPConnection(HOST, self.rest, timeout=timeout)
        )
        payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, payload, {"Authorization": f"Bearer {token}"} if token else {})
            reply = connection.getresponse()
            text = reply.read()
            return Answer(reply.status, json.loads(text) if text else None, dict(reply.headers))
        finally:
            connection.close()

    def raft_call(self, method: str, path: str, body: Any = None) -> Answer:
        return self.call(method, f"/api/v1/raft/{path}", body)

    def status(self) -> dict[str, Any]:
        answer = self.raft_call("GET", "status")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.body
        return found

    def create(self, name: str, **fields: Any) -> Answer:
        return self.call("POST", "/api/v1/nodes", {"name": name, **fields})

    def rows(self, table: str = "nodes") -> list[dict[str, Any]]:
        answer = self.call("GET", f"/api/v1/{table}")
        assert answer.status == 200, answer
        assert answer.body["total"] == len(answer.body[table])
        found: list[dict[str, Any]] = answer.body[table]
        return found

    def names(self) -> set[str]:
        return {row["name"] for row in self.rows()}


class Cluster:
    """Nodes under test. They are ended by their own process, whatever happened."""

    def __init__(self, binary: Path, folder: Path, profile: str = "full", size: int = 3, **keys: Any) -> None:
        self.nodes = [
            Node(binary, folder / f"pi-{number}", f"pi-{number}", profile, dict(keys)) for number in range(1, size + 1)
        ]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.kill()

    def form(self) -> Cluster:
        for node in self.nodes:
            node.start(bootstrap=node is self.nodes[0])
        first = self.nodes[0].up().ready()
        for node in self.nodes[1:]:
            # The published daemon answers REST only once it knows a leader, so it is added first.
            if node.profile != "published":
                node.up()
            answer = first.raft_call("POST", "members", {"node_id": node.id, "address": node.address})
            assert answer.status == 200, answer
            node.up().ready()
        # One that follows has heard of the leader, and may not have heard of the others yet.
        if self.nodes[0].profile != "published":
            wait_for(
                "every node knows all members",
                lambda: {node.status()["member_count"] for node in self.nodes} == {len(self.nodes)},
            )
        return self

    def leader(self) -> Node:
        def find() -> Node | None:
            for node in self.nodes:
                if node.process and node.process.poll() is None and node.status()["is_leader"]:
                    return node
            return None

        return wait_for("a leader", find)  # type: ignore[return-value]

    def followers(self) -> list[Node]:
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def converged(self, nodes: list[Node] | None = None) -> list[dict[str, Any]]:
        """The rows, once all nodes show the same."""
        checked = nodes or self.nodes
        leader = self.leader()

        def same() -> bool:
            return all(node.rows() == leader.rows() for node in checked)

        wait_for("the same rows everywhere", same)
        return leader.rows()

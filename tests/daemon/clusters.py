# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clusters of real daemons (the test daemon, which has HashiCorp Raft) as processes on loopback addresses."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.daemon.build import build_test_daemon
from tests.lab.progress import Progress

# Two port sets, as before and after a pod's port change. Each node has a loopback address of its own, so that both
# the ports and the way from a member's address to its URL are those of a real cluster.
TEMPORARY = {"rest": 8082, "grpc": 9093, "websocket": 8181, "raft": 9092}
STANDARD = {"rest": 8080, "grpc": 9090, "websocket": 8081, "raft": 9091}


def find_program() -> Path:
    """The test daemon: PI_CONTROLLER_BINARY, or the lab's."""
    given = os.environ.get("PI_CONTROLLER_BINARY")
    return Path(given) if given else build_test_daemon(Progress())


def eventually(condition: Callable[[], Any], what: str, timeout: float = 20.0) -> Any:
    """The first true value of `condition`; a failed test that names `what` when there is none in time."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.02)


@dataclass
class Daemon:
    """One node, started and stopped at will, on whichever port set."""

    binary: Path
    folder: Path
    id: str
    host: str
    profile: str
    ports: dict[str, int] = field(default_factory=lambda: dict(TEMPORARY))
    process: subprocess.Popen[bytes] | None = None
    # Further sections of the configuration file.
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.ports['raft']}"

    @property
    def raft_dir(self) -> Path:
        return self.folder / "raft"

    def start(self, ports: dict[str, int] | None = None, *, bootstrap: bool = False) -> None:
        self.ports = dict(ports or self.ports)
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "config.yaml"
        config.write_text(
            json.dumps(
                {
                    "profile": self.profile,
                    "app": {"data_dir": str(self.folder)},
                    "api": {"host": self.host, "port": self.ports["rest"]},
                    "grpc": {"host": self.host, "port": self.ports["grpc"]},
                    "websocket": {"port": self.ports["websocket"]},
                    "cluster": {
                        "enabled": True,
                        "controller_id": self.id,
                        "bind_addr": self.address,
                        "bootstrap": bootstrap,
                    },
                    **self.extra,
                }
            )
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([str(self.binary), "--config", str(config)], stdout=log, stderr=log)

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> None:
        if self.process:
            self.process.send_signal(sent)
            self.process.wait(timeout=20)
            self.process = None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status 0 where no process answers."""
        connection = http.client.HTTPConnection(self.host, self.ports["rest"], timeout=5)
        try:
            connection.request(method, path, body=json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        except OSError:
            return 0, None
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        return self.ask("GET", "/api/v1/raft/status")[1] or {}


class Cluster:
    """Three daemons n1 to n3 on the temporary ports, with n1 as the leader."""

    def __init__(self, binary: Path, folder: Path, profile: str, count: int = 3, **extra: Any) -> None:
        # An own corner of 127/8 for each test process, so that two runs on a machine do not meet.
        corner = f"127.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
        self.nodes = [
            Daemon(binary, folder / f"n{number}", f"n{number}", f"{corner}.{number}", profile, extra=extra)
            for number in range(1, count + 1)
        ]
        self.count = 0

    def start(self) -> Cluster:
        first = self.nodes[0]
        first.start(bootstrap=True)
        eventually(lambda: first.status().get("is_leader"), "n1 leads")
        for node in self.nodes[1:]:
            node.start()
            eventually(node.status, f"{node.id} answers")
            status, answer = first.ask("POST", "/api/v1/raft/members", {"node_id": node.id, "address": node.address})
            assert status == 200, answer
            eventually(partial(self._follows, node, first), f"{node.id} follows n1", timeout=30)
        return self

    def stop(self) -> None:
        for node in self.nodes:
            node.stop(signal.SIGKILL)

    def _follows(self, node: Daemon, leader: Daemon) -> bool:
        return node.status().get("leader") == leader.address

    def _takes(self, body: dict[str, Any]) -> bool:
        return self.leader.ask("POST", "/api/v1/nodes", body)[0] == 201

    @property
    def urls(self) -> list[str]:
        """Every node on both ports, as while pods move one by one."""
        return [f"http://{node.host}:{ports['rest']}" for ports in (STANDARD, TEMPORARY) for node in self.nodes]

    @property
    def leader(self) -> Daemon:
        return eventually(
            lambda: next((node for node in self.nodes if node.process and node.status().get("is_leader")), None),
            "some node leads",
        )

    def write(self, count: int = 1) -> None:
        """Acknowledged writes; each is made anew until a leader takes it."""
        for _number in range(count):
            self.count += 1
            body = {"name": f"write-{self.count}"}
            eventually(partial(self._takes, body), "a write is taken")

    def names(self, node: Daemon) -> set[str]:
        found = node.ask("GET", "/api/v1/nodes")[1] or {}
        return {node["name"] for node in found.get("nodes", [])}

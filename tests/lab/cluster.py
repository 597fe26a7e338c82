# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The old world: pi-controller under systemd on every Pi, one quorate Raft cluster with data in it."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from typing import Any

from . import machines, settings
from .files import File, Unit
from .progress import Progress
from .shell import LabError, in_parallel, wait_for
from .state import Node, State

BINARY = "/usr/local/bin/pi-controller"
CONFIG = "/etc/pi-controller/config.yaml"
UNIT = "pi-controller.service"
ROWS = {"nodes": 60, "gpio": 120, "clusters": 20}
# The published daemon keeps what each Pi stores to itself.
ROWS_PER_PI = {"nodes": 8, "gpio": 6, "clusters": 2}

UNIT_TEXT = f"""\
[Unit]
Description=Pi Controller
# What is built with a current Go keeps a file of the cpu controller open, which the host's set-up mounts anew.
After=network.target pi-lab-setup.service

[Service]
Type=simple
User=root
ExecStart={BINARY} --config {CONFIG}
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""


def host_files(node: Node, state: State, binary: Path) -> list[File | Unit]:
    return [
        File(BINARY, binary.read_bytes(), 0o755),
        File(CONFIG, config(node, state, bootstrap=False), 0o600),
        Unit(UNIT, UNIT_TEXT, enabled=False),
    ]


def config(node: Node, state: State, *, bootstrap: bool) -> str:
    """The owner's configuration file. JSON, which every reader of YAML reads."""
    content = {
        "profile": state.profile,
        "app": {"data_dir": "/var/lib/pi-controller"},
        "database": {"path": "/var/lib/pi-controller/pi-controller.db"},
        "api": {"host": node.addresses.everywhere, "port": settings.REST_PORT},
        "grpc": {"host": node.addresses.everywhere, "port": settings.GRPC_PORT},
        "websocket": {"port": settings.WEBSOCKET_PORT},
        "gpio": {"enabled": True, "mock_mode": False, "device": "/dev/gpiochip0"},
        "discovery": {"enabled": True},
        "cluster": {
            "enabled": True,
            "controller_id": node.name,
            # What it binds is what it advertises, so it is the Pi's own address.
            "bind_addr": settings.with_port(node.address, settings.RAFT_PORT),
            "data_dir": "/var/lib/pi-controller/raft",
            "bootstrap": bootstrap,
        },
    }
    return json.dumps(content, indent=2) + "\n"


def start(state: State, progress: Progress) -> None:
    """Bootstrap on the first Pi, let its leader add the others, and load data."""
    progress.say(f"pi-controller: starting a Raft cluster of {len(state.nodes)} under systemd, profile {state.profile}")
    first = state.nodes[0]
    File(CONFIG, config(first, state, bootstrap=True), 0o600).write(machines.root(first))
    in_parallel(lambda node: machines.execute(node, ["systemctl", "enable", "--now", UNIT]), state.nodes)
    wait_for(
        f"{first.name} leads",
        lambda: None if leader(first) else "no leader",
        timeout=60,
        advice=f"journalctl -u {UNIT} on {first.name}",
    )
    # `bootstrap: true` fails on a node that has Raft state, so an owner takes it out after the first start.
    File(CONFIG, config(first, state, bootstrap=False), 0o600).write(machines.root(first))
    for node in state.nodes[1:]:
        request(
            first,
            "POST",
            "/api/v1/raft/members",
            {"node_id": node.name, "address": settings.with_port(node.address, settings.RAFT_PORT)},
        )
    in_parallel(_wait_member, [(node, len(state.nodes)) for node in state.nodes])


def load_data(state: State, progress: Progress) -> None:
    """Some hundred rows, as an owner has them; with the published daemon, rows of its own on each Pi."""
    if state.profile == "published":
        in_parallel(_load_own_rows, state.nodes)
        progress.say(f"pi-controller: {sum(ROWS_PER_PI.values())} rows loaded on each Pi")
        return
    leading = leading_node(state)
    for table, rows in ROWS.items():
        for number in range(1, rows + 1):
            request(
                leading,
                "POST",
                f"/api/v1/{table}",
                {"name": f"{table}-{number}", "pin": number, "note": "there before the migration"},
            )
    progress.say(f"pi-controller: {sum(ROWS.values())} rows loaded through {leading.name}")


def _load_own_rows(node: Node) -> None:
    """By a client on the Pi itself: any other one is let in once a second."""
    for table, rows in ROWS_PER_PI.items():
        for number in range(1, rows + 1):
            row = json.dumps({"name": f"{table}-{number} of {node.name}", "pin": number})
            url = f"http://localhost:{settings.REST_PORT}/api/v1/{table}"
            command = ["curl", "-sS", "--fail-with-body", "--max-time", "5", "--json", row, url]
            machines.execute(node, command)


def _wait_member(wanted: tuple[Node, int]) -> None:
    node, count = wanted

    def probe() -> str | None:
        status = request(node, "GET", "/api/v1/raft/status")
        voters = sum(1 for member in status["members"] or [] if member["Voter"])
        return (
            None if voters == count and status["leader"] else f"{voters} voters, leader {status['leader'] or 'unknown'}"
        )

    wait_for(f"{node.name} is one of {count} voters", probe, timeout=30, advice=f"journalctl -u {UNIT} on {node.name}")


def wait_caught_up(state: State) -> None:
    """Until every node follows one leader and has applied as much as any other, as after a daemon was started again.

    A node's index counts entries that wait for its database.
    """

    def probe() -> str | None:
        reported = {node.name: request(node, "GET", "/api/v1/raft/status") for node in state.nodes}
        applied = {name: status["raft_stats"]["applied_index"] for name, status in reported.items()}
        pending = {status["raft_stats"]["fsm_pending"] for status in reported.values()}
        leaders = {status["leader"] for status in reported.values()}
        return (
            None
            if len(set(applied.values())) == 1 and pending == {"0"} and len(leaders) == 1 and all(leaders)
            else f"applied {applied}, batches to apply {pending}, leaders {leaders}"
        )

    wait_for("every node is caught up", probe, timeout=30, advice="python3 -m tests.lab reset")


def leader(node: Node) -> str:
    """The Raft address of the leader that this node knows."""
    return request(node, "GET", "/api/v1/raft/leader").get("leader") or ""


def leading_node(state: State) -> Node:
    """The Pi whose daemon leads, by its own word."""
    return next(node for node in state.nodes if leader(node) == settings.with_port(node.address, settings.RAFT_PORT))


def request(node: Node, method: str, path: str, body: Any = None, longest: float = 30) -> dict[str, Any]:
    """What the daemon on this Pi answers; a 429 is asked again for up to `longest` seconds."""
    deadline = time.monotonic() + longest
    while True:
        status, text = _ask(node, method, path, body)
        if status != 429 or time.monotonic() > deadline:
            break
        time.sleep(1)  # the daemon gives each address one request a second
    if status >= 300:
        raise LabError(f"{node.name} answered {method} {path} with {status}: {text[:200]}")
    return json.loads(text) if text.strip() else {}


def _ask(node: Node, method: str, path: str, body: Any) -> tuple[int, str]:
    connection = http.client.HTTPConnection(node.address, settings.REST_PORT, timeout=10 if method == "GET" else 30)
    try:
        connection.request(
            method, path, body=None if body is None else json.dumps(body), headers={"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError as error:
        raise LabError(f"{node.name} did not answer {method} {path}: {error}") from error
    finally:
        connection.close()

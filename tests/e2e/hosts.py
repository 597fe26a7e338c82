# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the lab's hosts, asked of the hosts themselves with testinfra and never of Ansible."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Sequence
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from tests.lab import machines, state
from tests.lab.shell import LabError
from tests.lab.state import Node

DAEMON = "pi-controller"
# No gate closes or redirects what comes from here.
OPERATOR = "127.0.9.91"


class Inside(BaseBackend):
    """Runs testinfra's commands in a host of the lab by its namespaces: ssh takes longer than most questions do."""

    NAME = "lab"

    def __init__(self, node: Node) -> None:
        super().__init__(node.name)
        self._node = node

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        script = self.get_command(command, *args)
        return self.run_local(shlex.join(machines.command_in(self._node, ["bash", "-c", script])))


@functools.cache
def _inside(node: Node) -> Host:
    return Host(Inside(node))


def host(name: str) -> Host:
    """Raises LabError where the lab is down or has no such host."""
    return _inside(state.require().node(name))


def listening(pi: Host) -> set[int]:
    """TCP ports that a pi-controller process listens on, under systemd or in a pod."""
    lines = pi.run_expect([0], "ss -Hltnp").stdout.splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in lines if f'"{DAEMON}"' in line}


def unit_state(pi: Host) -> tuple[str, str]:
    """(is-enabled, is-active) of the unit."""
    return (
        pi.run(f"systemctl is-enabled {DAEMON}").stdout.strip() or "not-found",
        pi.run(f"systemctl is-active {DAEMON}").stdout.strip(),
    )


def gate_rules(pi: Host) -> list[str]:
    """Rules of the traffic gate that lead or keep a client away; those that an opened gate may leave end old connections only."""
    listed = pi.run_expect([0], "nft list ruleset").stdout.splitlines()
    return [line for line in listed if 'comment "pi-controller migration: ' in line and "migration: open " not in line]


def parsed(answer: str) -> dict[str, Any]:
    """A daemon's answer."""
    found: dict[str, Any] = json.loads(answer)
    return found


def raft_status(pi: Host, port: int) -> dict[str, Any]:
    """The Raft status of the daemon on this host, whatever the gate is."""
    answer = pi.run_expect(
        [0], f"curl -sf --max-time 5 --interface {OPERATOR} http://127.0.0.1:{port}/api/v1/raft/status"
    )
    return json.loads(answer.stdout)


def optional_calls(pi: Host) -> dict[str, int]:
    """The HTTP status that the daemon answers its optional calls with."""
    url = "http://127.0.0.1:8080/api/v1/raft"
    ask = f"curl -s --max-time 5 --interface {OPERATOR} -o /dev/null -w '%{{http_code}}' {url}"
    return {call: int(pi.check_output(f"{ask}/{call}")) for call in ("capabilities", "read-only")}


def leader(names: Sequence[str], port: int = 8080) -> str:
    """The one of these hosts whose daemon leads, by its own word."""
    for name in names:
        if raft_status(host(name), port)["is_leader"]:
            return name
    raise LabError(f"None of {', '.join(names)} leads on port {port}: `make lab-down lab-up` starts afresh.")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's Pis as a fault sees them: whose process is whose, who leads, who has caught up. Nothing is asked through a gate."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import faults, kubernetes, machines, state
from tests.lab.kubernetes.provider import Provider
from tests.lab.shell import LabError
from tests.lab.state import Node
from tests.witness.http import socket_in

from .case import PARALLEL, ROLLBACK, ROLLING

OPERATOR = "127.0.9.91"  # no gate closes for it
UNIT_PORT, TEMPORARY_PORT = 8080, 8082
EITHER = "daemon"
BACKUPS = "var/backups/pi-controller-migration"
UNIT_DATA, POD_DATA = "var/lib/pi-controller", "var/lib/pi-controller-pods"


@dataclass
class Pis:
    lab: state.State
    provider: Provider
    strategy: str = PARALLEL

    @classmethod
    def up(cls, strategy: str = PARALLEL) -> Pis:
        lab = state.require()
        return cls(lab, kubernetes.named(lab.provider, lab.options), strategy)

    @property
    def rolling(self) -> bool:
        return self.strategy == ROLLING

    @property
    def nodes(self) -> list[Node]:
        return self.lab.nodes

    def journal(self, node: Node) -> dict[str, Any]:
        """The journal as the Pi holds it; empty before there is one."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads(self.backups(node, "journal.json").read_text())
        return {}

    def backups(self, node: Node, *below: str) -> Path:
        return machines.root(node).joinpath(BACKUPS, *below)

    def phase_state(self, node: Node, phase: str) -> str:
        return self.journal(node).get("phases", {}).get(phase, {}).get("state", "pending")

    def pods_serve(self) -> bool:
        """Whether the pods may have taken writes: written down on one Pi before they can, and taken back with the whole journal."""
        journals = [self.journal(node).get("phases", {}) for node in self.nodes]
        back = any(phases.get("rollback", {}).get("state") == "done" for phases in journals)
        return not back and any("opening" in phases.get("cutover", {}).get("facts", {}) for phases in journals)

    def ask(
        self,
        node: Node,
        port: int,
        path: str = "/api/v1/raft/status",
        method: str = "GET",
        body: Any = None,
        host: str = "127.0.0.1",
    ) -> Any:
        """The answer of the daemon on that very Pi, whatever its gate does to others; None where there is none."""
        try:
            with contextlib.closing(http.client.HTTPConnection(host, port)) as connection:
                connection.sock = socket_in(node.name)
                connection.sock.settimeout(2)
                if host == "127.0.0.1":
                    connection.sock.bind((OPERATOR, 0))
                connection.sock.connect((host, port))
                connection.request(
                    method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
                )
                answer = connection.getresponse()
                text = answer.read()
                return json.loads(text or b"{}") if answer.status < 300 else None
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def by_turns(self) -> bool:
        """Whether pods and units are one cluster: in a migration Pi by Pi, and from a rollback on in which the Pis go back one by one."""
        return self.rolling or self._rollback_in_turns()

    def _rollback_in_turns(self) -> bool:
        facts = [self.journal(node).get("phases", {}).get(ROLLBACK, {}) for node in self.nodes]
        return any(found.get("state") != "done" and found.get("facts", {}).get("way") == "turns" for found in facts)

    def in_turn(self) -> Node:
        """The Pi whose turn it is, on the way there or back."""
        phase = ROLLBACK if self._rollback_in_turns() else "cutover"
        for node in self.nodes:
            if self.journal(node).get("phases", {}).get(phase, {}).get("facts", {}).get("turn") == "started":
                return node
        raise LabError("no journal says whose turn it is")

    def unit_has_data(self, node: Node) -> bool:
        """Whether the data folder is the unit's: it is renamed when the pod's turn comes, and only then."""
        return machines.root(node).joinpath(UNIT_DATA).is_dir()

    def read_only(self, node: Node) -> bool:
        """Whether the unit's daemon on this Pi refuses writes."""
        return bool((self.ask(node, UNIT_PORT, "/api/v1/raft/read-only") or {}).get("enabled"))

    def status(self, node: Node, of: str) -> dict[str, Any] | None:
        """Raft status of the unit or of the pod on this Pi, or of whichever of the two it has."""
        if of == EITHER:
            return self.ask(node, UNIT_PORT)
        unit_runs = bool(faults.processes(node, owner=faults.UNIT))
        if of == faults.UNIT:
            return self.ask(node, UNIT_PORT) if unit_runs else None
        if not faults.processes(node, owner=faults.POD):
            return None
        return self.ask(node, TEMPORARY_PORT) or (None if unit_runs else self.ask(node, UNIT_PORT))

    def serving(self) -> str:
        if self.by_turns():
            return EITHER
        return faults.POD if self.pods_serve() else faults.UNIT

    def leader(self, of: str | None = None, timeout: float = 20) -> Node:
        deadline = time.monotonic() + timeout
        while True:
            for node in self.nodes:
                if (self.status(node, of or self.serving()) or {}).get("is_leader"):
                    return node
            if time.monotonic() > deadline:
                raise TimeoutError(f"no leader of the {of or self.serving()}s within {timeout:.0f} s")
            time.sleep(0.1)

    def follower(self, of: str | None = None, other_than: Node | None = None) -> Node:
        """One that does not carry the control plane of Kubernetes, where there is a choice."""
        leader = self.leader(of)
        followers = [node for node in self.nodes if node not in (leader, other_than)]
        return min(followers, key=lambda node: (node.is_server, -node.number))

    def neighbour(self, node: Node) -> Node:
        """The Pi that the clients of this one are routed to in its turn."""
        return self.nodes[(self.nodes.index(node) + 1) % len(self.nodes)]

    def led_to(self, node: Node) -> list[str]:
        """The other Pis whose clients a gate routes to this one, as while their own pod is replaced."""
        found = []
        for other in self.nodes:
            if not machines.running(other):
                continue
            rules = machines.execute(other, ["nft", "list", "table", "inet", "pi_controller_gate"], check=False).stdout
            # Where it is routed to its own pod the port follows the address.
            if f"dnat ip to {node.address} " in rules:
                found.append(other.name)
        return found

    def behind(self, node: Node, of: str) -> str | None:
        """Why this member does not serve like the others, or None when it has all that the leader has committed."""
        leader = None
        for other in self.nodes:
            status = self.status(other, of)
            if status and status["is_leader"]:
                leader = status
        if leader is None:
            return f"no {of} leads"
        own = self.status(node, of)
        if own is None:
            return f"the {of} on {node.name} does not answer"
        if not own["leader"]:
            return f"the {of} on {node.name} knows no leader"
        wanted, seen = int(leader["raft_stats"]["commit_index"]), int(own["raft_stats"]["applied_index"])
        if seen < wanted:
            return f"the {of} on {node.name} has applied {seen} of {wanted}"
        # The index counts entries that wait for the database.
        pending = own["raft_stats"]["fsm_pending"]
        return None if pending == "0" else f"the {of} on {node.name} has {pending} batches to apply"

    def wait_caught_up(self, node: Node, of: str | None = None, timeout: float = 60) -> float | None:
        """When it, or whatever serves by then, had caught up (epoch seconds); None when it did not in time."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.behind(node, of or self.serving()) is None:
                return time.time()
            time.sleep(0.1)
        return None

    def wait_service(self, node: Node, timeout: float = 90) -> float | None:
        """When the Service's address answered on this Pi again: its own proxy needs the API to know where to lead."""
        return self._wait_answer(node, self.lab.service_address, timeout)

    def wait_gate(self, node: Node, timeout: float = 180) -> float | None:
        """When clients of this Pi's own address were answered again, by whatever its gate routes them to."""
        return self._wait_answer(node, node.address, timeout)

    def _wait_answer(self, node: Node, host: str, timeout: float) -> float | None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.ask(node, UNIT_PORT, "/health", host=host) is not None:
                return time.time()
            time.sleep(0.1)
        return None

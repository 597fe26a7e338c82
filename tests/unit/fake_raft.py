# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster that speaks the REST contract and replicates nothing: for what real daemons cannot be made to do on demand.

It keeps the habit of HashiCorp Raft before 1.2: a running leader goes on sending to the address it knew first.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FULL = ["snapshot", "restore", "transfer", "read-only", "learners", "recovery"]


@dataclass
class FakeNode:
    """One daemon. `pending` is how many more status calls find it not yet caught up."""

    id: str
    host: str
    listens: str
    url: str = ""
    alive: bool = True
    applied: int = 0
    pending: int = 0
    read_only: bool = False
    server: ThreadingHTTPServer | None = None
    stalled: bool = False  # still says that it leads, in the term before
    error: int | None = None  # the HTTP status of every answer
    hangs: bool = False  # takes requests and does not answer

    def close(self) -> None:
        """It has ended: nothing listens where it did."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


@dataclass
class FakeCluster:
    """`FakeCluster.start(3)` leads with n1; nodes are n1... on 127.0.2.1..., Raft addresses 127.0.2.N:9092."""

    nodes: dict[str, FakeNode] = field(default_factory=dict)
    profile: str = "full"
    leader: str | None = "n1"
    term: int = 3
    commit: int = 40
    token: str | None = None
    members: dict[str, tuple[str, bool]] = field(default_factory=dict)
    sends_to: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    # Called with (node, method, path) before a change; may answer (status, body) itself, or move things about.
    before_change: Callable[[FakeNode, str, str], tuple[int, Any] | None] | None = None
    restored: bytes | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def start(cls, count: int = 3, **kwargs: Any) -> FakeCluster:
        cluster = cls(**kwargs)
        for number in range(1, count + 1):
            address = f"127.0.2.{number}:9092"
            cluster.nodes[f"n{number}"] = FakeNode(f"n{number}", f"127.0.2.{number}", address, applied=cluster.commit)
            cluster.members[f"n{number}"] = (address, True)
            cluster._serve(cluster.nodes[f"n{number}"])
        cluster.elect(cluster.leader)
        return cluster

    def add_node(self, number: int, listens: str) -> FakeNode:
        """A daemon that runs but is not a member."""
        node = FakeNode(f"n{number}", f"127.0.2.{number}", listens)
        self.nodes[node.id] = node
        self._serve(node)
        return node

    def stop(self) -> None:
        self.stopped.set()
        for node in self.nodes.values():
            node.close()

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes.values()]

    @property
    def changes(self) -> list[tuple[str, str, Any]]:
        """Calls that would change something."""
        return [call for call in self.calls if call[0] != "GET"]

    def elect(self, node_id: str | None) -> None:
        self.leader = node_id
        self.term += 1
        self.sends_to = {member: address for member, (address, _voter) in self.members.items()}

    def heard(self, node: FakeNode) -> bool:
        return self.leader is not None and self.sends_to.get(node.id) == node.listens

    def status(self, node: FakeNode) -> dict[str, Any]:
        leads = node.id == self.leader
        if node.stalled:
            return self._led_before(node)
        if leads or (self.heard(node) and node.pending == 0):
            node.applied = self.commit
        node.pending = max(0, node.pending - 1)
        heard = leads or self.heard(node)
        state = "Leader" if leads else "Follower" if heard else "Candidate"
        return {
            "state": state,
            "leader": self.nodes[self.leader].listens if heard and self.leader else "",
            "is_leader": leads,
            "members": self.member_list(),
            "member_count": len(self.members),
            "health": None,
            "raft_stats": {
                "state": state,
                "term": str(self.term if heard else self.term + 1),
                "last_log_index": str(node.applied),
                "commit_index": str(self.commit if leads else node.applied),
                "applied_index": str(node.applied),
                "last_snapshot_index": "0",
                "last_contact": "0" if leads else "12.5ms" if heard else "never",
                "num_peers": str(len(self.members) - 1),
            },
        }

    def _led_before(self, node: FakeNode) -> dict[str, Any]:
        """As a leader answers that has not noticed the next one, its own disk or network being away."""
        leader, term, self.leader, self.term, node.stalled = self.leader, self.term, node.id, self.term - 1, False
        try:
            return self.status(node)
        finally:
            self.leader, self.term, node.stalled = leader, term, True

    def member_list(self) -> list[dict[str, Any]]:
        return [{"ID": member, "Address": address, "Voter": voter} for member, (address, voter) in self.members.items()]

    def handle(self, node: FakeNode, method: str, path: str, raw: bytes) -> tuple[int, Any]:
        """One request, as the daemon answers it."""
        is_json = bool(raw) and not path.endswith("/restore")
        body = json.loads(raw) if is_json else None
        self.calls.append((method, path, body))
        path = path.removeprefix("/api/v1/raft/")
        if method == "GET" and path == "status":
            return 200, self.status(node)
        if method == "GET" and path == "members":
            return 200, {"members": self.member_list(), "total": len(self.members)}
        if method == "GET" and path == "leader":
            address = self.nodes[self.leader].listens if self.leader else ""
            return 200, {"leader": address, "is_leader": node.id == self.leader}
        if method != "GET" and self.before_change:
            answer = self.before_change(node, method, path)
            if answer:
                return answer
        optional = path.split("/")[0] in ("capabilities", "snapshot", "restore", "read-only") or path.endswith(
            "transfer"
        )
        if optional and self.profile == "upstream":
            return 404, {"error": "not found"}
        if path == "capabilities":
            return 200, {"capabilities": FULL}
        if path == "read-only":
            if method == "PUT":
                node.read_only = bool(body and body["enabled"])
            return 200, {"enabled": node.read_only}
        if node.id != self.leader:
            address = self.nodes[self.leader].listens if self.leader else ""
            return (403, {"error": "not the leader", "leader": address}) if address else (503, {"error": "no leader"})
        return self._change(method, path, body, raw)

    def _change(self, method: str, path: str, body: Any, raw: bytes) -> tuple[int, Any]:
        self.commit += 1
        if method == "POST" and path == "members":
            known = self.members.get(body["node_id"])
            # AddVoter on any member gives the vote; AddNonvoter never takes one away.
            voter = self.profile == "upstream" or body.get("voter", True) or bool(known and known[1])
            self.members[body["node_id"]] = (body["address"], voter)
            self.sends_to.setdefault(body["node_id"], body["address"])
            return 201, {"message": "added"}
        if method == "DELETE":
            node_id = path.removeprefix("members/")
            self.members.pop(node_id, None)
            self.sends_to.pop(node_id, None)
            return 204, None
        if path == "leader/transfer":
            self.elect(body["target_id"])
            return 200, {}
        if path == "restore":
            self.restored = raw
            self.commit += 2
            return 200, {}
        return 404, {"error": "not found"}

    def _serve(self, node: FakeNode) -> None:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                cluster.sources.append(self.client_address[0])
                if node.hangs:
                    cluster.stopped.wait()
                # As with every HTTP server, a body that ends too soon is none.
                if not node.alive or len(raw) < length:
                    self.close_connection = True
                    return
                if cluster.token and self.headers.get("Authorization") != f"Bearer {cluster.token}":
                    status, body = 401, {"error": "token wanted"}
                elif node.error:
                    status, body = node.error, {"error": "database is locked"}
                else:
                    status, body = cluster.handle(node, self.command, self.path, raw)
                text = json.dumps(body).encode() if body is not None else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_args: Any) -> None:
                pass

        node.server = ThreadingHTTPServer((node.host, 0), Handler)
        node.url = f"http://{node.host}:{node.server.server_address[1]}"
        threading.Thread(target=node.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

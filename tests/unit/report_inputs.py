# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A migration of three Pis as it is written down: what the tests of status and report start from."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

BEGAN = 1_790_000_000.0
NAMES = ("pi-1", "pi-2", "pi-3")
# (phase, begun, finished) in seconds after the beginning.
TIMES = (
    ("prepare", 0, 22),
    ("transfer", 23, 49),
    ("validate", 50, 56),
    ("cutover", 57, 68),
    ("systemd_shutdown", 69, 76),
    ("port_migration", 77, 128),
    ("cleanup", 129, 133),
)
CONFIG: dict[str, Any] = {
    "temporary_ports": {"raft": 9092, "grpc": 9093, "rest": 8082},
    "standard_ports": {"raft": 9091, "grpc": 9090, "rest": 8080},
    "timeouts_seconds": {
        "snapshot_timeout": 30,
        "transfer_timeout": 120,
        "cutover_timeout": 120,
        "phase_timeout": 600,
        "quorum_lost_after": 2,
    },
    "backup_path": "/var/backups/pi-controller-migration",
    "temporary_env": {"PI_CONTROLLER_GPIO_ENABLED": "false", "PI_CONTROLLER_AUTH_TOKEN": "hunter2"},
}


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(BEGAN + seconds, timezone.utc).isoformat(timespec="seconds")


def address(name: str) -> str:
    return f"10.77.0.{10 + int(name[-1])}"


def journal(until: str = "cleanup", failed: str | None = None, rolled_back: bool = False) -> dict[str, Any]:
    """The journal of one Pi whose phases up to `until` are done; `failed` names one that stopped."""
    phases: dict[str, Any] = {}
    for phase, began, finished in TIMES:
        state = "failed" if phase == failed else "rolled_back" if rolled_back else "done"
        facts: dict[str, Any] = {}
        if phase == "cutover" and not failed:
            facts = {"opening": True, "fence": "read-only", "carried_by": "api", "fenced_at": str(BEGAN + 60.2), "write_pause_seconds": "0.842",
                     "content_digest": "sha256:5f0c1d"}  # fmt: skip
        if phase == failed:
            facts = {"task": "Flip | Redirect each Pi to its pod", "message": "iptables-restore failed with 1"}
        phases[phase] = {"state": state, "started": iso(began), "finished": iso(finished), "facts": facts}
        if phase in (until, failed):
            break
    events = [{"at": entry["started"], "phase": phase, "state": "started"} for phase, entry in phases.items()]
    return {"format": 1, "migration_id": "m1", "phases": phases, "events": events}


def raft_status(name: str, leader: str, port: int, term: int) -> dict[str, Any]:
    role = "Leader" if name == leader else "Follower"
    stats = {"state": role, "term": str(term), "last_log_index": "612", "commit_index": "612", "applied_index": "612" if name != "pi-3" else "610",
             "last_contact": "0" if role == "Leader" else "31.2ms"}  # fmt: skip
    return {
        "state": role,
        "is_leader": name == leader,
        "leader": f"{address(leader)}:{port}",
        "members": [{"ID": name, "Address": f"{address(name)}:{port}", "Voter": True} for name in NAMES],
        "raft_stats": stats,
    }


def daemon(name: str, rest: int, raft: int, held_by: str | None, leader: str = "pi-1", term: int = 2) -> dict[str, Any]:
    answers = held_by in ("unit", "pod")
    return {
        "url": f"http://{address(name)}:{rest}",
        "held_by": held_by,
        "answers": answers,
        "error": None if answers else "did not answer",
        "latency_ms": 2.4,
        "status": raft_status(name, leader, raft, term) if answers else None,
    }


def host(
    name: str,
    standard: str | None = "unit",
    temporary: str | None = None,
    gate: str = "open",
    forward_to: str | None = None,
    written: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What migration_host_info returns of a Pi, with its address."""
    listeners = {}
    daemons = []
    for port, raft, held in ((8080, 9091, standard), (8082, 9092, temporary)):
        if held:
            listeners[str(port)] = {"held_by": held, "pid": 400 + port, "command": "pi-controller"}
        leader, term = ("pi-1", 2) if held == "unit" else ("pi-2", 4)
        daemons.append(daemon(name, port, raft, held, leader, term))
    members = [
        {"id": name, "address": f"{address(name)}:9091", "voter": True, "role": "leader" if name == "pi-1" else "follower", "term": 2,
         "last_index": 205, "applied_index": 205, "lag": 0}
        for name in NAMES
    ]  # fmt: skip
    unit = {"load": "loaded", "active": "active", "enabled": "enabled", "pid": 400, "restarts": 0}
    if standard != "unit":
        unit = {"load": "masked", "active": "inactive", "enabled": "masked", "pid": None, "restarts": 0}
    return {
        "address": address(name),
        "clock": BEGAN + 140,
        "journal": written,
        "manifest": {
            "members": members,
            "database": {"sha256": "ab" * 32, "digest": "cd" * 32, "tables": {"nodes": 25, "gpio": 25}},
            "snapshot": {"index": 205, "sha256": "ef" * 32} if name == "pi-1" else {},
        },
        "gate": {"state": gate, "forward_to": forward_to},
        "listeners": listeners,
        "daemons": daemons,
        "unit": unit,
        "backups": [{"path": "/var/backups/pi-controller-migration/prepare/pi-controller.db", "phase": "prepare", "bytes": 86016,
                     "at": BEGAN + 20, "age_seconds": 120.0}],
        "paths": {},
        "versions": {"os": "Debian GNU/Linux 12", "kernel": "6.1.0", "machine": "aarch64", "python": "3.11.2"},
        "faults": [],
    }  # fmt: skip


def kube(port: int = 8080, lock: dict[str, Any] | None = None, mode: str = "endpoints") -> dict[str, Any]:
    return {
        "service": {"mode": mode, "cluster_ip": "10.96.7.9", "selector": None, "ports": {"rest": 8080},
                    "endpoints": [{"ip": address(name), "ports": {"grpc": 9090, "rest": port}} for name in NAMES]},
        "pods": [{"node": name, "pod": f"pi-controller-{index}x7", "ready": True, "restarts": 0, "images": ["pi-controller:lab"]}
                 for index, name in enumerate(NAMES)],
        "lock": lock,
        "versions": {"kubernetes": "v1.35.2+k3s1", "nodes": {}},
        "faults": [],
    }  # fmt: skip


def migrated() -> dict[str, dict[str, Any]]:
    return {name: host(name, standard="pod", written=journal()) for name in NAMES}


def sample(
    at: float, cluster: str, leader: str | None, term: int, silent: str | None = None, quorum: bool = True
) -> dict[str, Any]:
    wave = abs(math.sin(at * 0.7))
    port = 9091 if cluster == "old" else 9092
    members = {
        f"{address(name)}:{port}": {
            "answers": name != silent,
            "latency_ms": None
            if name == silent
            else round(1.6 + 3 * wave + index * 0.4 + (38 if 57 < at < 63 else 0), 2),
            "state": "leader" if name == leader else "follower",
            "term": term,
        }
        for index, name in enumerate(NAMES)
    }
    return {"at": BEGAN + at, "cluster": cluster, "quorum": quorum, "leader": leader, "leader_address": None, "term": term, "voters": 3,
            "answering": 3 - bool(silent), "members": members}  # fmt: skip


def unseen(at: float, cluster: str) -> dict[str, Any]:
    """A look at a cluster behind the gate."""
    return {"at": BEGAN + at, "cluster": cluster, "watched": False, "why": "the gate routes clients to the pods", "quorum": None, "leader": None,
            "leader_address": None, "term": None, "voters": 0, "answering": 0, "members": {}}  # fmt: skip


def samples(leaderless: float = 0.0) -> list[dict[str, Any]]:
    """Two looks a second; pi-2 hands leadership over at 111 s, and one pod at a time is away while ports move.

    `leaderless` seconds pass before the new leader leads.
    """
    found = [sample(tick / 2, "old", "pi-1", 2) for tick in range(0, 124)]
    found += [unseen(tick / 2, "old") for tick in range(124, 138)]
    for tick in range(80, 270):
        at = tick / 2
        silent = next(
            (name for name, away in (("pi-1", 84), ("pi-3", 101), ("pi-2", 113)) if away <= at < away + 3), None
        )
        leader, term = ("pi-2", 4) if at < 111 else (None, 5) if at < 111 + leaderless else ("pi-1", 5)
        found.append(sample(at, "new", leader, term, silent, quorum=leader is not None))
    return found


def alert(
    at: float = 111.0, ended: float | None = 112.0, message: str = "the cluster of pods has no leader"
) -> list[dict[str, Any]]:
    one = {
        "at": BEGAN + at,
        "kind": "leader_lost",
        "cluster": "new",
        "phase": "port_migration",
        "message": message,
        "began": BEGAN + at,
        "ended": None,
    }
    return [one, {**one, "at": BEGAN + (ended or at), "ended": BEGAN + ended if ended else None}]


def witness_lines() -> list[dict[str, Any]]:
    """A witness's history of the same run: ten reads and three writes a second; writes wait for 0.8 s in the cutover, two reads fail."""
    found: list[dict[str, Any]] = [
        {"kind": "header", "format": 1, "run": "w1", "wall": BEGAN, "monotonic": 1000.0, "routes": []}
    ]
    for tick in range(0, 1330):
        at = tick / 10
        took = 0.0024 + 0.002 * abs(math.sin(tick * 1.3)) + (0.03 if 57 < at < 68 or 84 < at < 120 else 0)
        failed = tick in (1131, 1132)
        found.append({"kind": "operation", "client": "r", "route": "service", "target": "", "op": "read-list", "table": "nodes", "start": 1000 + at,
                      "end": 1000 + at + took, "outcome": "fail" if failed else "ok", "error": "connect: refused" if failed else ""})  # fmt: skip
        if tick % 3 == 0:
            waits = 61.0 - at if 60.2 <= at < 61.0 else 0.0
            found.append({"kind": "operation", "client": "w", "route": "pi-1", "target": "", "op": "create", "table": "nodes", "start": 1000 + at,
                          "end": 1000 + at + took * 1.6 + waits, "outcome": "ok", "error": ""})  # fmt: skip
    return found


def verdict(failed_reads: int = 2) -> dict[str, Any]:
    gap = {"seconds": 0.31, "from": "2026-09-21T14:14:33.100Z", "to": "2026-09-21T14:14:33.410Z", "open": False}
    reads = {"count": 1330, "outcomes": {"ok": 1330 - failed_reads, "fail": failed_reads}, "latency_ms": {"p50": 3.74, "p99": 34.48, "max": 35.11},
             "longest_gap": gap}  # fmt: skip
    findings = [
        {"kind": "failed_read", "text": "read-list of nodes at 10.96.7.9:8080 failed: connection refused", "route": "service", "client": "r",
         "at": f"2026-09-21T14:15:13.{number}00Z"}
        for number in range(failed_reads)
    ]  # fmt: skip
    return {
        "ok": not findings,
        "findings": findings,
        "figures": {
            "reads": {**reads, "routes": {"service": reads, "pi-1": {**reads, "outcomes": {"ok": 1330}}}},
            "writes": {
                "count": 444,
                "outcomes": {"ok": 444},
                "latency_ms": {"p50": 5.2, "p99": 51.0, "max": 806.0},
                "longest_gap": gap,
            },
            "write_pause": {**gap, "seconds": 0.806, "attempts_refused_within": 3},
        },
    }


def rolling(done: int, until: str = "cutover", state: str = "started") -> dict[str, dict[str, Any]]:
    """A migration Pi by Pi whose last phase is in `state`: the first `done` Pis have their pod, all are members of one cluster."""
    hosts = {}
    for number, name in enumerate(NAMES):
        written = {**journal(until), "strategy": "rolling"}
        written["phases"] = {
            phase: entry
            for phase, entry in written["phases"].items()
            if phase not in ("systemd_shutdown", "port_migration")
        }
        written["phases"][until]["state"] = state
        turn = {"turn": "done", "away_from": BEGAN + 62, "away_seconds": 1.2 + number} if number < done else {}
        written["phases"]["cutover"]["facts"] = turn
        held_by = "pod" if number < done else "unit"
        hosts[name] = {**host(name, standard=held_by, written=written), "daemons": [daemon(name, 8080, 9091, held_by)]}
    return hosts

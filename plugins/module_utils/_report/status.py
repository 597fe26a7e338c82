# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status of a migration, put together from what each Pi and Kubernetes report. Pure: nothing is asked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from .._core import commands
from .._core.addresses import normal, with_port
from .._core.failures import MigrationError
from .._core.journal import PARALLEL, ROLLBACK, STRATEGIES, strategy_of
from .._daemon.drivers import daemon_at, read_report
from .._daemon.interface import Daemon, Unreadable
from .._raft.cluster import Answer, assemble

FORMAT = 1
# The Pi has asked; here the daemon is only known by its address.
ASKED_NO_MORE = 0.0
# The mode of a Service that does not exist.
ABSENT = "absent"
# As in the Lease itself (seconds), which is read where the Kubernetes client is; the status is not.
MAX_SKEW, MAX_DURATION = 600.0, 3600
TAGS = {"systemd_shutdown": "complete", "port_migration": "complete", "cleanup": "complete"}

Info = Mapping  # Mapping[str, Any], but Python 3.9 evaluates aliases


def phase_of(states: list[str]) -> str:
    """One state of a phase from those of all Pis."""
    known = set(states)
    for state in ("failed", "started", "rolled_back"):
        if state in known:
            return state
    if known == {"done"}:
        return "done"
    return "started" if "done" in known else "pending"


def differing(phase: Info) -> list[str]:
    """`["pi-2 pending"]`: the Pis on which a phase is in another state than the whole."""
    return [f"{host} {state}" for host, state in phase["hosts"].items() if state != phase["state"]]


def strategy(hosts: Mapping[str, Info], configured: str = PARALLEL) -> str:
    """How the migration goes: as the journals say where one has begun, else as configured."""
    journals = [info.get("journal") for info in hosts.values() if _seen(info)]
    return next((strategy_of(journal) for journal in journals if journal and journal.get("phases")), configured)


def phases(hosts: Mapping[str, Info], configured: str = PARALLEL) -> dict[str, dict[str, Any]]:
    """Every phase of the strategy: its state, the state on each Pi, and when it was begun and finished."""
    journals = {name: (info.get("journal") or {}).get("phases") or {} for name, info in hosts.items() if _seen(info)}
    result = {}
    for phase in (*STRATEGIES[strategy(hosts, configured)], ROLLBACK):
        entries = {name: journal[phase] for name, journal in journals.items() if phase in journal}
        if phase == ROLLBACK and not entries:
            continue
        began = [entry["started"] for entry in entries.values() if entry.get("started")]
        ended = [entry["finished"] for entry in entries.values() if entry.get("finished")]
        state = phase_of([entries[name]["state"] if name in entries else "pending" for name in journals])
        failures = [entry.get("facts") or {} for entry in entries.values() if entry.get("state") == "failed"]
        result[phase] = {
            "state": state,
            "hosts": {name: entries[name]["state"] if name in entries else "pending" for name in journals},
            "started": min(began) if began else None,
            "finished": max(ended) if ended and state not in ("started", "pending") else None,
            "task": next((facts["task"] for facts in failures if facts.get("task")), None),
            "message": next((facts["message"] for facts in failures if facts.get("message")), None),
        }
    return result


def cluster(hosts: Mapping[str, Info], held_by: str, one_cluster: bool = False) -> dict[str, Any]:
    """The Raft cluster of all daemons that run under the unit, or of all that run in pods.

    With `one_cluster` both are members of the same one, and it is this one's if any of them is `held_by` it.
    """
    answers, homes = [], {}
    found = [(name, daemon) for name, info in hosts.items() if _seen(info) for daemon in info.get("daemons") or []]
    own = [(name, daemon) for name, daemon in found if daemon["held_by"] == held_by]
    if own:
        for name, daemon in found if one_cluster else own:
            client = daemon_at(daemon["url"], {}, ASKED_NO_MORE)
            homes[client.url] = (name, daemon)
            answers.append(_answer(client, daemon["status"]))
    view = assemble(tuple(answers))
    members = [
        {**member.as_dict(view.leader), "host": homes[member.url][0] if member.url in homes else None}
        for member in view.members
    ]
    return {
        "exists": bool(answers),
        "leader": view.leader.id if view.leader else None,
        "leader_address": view.leader.address if view.leader else None,
        "term": view.term,
        "quorate": view.quorate,
        "members": sorted(members, key=lambda member: member["id"]),
        "answering": sum(answer.status is not None for answer in answers),
    }


def _answer(client: Daemon, status: Any) -> Answer:
    """What a Pi has passed on of its daemon. A Pi that passes on nonsense leaves that member unreadable, not the view."""
    try:
        return Answer(client, read_report(status) if status else None)
    except Unreadable as error:
        return Answer(
            client, error=MigrationError(f"{client.url} gave an unreadable answer: {error}", url=client.url, status=200)
        )


def way(name: str, hosts: Mapping[str, Info], config: Info, port: int | None = None, hops: int = 0) -> str:
    """Which daemon a client reaches that uses this Pi's standard port (or this `port`) from another machine."""
    info = hosts.get(name) or {}
    if not _seen(info):
        return "unknown"
    standard, temporary = config["standard_ports"]["rest"], config["temporary_ports"]["rest"]
    gate = info["gate"]
    if port in (None, standard):
        if gate["state"] == "redirected":
            port = temporary
        elif gate["state"] in ("fenced", "mixed", "unknown"):
            return "nothing" if gate["state"] == "fenced" else gate["state"]
        elif gate["state"] == "forwarded":
            other = next((name for name, its in hosts.items() if its.get("address") == gate["forward_to"]), None)
            if other is None or hops > len(hosts):
                return f"forwarded to {gate['forward_to']}"
            return way(other, hosts, config, None, hops + 1)
    held = (info["listeners"].get(str(port or standard)) or {}).get("held_by")
    return f"{held} on {name}" if held else "nothing"


def _rest_port(ports: Mapping[str, Any], config: Info) -> Any:
    """The REST port among an endpoint's, found by number: the owner names the Service's ports."""
    known = {str(config[kind]["rest"]) for kind in ("standard_ports", "temporary_ports")}
    rest = [number for number in ports.values() if known & set(str(number).split(","))]
    return next(iter([*rest, *ports.values()]), None)


def traffic(hosts: Mapping[str, Info], kube: Info, config: Info) -> dict[str, Any]:
    """Where clients of the Service and of each Pi's own address end up."""
    service = kube.get("service") or {"mode": "unknown", "endpoints": []}
    by_address = {normal(str(info.get("address"))): name for name, info in hosts.items()}
    routes_to = []
    for endpoint in service["endpoints"]:
        port = _rest_port(endpoint["ports"], config)
        name = by_address.get(normal(endpoint["ip"]))
        reached = way(name, hosts, config, int(str(port).split(",", maxsplit=1)[0])) if name and port else "unknown"
        routes_to.append({"endpoint": with_port(endpoint["ip"], port), "reaches": reached})
    per_host: dict[str, dict[str, Any]] = {}
    for name, info in hosts.items():
        seen = _seen(info)
        per_host[name] = {
            "address": info.get("address"),
            "gate": info["gate"]["state"] if seen else "unknown",
            "forward_to": info["gate"]["forward_to"] if seen else None,
            "reaches": way(name, hosts, config),
            "unit": f"{info['unit']['active']}, {info['unit']['enabled']}" if seen else "unknown",
            "standard_port": _holder(info, config["standard_ports"]["rest"]),
            "temporary_port": _holder(info, config["temporary_ports"]["rest"]),
        }
    clients = _clients(per_host, routes_to, service["mode"])
    return {
        "served_by": _served_by(clients),
        "clients": clients,
        "service": {"mode": service["mode"], "routes_to": routes_to},
        "hosts": per_host,
    }


def _clients(per_host: Mapping[str, Info], routes_to: Sequence[Info], mode: str) -> dict[str, list[str]]:
    """Whose clients end up where. The Service is named where its clients reach something else than those of the Pis."""
    found: dict[str, list[str]] = {side: [] for side in ("systemd", "pods", "other", "nothing", "unknown")}
    for name, host in per_host.items():
        found[_side(host["reaches"])].append(name)
    if mode == "unknown":
        found["unknown"].append("the Service")
    elif mode != ABSENT and not routes_to:
        found["nothing"].append("the Service")
    # A target that is unknown is at a Pi that was not seen, or at an address that no Pi is known by.
    for side in {_side(target["reaches"]) for target in routes_to} - {"unknown"}:
        if not found[side]:
            found[side].append("the Service")
    return found


def _side(reaches: str) -> str:
    """`unit on pi-1` is `systemd`; `forwarded to …` and a listener that is neither unit nor pod are `other`."""
    first = reaches.split(" ")[0]
    sides = {"unit": "systemd", "pod": "pods", "nothing": "nothing", "unknown": "unknown"}
    return sides.get(first, "other")


def _served_by(clients: Mapping[str, Sequence[str]]) -> str:
    """What serves, whether or not it serves all."""
    if clients["other"] or (clients["systemd"] and clients["pods"]):
        return "mixed"
    return next((side for side in ("systemd", "pods", "nothing") if clients[side]), "unknown")


def owner(kube: Info, now: float) -> dict[str, Any] | None:
    """Who holds the lock of the migration, and whether that is still good; None where no run does."""
    lock = kube.get("lock")
    if not lock:
        return None
    renewed = moment(lock["renewed"])
    age = None if renewed is None else round(max(0.0, now - renewed), 1)
    expired = age is not None and lock["duration_seconds"] is not None and age > lock["duration_seconds"]
    # See Held.expired: a time that no living owner has written holds nothing.
    expired = expired or (
        renewed is not None and (renewed - now > MAX_SKEW or (lock["duration_seconds"] or 0) > MAX_DURATION)
    )
    return {**lock, "renewed_seconds_ago": age, "expired": expired}


def moment(text: str | None) -> float | None:
    """Epoch seconds of an ISO time as Kubernetes and the journal write it."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()


def newest_backups(hosts: Mapping[str, Info]) -> dict[str, Any]:
    """The newest database backup of each Pi, and the age of the oldest of these."""
    found = {}
    for name, info in hosts.items():
        databases = (
            [backup for backup in info.get("backups") or [] if backup["path"].endswith(".db")] if _seen(info) else []
        )
        found[name] = databases[-1] if databases else None
    ages = [backup["age_seconds"] for backup in found.values() if backup]
    return {"hosts": found, "oldest_age_seconds": max(ages) if ages else None}


def overall(states: Mapping[str, Info], held: Info | None, lock_read: bool) -> tuple[str, str | None]:
    """The state of the whole migration in one word, and the phase it is in. `started` where a run may be at work or not."""
    order = [phase for phase in states if phase != ROLLBACK]
    current = next((phase for phase in order if states[phase]["state"] != "done"), None)
    back = states.get(ROLLBACK, {}).get("state")
    running = held is not None and not held["expired"]
    if back in ("started", "failed"):
        if not lock_read:
            return "started", ROLLBACK
        return ("rolling_back" if running else "rollback_unfinished"), ROLLBACK
    if current is None:
        return "migrated", None
    state = states[current]["state"]
    if state == "failed":
        return "failed", current
    if state == "started" and not lock_read:
        return "started", current
    if state == "started":
        return ("running" if running else "interrupted"), current
    if "rolled_back" in {states[phase]["state"] for phase in order}:
        return "rolled_back", current
    if all(states[phase]["state"] == "pending" for phase in order):
        return "not_started", current
    if not lock_read:
        return "started", current
    return ("running" if running else "paused"), current


def next_step(state: str, phase: str | None, held: Info | None, unseen: Sequence[str] = ()) -> dict[str, Any]:
    """The command that continues, the one that rolls back, and why."""
    tag = TAGS.get(phase or "", phase or "")
    going = commands.play("migrate", "--tags", tag, *([commands.CONFIRM] if phase == "cutover" else []))
    start, way_back = commands.MIGRATE, commands.ROLLBACK
    if state in ("running", "rolling_back"):
        holder = held["holder"] if held else "another run"
        return {"command": None, "back": None, "why": f"{holder} holds the lock; wait until that run ends"}
    table: dict[str, tuple[str | None, str | None, str]] = {
        "unknown": (None, None, "no Pi answers, so the state of the migration is unknown"),
        "started": (
            None,
            None,
            "Kubernetes did not say whether a run holds the lock, so one may be at work; look again once it answers",
        ),
        "migrated": (None, way_back, "the migration is complete"),
        "not_started": (start, None, "nothing has been changed yet"),
        "rolled_back": (start, None, "the systemd cluster serves; a new run starts over"),
        "rollback_unfinished": (way_back, None, "the rollback did not finish; finish it first"),
        "paused": (going, way_back, "the last phase is done; the next one has not begun"),
        "failed": (going, way_back, "fix the cause, then the phase starts over; or roll back"),
        "interrupted": (going, way_back, "a run was interrupted; the same command finishes the phase, or roll back"),
    }
    command, back, why = table[state]
    if unseen and state != "unknown":
        why += f"; {', '.join(unseen)} did not answer, so bring that back first"
    return {"command": command, "back": back, "why": why}


def assemble_status(hosts: Mapping[str, Info], kube: Info, config: Info, now: float) -> dict[str, Any]:
    """The whole status. A host is what migration_host_info returned plus its `address`; one not seen has `error`."""
    going = strategy(hosts, config.get("strategy", PARALLEL))
    states = phases(hosts, going)
    held, lock_read = owner(kube, now), bool(kube.get("lock_read", "lock" in kube))
    state, phase = overall(states, held, lock_read)
    unseen = [name for name, info in hosts.items() if not _seen(info)]
    if len(unseen) == len(hosts):
        # Journals that could not be read are no sign that nothing has begun.
        state, phase = "unknown", None
    if state == "not_started" and any(_came_back(info) for info in hosts.values()):
        state = "rolled_back"
    events = sorted(
        (
            {**event, "host": name}
            for name, info in hosts.items()
            for event in (info.get("journal") or {}).get("events") or []
        ),
        key=lambda event: event["at"],
    )
    clocks = [float(info["clock"] - now) for info in hosts.values() if _seen(info)]
    furthest: float = max(clocks, key=abs, default=0.0)
    faults = [f"{name}: {info['error']}" for name, info in hosts.items() if not _seen(info)]
    faults += [f"{name}: {fault}" for name, info in hosts.items() for fault in info.get("faults") or []]
    faults += [f"Kubernetes: {fault}" for fault in kube.get("faults") or []]
    return {
        "format": FORMAT,
        "at": datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="seconds"),
        "state": state,
        "strategy": going,
        "phase": phase,
        "step": states[phase]["task"] if phase and phase in states else None,
        "message": states[phase]["message"] if phase and phase in states else None,
        "last_event": events[-1] if events else None,
        "owner": held,
        "owner_known": lock_read,
        "phases": states,
        "clusters": {
            name: cluster(hosts, held_by, going != PARALLEL) for name, held_by in (("old", "unit"), ("new", "pod"))
        },
        "pods": kube.get("pods") or [],
        "traffic": traffic(hosts, kube, config),
        "backups": newest_backups(hosts),
        "not_seen": unseen,
        "clock_difference_seconds": round(furthest, 1) if clocks else None,
        "next": next_step(state, phase, held, unseen),
        "faults": faults,
    }


def _came_back(info: Info) -> bool:
    """Whether the last migration ended with a rollback; its journal is put aside then."""
    return (((info.get("last_journal") or {}).get("phases") or {}).get(ROLLBACK) or {}).get("state") == "done"


def _seen(info: Info) -> bool:
    return not info.get("error") and "gate" in info


def _holder(info: Info, port: int) -> str | None:
    """What holds a port; None where nothing does."""
    return (info["listeners"].get(str(port)) or {}).get("held_by") if _seen(info) else "unknown"

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One sample of one cluster, from what its members answered last. Pure: no request is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core.failures import MigrationError
from .._daemon.interface import Daemon, NodeStatus
from .._raft.cluster import (
    FRESH_CONTACT,
    Answer,
    ClusterView,
    Leader,
    MemberView,
    assemble,
    host_of,
    same_host,
    speaks_for_itself,
)
from .plan import GATED, MOVING, Expectation


@dataclass(frozen=True)
class Reading:
    """How one attempt to ask a URL ended. `at` is when it ended."""

    client: Daemon
    at: float
    status: NodeStatus | None = None
    latency: float | None = None
    # It answered 429, and nothing else before: it can be reached, and its state is not known.
    limited: bool = False

    @property
    def reachable(self) -> bool:
        return self.status is not None or self.limited


@dataclass(frozen=True)
class Sample:
    """One look at one cluster. Where it is not `watched`, our own gate hides it, and `why` says so."""

    at: float
    cluster: str
    watched: bool = True
    why: str | None = None
    quorum: bool = False
    leader: str | None = None
    leader_address: str | None = None
    # When the leader was last known to be at work: its own answer, or in GATED its followers' word.
    leader_at: float | None = None
    term: int | None = None
    last_index: int | None = None
    commit_index: int | None = None
    voters: int = 0
    # Whether any of those that were asked has answered.
    heard: bool = True
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def answering(self) -> int:
        """How many of the voters do."""
        return sum(bool(member["answers"] and member["voter"]) for member in self.members.values())

    def answers_of(self, host: str) -> bool:
        return any(member["answers"] for address, member in self.members.items() if host_of(address) == host)

    def record(self) -> dict[str, Any]:
        return {
            "at": round(self.at, 3),
            "cluster": self.cluster,
            "watched": self.watched,
            "why": self.why,
            "quorum": self.quorum if self.watched else None,
            "leader": self.leader,
            "leader_address": self.leader_address,
            "term": self.term,
            "voters": self.voters,
            "answering": self.answering,
            "members": self.members,
        }


def take(
    at: float, cluster: str, expectation: Expectation, readings: list[Reading], known: tuple[MemberView, ...] = ()
) -> tuple[Sample, tuple[MemberView, ...]]:
    """The sample, and the members to give to the next one as `known`, for when no member lists them."""
    latencies = {reading.client.url: reading for reading in readings}
    own, why = _own_words(expectation, readings)
    if why:
        return Sample(at, cluster, watched=False, why=why), known
    view = assemble(tuple(_answer(reading) for reading in own))
    members = view.members or tuple(MemberView(member.member, member.url, None) for member in known)
    if expectation.mode == MOVING and not _others_can_decide(members, expectation.replaced):
        return Sample(
            at, cluster, watched=False, why="without the Pi that is being replaced there is no majority"
        ), members
    leader_at, agreeing = _at_work(view, expectation, latencies, at)
    voters = [voter for voter in members if voter.member.voter]
    if leader_at is not None and view.leader and view.leader.client is None:
        # The gate hides the leader, or it limits how often it is asked; its followers speak for it.
        agreeing += 1
    if view.leader is not None:
        agreeing += _limited_followers(voters, view.leader, own)
    return (
        Sample(
            at,
            cluster,
            quorum=agreeing * 2 > len(voters) if voters else False,
            leader=view.leader.id if view.leader else None,
            leader_address=view.leader.address if view.leader else None,
            leader_at=leader_at,
            term=view.term,
            last_index=_of_leader(view, "last_index"),
            commit_index=_of_leader(view, "commit_index"),
            voters=len(voters),
            heard=any(reading.reachable for reading in readings),
            members={member.member.address: _member(member, latencies, own) for member in members},
        ),
        members,
    )


def undecided(readings: list[Reading], known: tuple[MemberView, ...]) -> bool:
    """Whether no member has reported its state, and those that answer 429 may be a majority: there is nothing to judge by."""
    if any(reading.status is not None for reading in readings):
        return False
    voters = [voter for voter in known if voter.member.voter]
    if not voters:
        return any(reading.limited for reading in readings)
    return sum(_is_limited(voter, readings) for voter in voters) * 2 > len(voters)


def _is_limited(view: MemberView, readings: list[Reading]) -> bool:
    """Whether the member answers 429, at any of its host's URLs, and nothing else."""
    host = host_of(view.member.address)
    return view.status is None and any(reading.limited and same_host(reading.client.host, host) for reading in readings)


def _limited_followers(voters: list[MemberView], leader: Leader, readings: list[Reading]) -> int:
    """Voters that can be reached and cannot be asked whom they follow. As with an earlier answer, 429 is no sign of trouble."""
    return sum(voter.member.address != leader.address and _is_limited(voter, readings) for voter in voters)


def _answer(reading: Reading) -> Answer:
    if reading.status is not None:
        return Answer(reading.client, status=reading.status)
    return Answer(reading.client, error=MigrationError("did not answer", url=reading.client.url))


def _own_words(expectation: Expectation, readings: list[Reading]) -> tuple[list[Reading], str | None]:
    """The readings that tell of the member they were asked of; or why the cluster cannot be seen from here."""
    if expectation.mode == MOVING:
        return [reading for reading in readings if reading.client.url not in expectation.routed_away], None
    if expectation.mode != GATED:
        return readings, None
    if any(reading.status and _foreign(reading.status, expectation.foreign_port) for reading in readings):
        return [], "the gate routes clients to the pods, the units cannot be seen from here"
    if len(readings) == 1 and readings[0].status is None:
        return [], "the gate may hide the only unit"
    return [
        reading if not _is_neighbour(reading) else Reading(reading.client, reading.at) for reading in readings
    ], None


def _foreign(status: NodeStatus, port: int | None) -> bool:
    return port is not None and any(member.address.endswith(f":{port}") for member in status.members)


def _is_neighbour(reading: Reading) -> bool:
    """Whether it shows that another member answers than the one that was asked: the gate routes that one's port there."""
    return reading.status is not None and not speaks_for_itself(reading.client, reading.status)


def _others_can_decide(members: tuple[MemberView, ...], replaced: str | None) -> bool:
    voters = [voter for voter in members if voter.member.voter]
    if not voters or replaced is None:
        return True
    others = [voter for voter in voters if not same_host(host_of(voter.member.address), replaced)]
    return len(others) * 2 > len(voters)


def _at_work(
    view: ClusterView, expectation: Expectation, latencies: Mapping[str, Reading], at: float
) -> tuple[float | None, int]:
    """When the leader was last known to be at work, and how many voters follow it by their own word."""
    if view.leader is None:
        return None, 0
    leader = view.leader
    agreeing = [voter for voter in view.voters if voter.follows(leader)]
    if leader.client is not None:
        return latencies[leader.client.url].at, len(agreeing)
    home = host_of(leader.address)
    limited = [reading.at for reading in latencies.values() if reading.limited and same_host(reading.client.host, home)]
    if limited and expectation.mode != GATED:
        return max(limited), len(agreeing)
    hidden = expectation.mode == GATED or (
        expectation.mode == MOVING
        and (
            (expectation.replaced is not None and same_host(home, expectation.replaced))
            # An earlier run may have left it behind its gate.
            or any(_is_neighbour(reading) for reading in latencies.values() if same_host(reading.client.host, home))
        )
    )
    heard = [
        latencies[voter.url].at
        for voter in agreeing
        if voter.url
        and voter.status
        and voter.status.last_contact is not None
        and voter.status.last_contact < FRESH_CONTACT
    ]
    return (max(heard) if hidden and heard else None), len(agreeing)


def _of_leader(view: ClusterView, name: str) -> int | None:
    if view.leader is None or view.leader.client is None:
        return None
    statuses = [answer.status for answer in view.answers if answer.client is view.leader.client and answer.status]
    return getattr(statuses[0], name) if statuses else None


def _member(view: MemberView, latencies: Mapping[str, Reading], readings: list[Reading]) -> dict[str, Any]:
    status = view.status
    reading = latencies.get(view.url or "")
    latency = reading.latency if status is not None and reading else None
    return {
        "voter": view.member.voter,
        "answers": status is not None or _is_limited(view, readings),
        "latency_ms": round(latency * 1000, 1) if latency is not None else None,
        "state": status.role if status else None,
        "term": status.term if status else None,
        "last_log_index": status.last_index if status else None,
        "commit_index": status.commit_index if status else None,
        "applied_index": status.applied_index if status else None,
    }

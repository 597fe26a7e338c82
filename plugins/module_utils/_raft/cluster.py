# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at a whole cluster: who leads, who agrees, who has caught up."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .._core.addresses import without_port
from .._core.failures import MigrationError
from .._daemon.interface import Daemon, Member, NodeStatus

# A follower that has not heard its leader for the heartbeat timeout (1 s) is about to start an election.
FRESH_CONTACT = 1.0
LEADER_UNSEEN = "the leader's own URL does not answer, so how far it is cannot be seen"


@dataclass(frozen=True)
class Answer:
    """What one URL answered: a status, or the error instead."""

    client: Daemon
    status: NodeStatus | None = None
    error: MigrationError | None = None


@dataclass(frozen=True)
class Leader:
    """The one leader. `client` is None where the others know a leader whose own URL does not answer."""

    id: str | None
    address: str
    term: int | None
    commit_index: int | None = None
    client: Daemon | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, "address": self.address, "url": self.client.url if self.client else None}


@dataclass(frozen=True)
class MemberView:
    """A member of the configuration, with the answer of the URL on its host."""

    member: Member
    url: str | None
    status: NodeStatus | None
    # It answers, but not as a daemon does.
    unreadable: bool = False

    def follows(self, leader: Leader) -> bool:
        """Whether the node itself says that this is its leader, in this term."""
        return self.status is not None and self.status.leader == leader.address and self.status.term == leader.term

    def in_contact(self, leader: Leader) -> bool:
        """Whether the leader reaches it now: it sends to the address where the node really listens."""
        if self.status is None or not self.follows(leader):
            return False
        if self.status.is_leader:
            return True
        return self.status.last_contact is not None and self.status.last_contact < FRESH_CONTACT

    def why_behind(self, leader: Leader, target: int) -> str | None:
        """The member's name and why it does not count as caught up with the index `target`, or None when it has."""
        reason = self.reason_behind(leader, target)
        return None if reason is None else f"{self.member.id} ({self.member.address}): {reason}"

    def reason_behind(self, leader: Leader, target: int) -> str | None:
        """The same without the member's name."""
        if self.url is None:
            return "no URL given for its host"
        if self.status is None:
            return f"{self.url} {'gives no readable answer' if self.unreadable else 'does not answer'}"
        if not self.follows(leader):
            return (
                f"{self.status.role} in term {self.status.term} with leader {self.status.leader}, "
                f"wanted leader {leader.address} in term {leader.term}"
            )
        if not self.in_contact(leader):
            return f"last contact {self.status.last_contact} s ago, wanted under {FRESH_CONTACT} s"
        if self.status.applied_index is None or self.status.applied_index < target:
            return f"applied {self.status.applied_index}, wanted {target}"
        # A leader begins its term with an entry. One that was deposed while it restored has entries of its own in place of it, up to
        # any index, refuses all others, and has not the content of the rest.
        if None not in (self.status.last_term, leader.term) and self.status.last_term < leader.term:  # type: ignore[operator]
            return f"its log ends in term {self.status.last_term}, wanted {leader.term}"
        # A daemon that has just started gives its whole log to the state machine at once, and its index counts all of it from then
        # on. Its content was over a second old in the lab. The batch that is being applied is not reported.
        if self.status.fsm_pending:
            return f"{self.status.fsm_pending} batches of entries wait to be applied to its database, wanted none"
        return None

    def as_dict(self, leader: Leader | None) -> dict[str, Any]:
        seen = self.status
        lag = None
        if seen and leader and leader.commit_index is not None and seen.applied_index is not None:
            lag = max(0, leader.commit_index - seen.applied_index)
        return {
            "id": self.member.id,
            "address": self.member.address,
            "voter": self.member.voter,
            "url": self.url,
            "reachable": seen is not None,
            "role": seen.role if seen else None,
            "term": seen.term if seen else None,
            "last_index": seen.last_index if seen else None,
            "commit_index": seen.commit_index if seen else None,
            "applied_index": seen.applied_index if seen else None,
            "fsm_pending": seen.fsm_pending if seen else None,
            "lag": lag,
            "last_contact": seen.last_contact if seen else None,
            "in_contact": leader is not None and self.in_contact(leader),
        }


@dataclass(frozen=True)
class ClusterView:
    """What all URLs together show."""

    leader: Leader | None
    members: tuple[MemberView, ...]
    answers: tuple[Answer, ...]
    # URLs that claim to lead in the same term: two clusters answer, or a release that breaks Raft's promise.
    rivals: tuple[str, ...] = ()

    @property
    def voters(self) -> list[MemberView]:
        return [view for view in self.members if view.member.voter]

    def counted(self, learners: bool) -> list[MemberView]:
        """The members that a condition is about: the voters, or all of them."""
        return list(self.members) if learners else self.voters

    @property
    def quorate(self) -> bool:
        """A majority of the voters answer and agree on the one leader."""
        if self.leader is None:
            return False
        agreeing = sum(view.follows(self.leader) for view in self.voters)
        return agreeing * 2 > len(self.voters)

    @property
    def term(self) -> int | None:
        if self.leader:
            return self.leader.term
        return max((a.status.term for a in self.answers if a.status and a.status.term is not None), default=None)

    @property
    def unanswered(self) -> list[dict[str, str]]:
        return [{"url": a.client.url, "error": str(a.error)} for a in self.answers if a.error]

    def find(self, node_id: str) -> MemberView | None:
        return next((view for view in self.members if view.member.id == node_id), None)

    def why_behind_at(self, host: str, target: int, *, learners: bool = False) -> list[str]:
        """Why there is no voter (or member) on this host that has caught up with `target`; empty when there is one."""
        if self.leader is None:
            return [self.describe()]
        if self.leader.client is None:
            return [LEADER_UNSEEN]
        here = [view for view in self.counted(learners) if same_host(host_of(view.member.address), host)]
        if not here:
            return [f"no {'member' if learners else 'voter'} is on {host}"]
        reasons = (view.why_behind(self.leader, target) for view in here)
        return [reason for reason in reasons if reason]

    def why_behind(self, target: int, *, without: str | None = None, learners: bool = False) -> list[str]:
        """Why voters (or members, other than `without`) have not caught up with `target`; empty when all have."""
        if self.leader is None:
            return [self.describe()]
        reasons = (v.why_behind(self.leader, target) for v in self.counted(learners) if v.member.id != without)
        return [reason for reason in reasons if reason]

    def describe(self) -> str:
        """One line for error messages."""
        if self.rivals:
            return f"{' and '.join(self.rivals)} both claim to lead in term {self.term}"
        known = len(self.voters)
        if self.leader is None:
            answering = sum(a.status is not None for a in self.answers)
            return (
                f"no leader in term {self.term}; {answering} of {len(self.answers)} URLs answer, {known} voters known"
            )
        agreeing = sum(view.follows(self.leader) for view in self.voters)
        return (
            f"leader {self.leader.id} ({self.leader.address}) in term {self.term}, {agreeing} of {known} voters agree"
        )


def look_at(clients: Sequence[Daemon]) -> ClusterView:
    """Ask every URL at once, so that one dead host costs its timeout once and not for each after it."""

    def ask(client: Daemon) -> Answer:
        try:
            return Answer(client, status=client.status())
        except MigrationError as error:
            return Answer(client, error=error)

    with ThreadPoolExecutor(max_workers=max(1, len(clients))) as pool:
        answers = tuple(pool.map(ask, clients))
    return assemble(answers)


def assemble(answers: tuple[Answer, ...]) -> ClusterView:
    """Make one view of all answers. Pure: no request is made here."""
    seen = [(a.client, a.status) for a in answers if a.status]
    claims = [(client, status) for client, status in seen if status.is_leader]
    newest = max((status.term or 0 for _client, status in claims), default=0)
    # A deposed leader may go on claiming for a moment, in an older term: the newest term wins.
    claims = [(client, status) for client, status in claims if (status.term or 0) == newest]
    if len({status.leader for _client, status in claims}) > 1:
        return ClusterView(None, _views(claims[0][1], answers, None), answers, tuple(c.url for c, _status in claims))
    if claims:
        # A port may be routed to another host while clients are routed away from this one: prefer the leader's own URL.
        client, status = max(claims, key=lambda claim: speaks_for_itself(*claim))
        address = status.leader or client.host
        found = _member_at(status.members, address, client.host)
        leader = Leader(found.id if found else None, address, status.term, status.commit_index, client)
        return ClusterView(leader, _views(status, answers, leader), answers)
    if not seen:
        return ClusterView(None, (), answers)
    # No member claims to lead, but the leader's URL may be the one that is down: take what the newest term's nodes know.
    status = max((s for _client, s in seen), key=lambda s: (s.term or 0, s.leader is not None, s.commit_index or 0))
    known = None
    own_words = [client for client, own in seen if speaks_for_itself(client, own)]
    if status.leader and not any(same_host(client.host, host_of(status.leader)) for client in own_words):
        found = _member_at(status.members, status.leader, host_of(status.leader))
        known = Leader(found.id if found else None, status.leader, status.term)
    return ClusterView(known, _views(status, answers, known), answers)


def _views(source: NodeStatus, answers: tuple[Answer, ...], leader: Leader | None) -> tuple[MemberView, ...]:
    views = []
    for member in source.members:
        host = host_of(member.address)
        own = [a for a in answers if same_host(a.client.host, host)]
        candidates = [
            MemberView(member, a.client.url, a.status, unreadable=a.error is not None and a.error.status == 200)
            for a in own
            if a.status is None or speaks_for_itself(a.client, a.status)
        ]
        # Several URLs of one host (before and after its port change): the one that answers and follows counts.
        candidates.sort(key=lambda view: (bool(leader and view.follows(leader)), view.status is not None), reverse=True)
        views.append(candidates[0] if candidates else MemberView(member, own[0].client.url if own else None, None))
    return tuple(views)


def speaks_for_itself(client: Daemon, status: NodeStatus) -> bool:
    """False where a URL answers with the status of another host, as while a gate routes clients there.

    It shows where the leader's status comes from a host that does not lead, or a follower's from the host that does.
    Any other follower's status does not say whose it is.
    """
    return status.leader is None or status.is_leader == same_host(client.host, host_of(status.leader))


def _member_at(members: tuple[Member, ...], address: str, host: str) -> Member | None:
    """The member with this address, else the only one on this host (its address may just have been updated)."""
    exact = [member for member in members if member.address == address]
    if exact:
        return exact[0]
    near = [member for member in members if same_host(host_of(member.address), host)]
    return near[0] if len(near) == 1 else None


def host_of(address: str) -> str:
    return without_port(address)


def same_host(one: str, other: str) -> bool:
    return one == other or bool(_addresses(one) & _addresses(other))


class Resolver:
    """Addresses of host names, each looked up once, within a budget of time.

    The names come from the daemons: one that names members of its own making, in a domain whose server takes its time, must
    not keep the view of all others waiting.
    """

    BUDGET, REFILL = 5.0, 60.0  # seconds
    KEPT = 256

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, frozenset[str]] = {}
        self._spent, self._since = 0.0, clock()

    def __call__(self, host: str) -> frozenset[str]:
        if host in self._known:
            return self._known[host]
        began = self._clock()
        if began - self._since > self.REFILL:
            self._spent, self._since = 0.0, began
        if self._spent > self.BUDGET:
            # Not kept: it may be asked again later.
            return frozenset()
        try:
            found = frozenset(str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):  # the latter for what cannot be a name at all
            found = frozenset()
        self._spent += self._clock() - began
        if len(self._known) >= self.KEPT:
            self._known.clear()
        self._known[host] = found
        return found


_addresses = Resolver()

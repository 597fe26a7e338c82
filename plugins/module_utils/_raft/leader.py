# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acting on a cluster through its leader, wherever that moves meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from .._core.failures import MigrationError
from .._core.waiting import wait_until
from .._daemon.interface import Daemon, Member
from .cluster import ClusterView, Leader, MemberView, look_at

POLL = 0.05
# 403: it leads no more. 503: an election is on. No answer: the outcome is open, the list of members will tell.
MAY_CALL_AGAIN: frozenset[int | None] = frozenset({None, 403, 503})


class Refused(MigrationError):
    """A change that this side does not ask for. To try again would end the same way."""


@dataclass
class TimeLimits:
    """How long to wait for what, in seconds."""

    leader: float = 30.0
    listener: float = 0.0
    caught_up: float = 60.0


@dataclass
class Steps:
    """What was done, and when (seconds since the start)."""

    started: float = field(default_factory=time.monotonic)
    done: list[dict[str, Any]] = field(default_factory=list)

    @property
    def elapsed(self) -> float:
        return round(time.monotonic() - self.started, 3)

    def add(self, step: str, began: float) -> None:
        now = time.monotonic()
        self.done.append({"step": step, "at": round(began - self.started, 3), "took": round(now - began, 3)})


class LeaderSession:
    """The first look is made here; everything after acts through the leader known last."""

    def __init__(self, clients: Sequence[Daemon], limits: TimeLimits, *, dry_run: bool = False) -> None:
        self.clients = clients
        self.limits = limits
        self.dry_run = dry_run
        self.steps = Steps()
        self.changed = False
        self.view, self.leader = self.find_leader()
        self.view_before, self.leader_before = self.view, self.leader

    def client(self) -> Daemon:
        if self.leader.client is None:
            raise self.error("the leader's REST URL does not answer", wanted=f"a URL on the host of {self.leader}")
        return self.leader.client

    def capabilities(self) -> frozenset[str]:
        return self.client().capabilities()

    def find_leader(self) -> tuple[ClusterView, Leader]:
        """The cluster with a leader that a majority of voters agrees on and whose URL answers."""
        waited = wait_until(
            lambda: look_at(self.clients),
            lambda view: view.quorate and view.leader is not None and view.leader.client is not None,
            self.limits.leader,
            POLL,
        )
        view = waited.value
        if not waited.met or view.leader is None:
            raise MigrationError(
                f"no leader with a quorum within {self.limits.leader:g} s: {view.describe()}",
                url=",".join(client.url for client in self.clients),
                seen={"cluster": view.describe(), "unanswered": view.unanswered},
                wanted="one leader that a majority of voters follows, its URL among `urls`",
                next_step="bring the missing voters back; pi_controller.raft_migration.raft_info shows them",
            )
        return view, view.leader

    def look(self) -> ClusterView:
        self.view = look_at(self.clients)
        self.leader = self.view.leader or self.leader
        return self.view

    def change(
        self,
        what: str,
        call: Callable[[Daemon], None],
        done: Callable[[ClusterView], bool],
        again_after: frozenset[int | None] = MAY_CALL_AGAIN,
    ) -> None:
        """Ask the leader known last at once; follow it when it moved; believe only its own list of members."""
        self.changed = True
        began = time.monotonic()
        if self.dry_run:
            self.steps.add(what, began)
            return
        deadline = began + self.limits.leader
        while True:
            refused: MigrationError | None = None
            try:
                call(self.client())
            except Refused:
                raise
            except MigrationError as error:
                if error.status not in again_after:
                    raise
                refused = error
            self.view, self.leader = self.find_leader()
            settled = wait_until(self.look, done, 0.0 if refused else self.limits.leader, POLL)
            if settled.met:
                self.steps.add(what, began)
                return
            if time.monotonic() >= deadline:
                raise self.error(
                    f"could not {what} within {self.limits.leader:g} s: {refused or self.view.describe()}",
                    seen=[view.member.__dict__ for view in self.view.members],
                    wanted=what,
                    next_step="look at the leader's log, then run the same command again",
                )
            time.sleep(POLL)

    def caught_up(self, wanted: Member) -> None:
        if self.limits.caught_up <= 0 or self.dry_run:
            return
        began = time.monotonic()
        reason = "not seen yet"

        def caught_up(one: MemberView, leader: Leader, target: int) -> bool:
            nonlocal reason
            reason = one.why_behind(leader, target) or ""
            return one.member == wanted and not reason

        if not self.wait_member(wanted.id, caught_up, self.limits.caught_up):
            raise self.error(
                f"{wanted.id} has not caught up within {self.limits.caught_up:g} s: {reason}",
                seen=reason,
                wanted=f"{wanted.id} at {wanted.address}, in contact, all entries applied",
                next_step="where it never hears the leader, run this again with replace=true",
            )
        self.steps.add(f"{wanted.id} has caught up", began)

    def wait_member(self, node_id: str, met: Callable[[MemberView, Leader, int], bool], timeout: float) -> bool:
        """Wait for a member; the index to reach is the leader's at the start, asked anew when leadership moves, and once it is reached.

        By then the start may be seconds ago, and whoever gets clients next shows them what it has.
        """
        asked: tuple[Any, int] | None = None
        waited = renewed = False

        def reached(view: ClusterView) -> bool:
            nonlocal asked, waited, renewed
            member, leader = view.find(node_id), view.leader
            if member is None or leader is None or not view.quorate:
                waited = True
                return False
            now = ((leader.id, leader.term), leader.commit_index or 0)
            if asked is None or asked[0] != now[0]:
                asked = now
            if not met(member, leader, asked[1]):
                waited = True
                return False
            if waited and not renewed:
                renewed, asked = True, now
                return met(member, leader, asked[1])
            return True

        return wait_until(self.look, reached, timeout, POLL).met

    def error(
        self, message: str, *, seen: Any = None, wanted: Any = None, next_step: str | None = None
    ) -> MigrationError:
        url = self.leader.client.url if self.leader.client else None
        return MigrationError(message, url=url, seen=seen or self.view.describe(), wanted=wanted, next_step=next_step)

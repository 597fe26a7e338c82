# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes of a Raft cluster's membership: one member at a time, and never at the price of the quorum."""

from __future__ import annotations

import time
from typing import Callable

from .._core.listening import refusal
from .._core.waiting import Waited, wait_until
from .._daemon.interface import Daemon, Member
from .cluster import host_of, same_host
from .leader import MAY_CALL_AGAIN, POLL, LeaderSession, Refused

# How long a voter whose address is already right may go unheard before it counts as one the leader cannot reach.
SILENCE = 5.0


class MembershipChange(LeaderSession):
    """One member's change."""

    def present(self, node_id: str, address: str, *, replace: bool, reached: bool = False) -> None:
        """Make `node_id` a voter at `address`, caught up.

        With `reached` the others reach it at its old address as soon as it listens at the new one, so it is not removed before.
        """
        wanted = Member(node_id, address)
        learners = "learners" in self.capabilities()
        known = self.view.find(node_id)
        itself = self.leader.id == node_id
        unreached = False
        if known and known.member == wanted:
            if self._settled(wanted, replace):
                return
            unreached = True
        self._refuse_blind(wanted)
        self._others_healthy(node_id)
        if itself and not unreached:
            # The leader is never removed. It listens at the new address after its restart, with another leader by then: a
            # leader that comes to power knows the new address, one that already was in power may not reach it.
            self._add(wanted, voter_field=None)
            if self.limits.listener <= 0 or self.dry_run or self._settled(wanted, replace):
                return
            unreached = True
        if known and replace and (unreached or known.member.address != address):
            if known.member.address != address:
                self._down(known.member.address)
            if known.member.address != address and reached:
                # It is not a member for the moment between two calls, and no more for as long as its pod takes to start.
                self._listening(address)
                self.caught_up(known.member)
                self._others_healthy(node_id)
                learners = False
            if self.leader.id == node_id and not itself:
                # It was elected meanwhile.
                self.present(node_id, address, replace=replace, reached=reached)
                return
            self._remove(node_id)
            known = None
        self._listening(address)
        if learners and (known is None or not known.member.voter):
            learner = Member(node_id, address, False)
            if known is None or known.member != learner:
                self._add(learner, voter_field=False)
            self.caught_up(learner)
        self._add(wanted, voter_field=True if "learners" in self.capabilities() else None)
        self.caught_up(wanted)

    def absent(self, node_id: str) -> None:
        """Make sure that `node_id` is not a member."""
        if self.view.find(node_id) is None:
            return
        if self.leader.id == node_id:
            raise self._never_removed(node_id)
        self._others_healthy(node_id)
        self._remove(node_id)

    def lead(self, node_id: str) -> None:
        """Hand leadership to `node_id` and wait until it has it."""
        if self.leader.id == node_id:
            return
        successor = self.view.find(node_id)
        if successor is None or not successor.member.voter:
            raise self.error(f"{node_id} cannot lead: it is not a voter", wanted=f"{node_id} as a voter")
        self.caught_up(successor.member)
        self.change(
            f"hand leadership from {self.leader.id} to {node_id}",
            lambda client: client.transfer(node_id),
            lambda view: bool(view.leader and view.leader.id == node_id and view.quorate),
            # 500: it stood for election and another won it; nothing is lost by asking again.
            MAY_CALL_AGAIN | {500},
        )

    def can_transfer(self) -> bool:
        return "transfer" in self.capabilities()

    def _refuse_blind(self, wanted: Member) -> None:
        """A member that could not be seen to catch up is refused before the first change."""
        itself = self.leader.id == wanted.id
        host = host_of(wanted.address)
        waits = not itself and self.limits.caught_up > 0
        if waits and not any(same_host(client.host, host) for client in self.clients):
            raise self.error(
                f"none of the URLs is on {host}, so whether {wanted.id} has caught up could not be seen",
                wanted=f"a URL on {host}",
                next_step="add the REST URL of that node to `urls`, or set wait_caught_up=0",
            )

    def _settled(self, wanted: Member, replace: bool) -> bool:
        """Whether a member that is already configured as wanted has caught up as well.

        False is "the leader does not reach it, start over": it may still send to an older address.
        """
        if self.limits.caught_up <= 0 or (self.leader.id == wanted.id and self.limits.listener <= 0):
            return True
        self._listening(wanted.address)
        patience = min(self.limits.caught_up, SILENCE)
        heard = self.wait_member(wanted.id, lambda member, leader, target: member.in_contact(leader), patience)
        if not heard and replace:
            return False
        self.caught_up(wanted)
        return True

    def _others_healthy(self, node_id: str) -> None:
        """Wait until every other voter has caught up: one member changes at a time, on firm ground."""
        target = self.leader.commit_index or 0
        # With continuous writes a follower is always a few entries behind: never judge it by a single look.
        patience = max(SILENCE, self.limits.caught_up)
        waited = wait_until(self.look, lambda view: not view.why_behind(target, without=node_id), patience, POLL)
        if waited.met:
            return
        reasons = waited.value.why_behind(target, without=node_id)
        raise self.error(
            f"{node_id} is not changed while another voter is unhealthy: {'; '.join(reasons)}",
            seen=reasons,
            wanted=f"every voter but {node_id} answering, in contact, and at index {target} or above",
            next_step="bring these back first, then run the same command again",
        )

    def _listening(self, address: str) -> None:
        """Wait for the Raft listener, so that the leader's first message arrives before the node starts an election."""
        refusal = self._wait_listener(address, f"{address} listens", lambda error: error is None)
        if refusal is not None:
            raise self.error(
                f"nothing listens on {address} after {self.limits.listener:g} s ({refusal.value})",
                seen=str(refusal.value),
                wanted=f"a Raft listener on {address}",
                next_step="start that daemon and run this again: a member already removed is added then",
            )

    def _down(self, address: str) -> None:
        """Wait until the daemon has left its old address.

        One that is removed while it still runs hears nothing any more: it shows its clients rows that grow old, and
        starts elections in ever higher terms.
        """
        if self._wait_listener(address, f"{address} is down", lambda error: error is not None) is not None:
            raise self.error(
                f"{address} still listens after {self.limits.listener:g} s, and a member is removed while it is down",
                seen=f"a Raft listener on {address}",
                wanted="none",
                next_step="see why that daemon has not been stopped, then run the same command again",
            )

    def _wait_listener(
        self, address: str, step: str, met: Callable[[OSError | None], bool]
    ) -> Waited[OSError | None] | None:
        """Wait until connecting to this address comes to what is wanted, and record the step; what was seen where it does not."""
        if self.limits.listener <= 0 or self.dry_run:
            return None
        began = time.monotonic()
        waited = wait_until(lambda: refusal(address), met, self.limits.listener, POLL)
        if not waited.met:
            return waited
        self.steps.add(step, began)
        return None

    def _add(self, wanted: Member, *, voter_field: bool | None) -> None:
        what = "voter" if wanted.voter else "learner"
        self.change(
            f"add {wanted.id} at {wanted.address} as {what}",
            lambda client: client.add_member(wanted.id, wanted.address, voter_field),
            lambda view: any(found.member == wanted for found in view.members),
        )

    def _remove(self, node_id: str) -> None:
        def call(client: Daemon) -> None:
            # It may have come to lead since we looked.
            if self.leader.id == node_id:
                raise self._never_removed(node_id)
            client.remove_member(node_id)

        self.change(f"remove {node_id}", call, lambda view: view.find(node_id) is None)

    def _never_removed(self, node_id: str) -> Refused:
        return Refused(
            f"{node_id} leads: a leader is never removed",
            url=self.client().url,
            seen=self.view.describe(),
            wanted=f"another leader than {node_id}",
            next_step="hand leadership over first (state=leader for another member, or stop this daemon)",
        )

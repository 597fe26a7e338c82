# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of raft_membership as one change, and that change as the module's result."""

from __future__ import annotations

import re
from typing import Any

from .._core.failures import MigrationError
from .._daemon.drivers import clients_of
from .._daemon.interface import Member
from .leader import TimeLimits
from .membership import MembershipChange

ADDRESS = re.compile(r".+:\d{1,5}")


class MembershipRequest:
    """`wanted` are the options of the module raft_membership. With `reached` the member's old address is routed to its new one."""

    def __init__(self, wanted: dict[str, Any], check_mode: bool, reached: bool = False) -> None:
        self.wanted = wanted
        self.reached = reached
        self.check_mode = check_mode
        self.supported = True
        self.change: MembershipChange | None = None

    def run(self) -> None:
        wanted = self.wanted
        for address in self._addresses().values():
            _check(address)
        limits = TimeLimits(wanted["wait_leader"], wanted["wait_for_listener"], wanted["wait_caught_up"])
        change = MembershipChange(clients_of(wanted), limits, dry_run=self.check_mode)
        self.change = change
        if wanted["state"] == "present":
            for node_id, address in self._addresses().items():
                change.present(node_id, address, replace=wanted["replace"], reached=self.reached)
        elif wanted["state"] == "absent":
            change.absent(wanted["node_id"])
        else:
            self._lead(change)

    def _addresses(self) -> dict[str, str]:
        """The wanted address of each member by its ID, in the order in which they are added."""
        members: dict[str, str] | None = self.wanted.get("members")
        if members is not None:
            return {str(node_id): str(address) for node_id, address in members.items()}
        address = self.wanted["address"]
        return {} if address is None else {self.wanted["node_id"]: address}

    def _lead(self, change: MembershipChange) -> None:
        self.supported = change.leader.id == self.wanted["node_id"] or change.can_transfer()
        if not self.supported:
            raise change.error(
                f"{change.leader.id} leads, and this release has no call to hand leadership over",
                wanted=f"{self.wanted['node_id']} as the leader, through the capability transfer",
                next_step="restart the leader's daemon once all other voters have caught up; they elect another one",
            )
        change.lead(self.wanted["node_id"])

    def result(self) -> dict[str, Any]:
        if self.change is None:
            return {"changed": False}
        change = self.change
        before = [view.member for view in change.view_before.members]
        after = [view.member for view in change.view.members]
        leader_before, leader_after = change.leader_before.as_dict(), change.leader.as_dict()
        if self.check_mode and change.changed:
            after = self._predicted(before)
            if self.wanted["state"] == "leader":
                leader_after = next(
                    {"id": view.member.id, "address": view.member.address, "url": view.url}
                    for view in change.view.members
                    if view.member.id == self.wanted["node_id"]
                )
        result: dict[str, Any] = {
            "changed": change.changed,
            "members_before": [_as_dict(member) for member in before],
            "members_after": [_as_dict(member) for member in after],
            "leader_before": leader_before,
            "leader_after": leader_after,
            "steps": change.steps.done,
            "elapsed": change.steps.elapsed,
            "supported": self.supported,
        }
        result["diff"] = {
            "before": {"members": result["members_before"], "leader": leader_before["id"]},
            "after": {"members": result["members_after"], "leader": leader_after["id"]},
        }
        return result

    def _predicted(self, before: list[Member]) -> list[Member]:
        wanted = self.wanted
        if wanted["state"] == "leader":
            return before
        if wanted["state"] == "absent":
            return [member for member in before if member.id != wanted["node_id"]]
        added = self._addresses()
        return [
            *(member for member in before if member.id not in added),
            *(Member(node_id, address) for node_id, address in added.items()),
        ]


def _check(address: str) -> None:
    if not ADDRESS.fullmatch(address):
        raise MigrationError(
            f"{address!r} is not a Raft address", seen=address, wanted="ip:port", next_step="correct `address`"
        )


def _as_dict(member: Member) -> dict[str, Any]:
    return {"id": member.id, "address": member.address, "voter": member.voter}

#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: member_traffic
short_description: Route a Pi's clients away from its Raft member, or back to it, once the cluster allows that
description:
  - Waits for a state of the cluster, as M(pi_controller.raft_migration.raft_info) does, and acts on it at once, on the Pi itself.
  - Before a daemon is stopped on purpose, with O(state=away), it hands leadership to another member where this Pi's member leads,
    and closes the gate of M(pi_controller.raft_migration.traffic_gate). Leadership comes first, since followers send writes to the
    leader's address, and a neighbour would send them back.
  - Once a daemon is there again, with O(state=back), it opens the gate. With O(address) only that daemon has to be well for it.
  - Where the wait for that fails, neither leadership nor the gate has changed. A run that was interrupted is repeated as a whole.
  - A gate that something else has set meanwhile is left, as when a connection is lost and the next run begins, and the module fails.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.rest
  - pi_controller.raft_migration.awaited
  - pi_controller.raft_migration.gate
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode nothing is waited for but the state of the cluster.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  urls:
    required: true
  state:
    description: Whether the Pi's clients are routed away from its member, or back to it.
    type: str
    choices: [away, back]
    required: true
  same_members:
    description: Once the cluster is what is waited for, the members have to be these, or the module fails.
    type: dict
    suboptions:
      members:
        description: The address of each member by its ID. Empty allows any.
        type: dict
        required: true
      next_step:
        description: What the failure says is to be done next.
        type: str
  address:
    description:
      - Address of this Pi. Required with O(state=away).
      - With O(state=back) the gate is set once the member there has caught up with a leader that has a quorum, and only then O(wait_for) is
        waited for, with a O(wait_timeout) of its own. Where that fails this Pi's clients stay with its member. Another Pi that is away
        may be the one that they were routed to.
    type: str
  own_url:
    description:
      - The URL among O(urls) of this Pi's own daemon. With O(state=away) a wait that fails is no failure where that daemon was
        stopped by an earlier run, since there is nothing more to lose. It does not answer then, and no process on this Pi listens on
        the port of this URL or on the Raft port of this Pi's member.
      - A daemon that listens and answers with an error, or not in time, has a vote that the others may need.
    type: str
  successor:
    description:
      - Address of the Pi whose member is to lead, where this one does and its release can hand leadership over. Without it
        leadership stays.
      - Where that member is a learner, which cannot lead, it is the first other voter. Where there is none, leadership stays.
    type: str
  keep_leaders_gate:
    description:
      - With O(state=away) the gate stays as it is where leadership was to go to O(successor) and the release cannot hand it over.
        Writes wait from its closing on then, so whoever calls may have something to do before. RV(gate) is null in that case.
    type: bool
    default: false
seealso:
  - module: pi_controller.raft_migration.raft_info
  - module: pi_controller.raft_migration.raft_membership
  - module: pi_controller.raft_migration.traffic_gate
"""

EXAMPLES = r"""
- name: Before the daemon on pi-2 stops
  pi_controller.raft_migration.member_traffic:
    state: away
    urls: "{{ raft_urls }}"
    address: 10.77.0.12
    successor: 10.77.0.13
    wait_for:
      leader: true
      caught_up_at: [10.77.0.11, 10.77.0.13]
    wait_timeout: 60
    gate:
      state: forwarded
      forward_to: 10.77.0.13
      ports:
        - {standard: 8080, temporary: 8082}
      persist: true

- name: Once it is back
  pi_controller.raft_migration.member_traffic:
    state: back
    urls: "{{ raft_urls }}"
    address: 10.77.0.12
    wait_for:
      leader: true
      voters: 3
      caught_up: true
    wait_timeout: 60
    gate:
      state: open
"""

RETURN = r"""
leader:
  description: The one leader that was waited for, or null.
  returned: always
  type: dict
  contains:
    id: {type: str, description: Its member ID; null where no member has its address.}
    address: {type: str, description: Its Raft address.}
    url: {type: str, description: Its URL among O(urls).}
    host: {type: str, description: Its name in O(hosts). Only where these are given.}
  sample: {"id": "pi-1", "address": "10.77.0.11:9091", "url": "http://10.77.0.11:8080"}
members:
  description: The members, as M(pi_controller.raft_migration.raft_info) gives them.
  returned: always
  type: list
  elements: dict
capabilities:
  description: Optional calls of the leader's release.
  returned: when what was waited for has come
  type: list
  elements: str
unanswered:
  description: URLs without an answer, with the error.
  returned: always
  type: list
  elements: dict
steps:
  description: What was done; in check mode what would be.
  returned: always
  type: list
  elements: str
  sample: ["hand leadership to pi-3", "set the gate to forwarded"]
gate:
  description: The gate, as M(pi_controller.raft_migration.traffic_gate) returns it; null where this run has not looked at it.
  returned: always
  type: dict
  contains:
    state: {type: str, description: The state read back from the kernel.}
    began: {type: float, description: "When the change began, by the Pi's clock, in seconds since the epoch."}
    ended: {type: float, description: "When the gate was what it is, by the Pi's clock, in seconds since the epoch."}
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.addresses import normal
from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import at_step, run_module
from ..module_utils._core.procfs import listeners
from ..module_utils._daemon.drivers import rest_options
from ..module_utils._gate.options import GATE
from ..module_utils._lease.gate import GateAfterWait
from ..module_utils._raft.awaited import WAIT, await_cluster
from ..module_utils._raft.cluster import host_of
from ..module_utils._raft.request import MembershipRequest

# Seconds, as raft_membership has them.
HANDING_OVER: dict[str, Any] = {"wait_leader": 30.0, "wait_for_listener": 0.0, "wait_caught_up": 60.0}


class MemberTraffic:
    """One Pi's clients, whether its member leads, and what the cluster has to be for either to change."""

    # Where tests have others.
    listeners = staticmethod(listeners)

    def __init__(self, module: AnsibleModule, result: dict[str, Any]) -> None:
        self.module, self.result = module, result
        self.params: dict[str, Any] = module.params
        result.update(steps=[], gate=None)
        wanted = self.params["gate"]
        self.gate = GateAfterWait(module, wanted) if wanted else None

    def run(self) -> None:
        if self.params["state"] == "back":
            self._back()
            return
        self._wait_for_the_others()
        if self._hand_over() or not self.params["keep_leaders_gate"]:
            self._set_gate()

    def _back(self) -> None:
        address = self.params["address"]
        if not address:
            await_cluster(self.params, self.result)
            self._set_gate()
            return
        own = {"leader": True, "learners": True, "caught_up_at": [address]}
        await_cluster({**self.params, "wait_for": own}, self.result)
        self._set_gate()
        try:
            await_cluster(self.params, self.result)
        except MigrationError as error:
            raise at_step(error, "this Pi's clients are back, and the cluster is not whole") from error

    def _wait_for_the_others(self) -> None:
        try:
            await_cluster(self.params, self.result)
        except MigrationError as error:
            if self._own_error() is None:
                raise
            in_use = self._ports_in_use()
            if in_use:
                raise self._not_stopped(error, in_use) from error

    def _own_error(self) -> str | None:
        """What this Pi's own daemon answered instead of its status."""
        unanswered = {found["url"]: str(found["error"]) for found in self.result.get("unanswered", ())}
        return unanswered.get(self.params["own_url"])

    def _is_stopped(self) -> bool:
        return self._own_error() is not None and not self._ports_in_use()

    def _ports_in_use(self) -> list[int]:
        """Those of this Pi's own daemon, for clients and for Raft, on which something listens."""
        rest = urlsplit(self.params["own_url"])
        own = [member["address"] for member in self.result.get("members", ()) if self._is_own(member["address"])]
        # A member's address is what a daemon reports.
        raft = [int(port) for port in (address.rpartition(":")[2] for address in own) if port.isdecimal()]
        ports = {rest.port or {"https": 443}.get(rest.scheme, 80), *raft}
        return sorted({found.port for found in self.listeners(ports, "")})

    def _is_own(self, address: str) -> bool:
        return host_of(address) == normal(self.params["address"])

    def _not_stopped(self, error: MigrationError, in_use: list[int]) -> MigrationError:
        """A daemon that answers with an error has a vote all the same, and one that does not answer in time may have one."""
        ports = ", ".join(map(str, in_use))
        return MigrationError(
            f"{error}; the daemon of this Pi has not been stopped: port {ports} is in use, and {self._own_error()}",
            url=self.params["own_url"],
            seen=error.failure["seen"],
            wanted=error.failure["wanted"],
            next_step=f"make {self.params['own_url']} answer and bring the other members back, then run the same command again",
        )

    def _hand_over(self) -> bool:
        """Whether no member leads here any more, or one that was stopped already."""
        leader, successor = self.result.get("leader"), self.params["successor"]
        if not successor or not leader or not self._is_own(leader["address"]):
            return True
        if "transfer" not in self.result.get("capabilities", ()):
            return self._is_stopped()
        next_leader = self._next_leader(normal(successor), leader["id"])
        if next_leader is None:
            return self._is_stopped()
        wanted = {**self.params, **HANDING_OVER, "state": "leader", "node_id": next_leader, "address": None}
        request = MembershipRequest(wanted, self.module.check_mode)

        def work() -> bool:
            request.run()
            return bool(request.result()["changed"])

        self._step(f"hand leadership to {next_leader}", work)
        return True

    def _next_leader(self, successor: str, leader: str) -> str | None:
        """The member at this address, or, as a learner cannot lead, another voter; None where there is none."""
        members = self.result["members"]
        found = [member for member in members if host_of(member["address"]) == successor]
        if not found:
            raise MigrationError(
                f"no member is at {successor}, which is to lead in place of {leader}",
                seen=[member["address"] for member in members],
                wanted=f"a member at {successor}",
                next_step="set pi_controller_address of that Pi to the address that its daemon advertises",
            )
        voters = (member["id"] for member in (*found, *members) if member["voter"] and member["id"] != leader)
        return next(voters, None)

    def _set_gate(self) -> None:
        gate = self.gate
        if gate is None:
            return

        def work() -> bool:
            self.result["gate"] = gate.apply()
            self.result["diff"] = self.result["gate"].pop("diff")
            return bool(self.result["gate"]["changed"])

        self._step(f"set the gate to {gate.wanted['state']}", work)

    def _step(self, name: str, work: Callable[[], bool]) -> None:
        """Do it, note it where it has changed something, and have a failure say at which step that was."""
        try:
            changed = work()
        except (MigrationError, OSError) as error:
            raise at_step(error, name) from error
        if changed:
            self.result["steps"].append(name)
            self.result["changed"] = True


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    MemberTraffic(module, result).run()


def define_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec={
            **rest_options(),
            "state": {"type": "str", "choices": ["away", "back"], "required": True},
            **WAIT,
            "same_members": {
                "type": "dict",
                "options": {"members": {"type": "dict", "required": True}, "next_step": {"type": "str"}},
            },
            "address": {"type": "str"},
            "own_url": {"type": "str"},
            "successor": {"type": "str"},
            "keep_leaders_gate": {"type": "bool", "default": False},
            "gate": GATE,
        },
        required_if=[("state", "away", ["address"])],
        supports_check_mode=True,
    )


def main() -> None:
    module = define_module()
    run_module(module, run, doing=f"routing this Pi's clients {module.params['state']}")


if __name__ == "__main__":
    main()

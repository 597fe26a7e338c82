#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: raft_membership
short_description: Change one member of a pi-controller Raft cluster without losing its quorum
description:
  - Adds, moves, removes or promotes one member, always through the leader, which it finds through O(urls) and follows
    when leadership moves meanwhile. O(urls) must name the B(whole) cluster, the changed node included.
  - Nothing is changed while any other voter is unreachable or behind, and the leader itself is never removed.
  - A new voter has caught up when it answers, follows the leader, heard it less than a second ago, and has applied what
    the leader had committed when this module began to wait.
  - With the capability C(learners) a member joins without a vote and gets it once it has caught up.
  - With O(gate) its clients are routed to it then, in the same step on its Pi. A membership that does not come about leaves the gate.
    So does one during which something else has set the gate, as when a connection is lost and the next run begins meanwhile.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.rest
  - pi_controller.raft_migration.gate
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode nothing is waited for but the leader, and the health of the other voters.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A member with this ID, address and vote that has caught up stays untouched.
options:
  urls:
    required: true
  node_id:
    description: Raft ID of the member. Required, but with O(manifest) or O(members) where O(state=present).
    type: str
  members:
    description:
      - In place of O(node_id) and O(address), with O(state=present), several members. The Raft address of each by its ID.
      - They are added one after the other in this order, each once the one before has caught up.
    type: dict
  manifest:
    description:
      - A JSON file on this host with C(members), each with C(id) and C(address), as of before the migration.
      - Without O(node_id) the member is the one on the host of O(address) in there. A run that was stopped between removing and adding
        a member has left none to know its ID from.
    type: path
  address:
    description: Raft address of the member, C(ip:port). Required with O(state=present), but with O(members).
    type: str
  state:
    description:
      - V(present) makes it a voter at O(address) and waits until it has caught up.
      - V(absent) removes it.
      - V(leader) hands leadership to it, which needs the capability C(transfer). A release without that fails with
        RV(supported=false) and changes nothing.
    type: str
    choices: [present, absent, leader]
    default: present
  replace:
    description:
      - Remove a member known with another address before adding it with O(address). HashiCorp Raft before 1.2 needs
        that, since its running leader goes on sending to the old address.
      - Also starts over with a member that has the right address but is not reached by the leader.
      - The node is expected to be down or restarting. The leader is never removed; its address is only updated.
    type: bool
    default: false
  old_port:
    description:
      - Raft port that the member has had on this Pi. While it moves, what other Pis send there reaches O(address). So the member has
        its vote as soon as its daemon listens again, and is removed and added in one go after it has caught up.
      - Needs C(nft), and only has an effect where the module runs on the member's own Pi. Where the change fails, this stays until
        the same task succeeds, or M(pi_controller.raft_migration.traffic_gate) sets anything but V(forwarded).
    type: int
  wait_for_listener:
    description:
      - Seconds to wait until O(address) accepts TCP connections, tried every 50 ms, before the member is added. It is
        added at once then, since a restarted node that hears no leader starts an election after 1 to 2 s.
      - With O(replace=true) as many seconds to wait until nothing listens at the member's old address any more, before it
        is removed there.
      - V(0) adds and removes without looking.
    type: float
    default: 0
  wait_caught_up:
    description: Seconds to wait for a member to catch up; V(0) does not wait for the changed member.
    type: float
    default: 60
  wait_leader:
    description: Seconds to wait for a leader with a quorum, at the start and whenever leadership moves.
    type: float
    default: 30
seealso:
  - module: pi_controller.raft_migration.raft_info
"""

EXAMPLES = r"""
- name: Move pi-2 to the standard port, right after its pod was restarted there
  pi_controller.raft_migration.raft_membership:
    urls:
      - http://10.77.0.11:8082
      - http://10.77.0.12:8080
      - http://10.77.0.13:8082
    node_id: pi-2
    address: 10.77.0.12:9091
    replace: true
    wait_for_listener: 30

- name: Add two members
  pi_controller.raft_migration.raft_membership:
    urls: "{{ raft_urls }}"
    members:
      pi-2: 10.77.0.12:9092
      pi-3: 10.77.0.13:9092

- name: Hand leadership to pi-3
  pi_controller.raft_migration.raft_membership:
    urls: "{{ raft_urls }}"
    node_id: pi-3
    state: leader

- name: Remove a member for good
  pi_controller.raft_migration.raft_membership:
    urls: "{{ raft_urls }}"
    node_id: pi-4
    state: absent
"""

RETURN = r"""
members_before:
  description: The leader's list of members before.
  returned: when a leader was found
  type: list
  elements: dict
  sample: [{"id": "pi-2", "address": "10.77.0.12:9092", "voter": true}]
members_after:
  description: The leader's list of members after; in check mode the predicted one.
  returned: when a leader was found
  type: list
  elements: dict
leader_before:
  description: The leader before, with C(id), C(address) and C(url).
  returned: when a leader was found
  type: dict
leader_after:
  description: The leader after.
  returned: when a leader was found
  type: dict
steps:
  description: What was done; in check mode what would be. C(at) and C(took) are seconds, C(at) from the start.
  returned: when a leader was found
  type: list
  elements: dict
  sample: [{"step": "remove pi-2", "at": 0.02, "took": 0.03}]
elapsed:
  description: Seconds from start to end.
  returned: when a leader was found
  type: float
gate:
  description: The gate, as M(pi_controller.raft_migration.traffic_gate) returns it.
  returned: when O(gate) was given and the membership is what it is to be
  type: dict
  contains:
    state: {type: str, description: The state read back from the kernel.}
    began: {type: float, description: "When the change began, by the Pi's clock, in seconds since the epoch."}
    ended: {type: float, description: "When the gate was what it is, by the Pi's clock, in seconds since the epoch."}
supported:
  description: Whether the release has the call that O(state) needs; V(false) only for O(state=leader).
  returned: when a leader was found
  type: bool
failure:
  description: The URL asked, its HTTP status, what was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import at_step, run_module
from ..module_utils._core.safe_open import read_bytes
from ..module_utils._daemon.drivers import rest_options
from ..module_utils._gate.moved import MovedPort
from ..module_utils._gate.nft import Nft
from ..module_utils._gate.options import GATE
from ..module_utils._lease.gate import GateAfterWait
from ..module_utils._raft.cluster import host_of
from ..module_utils._raft.request import MembershipRequest

MAX_MANIFEST = 1 << 20


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    wanted = module.params
    if not wanted["node_id"] and wanted["members"] is None:
        wanted = {**wanted, "node_id": id_in(Path(wanted["manifest"]), wanted["address"])}
    gate = GateAfterWait(module, wanted["gate"]) if wanted["gate"] else None
    moved = moved_port(module)
    request = MembershipRequest(wanted, module.check_mode, moved is not None)
    if moved:
        moved.route()
    try:
        request.run()
    finally:
        # Also of a change that failed half-way.
        result.update(request.result())
    # Not after a failure: the cluster may need this member, and the next run comes back to it.
    if moved:
        moved.clear()
    if gate:
        set_gate(gate, result)


def set_gate(gate: GateAfterWait, result: dict[str, Any]) -> None:
    """Route this Pi's clients. The member stays what it has become, also where this fails: the next run begins with the gate."""
    try:
        done = gate.apply()
    except (MigrationError, OSError) as error:
        raise at_step(error, f"set the gate to {gate.wanted['state']}") from error
    result["diff"] = [result["diff"], done.pop("diff")]
    result.update(gate=done, changed=result["changed"] or done["changed"])


def moved_port(module: AnsibleModule) -> MovedPort | None:
    """The way from the member's old port, where there is to be one."""
    if not module.params["old_port"] or module.check_mode:
        return None
    return MovedPort(Nft.of(module), module.params["address"], module.params["old_port"])


def id_in(manifest: Path, address: str) -> str:
    """The ID of the member on the host of this address. Raises MigrationError where the manifest has none."""
    try:
        members = json.loads(read_bytes(manifest, MAX_MANIFEST))["members"]
        found = [str(member["id"]) for member in members if host_of(str(member["address"])) == host_of(address)]
    except (ValueError, KeyError, TypeError) as error:
        raise MigrationError(
            f"{manifest} is not a manifest: {error}",
            next_step="copy the manifest of another Pi there, then run the same command again",
        ) from error
    if len(found) != 1:
        raise MigrationError(
            f"{manifest} has {len(found)} members on {host_of(address)}",
            seen=found,
            wanted=f"one member on {host_of(address)}",
            next_step="add that member by hand, with the ID that it had before, then run the same command again",
        )
    return found[0]


def define_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec={
            **rest_options(),
            "node_id": {"type": "str"},
            "manifest": {"type": "path"},
            "members": {"type": "dict"},
            "address": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent", "leader"], "default": "present"},
            "replace": {"type": "bool", "default": False},
            "old_port": {"type": "int"},
            "wait_for_listener": {"type": "float", "default": 0},
            "wait_caught_up": {"type": "float", "default": 60},
            "wait_leader": {"type": "float", "default": 30},
            "gate": GATE,
        },
        required_if=[
            ("state", "present", ["address", "members"], True),
            ("state", "absent", ["node_id"]),
            ("state", "leader", ["node_id"]),
        ],
        required_one_of=[("node_id", "manifest", "members")],
        mutually_exclusive=[("members", option) for option in ("node_id", "address", "manifest", "old_port", "gate")],
        required_by={"manifest": ["address"], "old_port": ["address"]},
        supports_check_mode=True,
    )


def main() -> None:
    run_module(define_module(), run, doing="changing the membership")


if __name__ == "__main__":
    main()

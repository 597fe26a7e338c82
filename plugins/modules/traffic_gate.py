#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_gate
short_description: Route, fence or open the daemon's standard ports on a Pi
description:
  - Keeps one nftables table of its own, C(inet pi_controller_gate), for the standard TCP ports of one Pi. It holds for IPv4 and
    IPv6, is replaced in one transaction, is read back from the kernel, and no rule of another table comes before it.
  - V(open) has no table, or one that only ends connections that V(redirected) routed to the pod.
  - V(fenced) lets no client reach the daemon on its standard ports. What is sent there is answered with a reset, and what
    the daemon still sends from there reaches the client as a reset, so no acknowledgement arrives after the fence.
  - V(redirected) routes new connections to the temporary port on the same Pi, whichever of its addresses they use; the
    daemon on the standard ports is fenced.
  - V(forwarded) routes new connections to the same port of another Pi (with masquerading); the daemon on the standard
    ports is fenced. Clients on loopback, and of a family that O(forward_to) has no address of, get a reset.
  - From one state to another, a new connection always meets the old state or the new one, never a gap between them.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
    details:
      - The kernel is given the whole transaction without its end, so what it cannot do fails here, too.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A table that was edited by hand is replaced and reported as changed.
options:
  state:
    description: What clients of the standard ports meet.
    type: str
    choices: [open, fenced, redirected, forwarded]
    required: true
  ports:
    description: The ports. Required in every state but V(open).
    type: list
    elements: dict
    suboptions:
      standard:
        description: The port clients know.
        type: int
        required: true
      temporary:
        description: The pod's port on the same Pi, used by V(redirected).
        type: int
        required: true
  forward_to:
    description:
      - Address of the other Pi, or one of each family, required with V(forwarded). The other Pi's own gate applies there.
    type: list
    elements: str
  services:
    description:
      - Cluster addresses of Services that point to the old daemons. With V(redirected) what this Pi sends there
        goes to its own pod, and with V(forwarded) to the other Pi, whatever kube-proxy has in its rules, so that the
        Service itself can follow later.
      - Each with the address of this Pi, of the same family, that its pod listens on. It counts as this Pi's own, also on a
        dummy interface.
    type: list
    elements: dict
    default: []
    suboptions:
      cluster_ip:
        description: The Service's address.
        type: str
        required: true
      address:
        description: This Pi's address.
        type: str
        required: true
  established:
    description:
      - What becomes of connections the daemon already has on the standard ports; and, where V(redirected) becomes V(open),
        of those that the pod has on the temporary ports. Their clients would go on reading what is not written any more.
      - V(reset) ends each with its next packet, in either direction, and at once where the kernel can.
      - V(finish) leads new connections elsewhere first, then ends these once no request waits for its answer, and after
        O(patience) whatever is left. With V(fenced) the fence is closed once the module returns. A request that V(forwarded)
        has routed to the other Pi gets its answer from there within the same time.
      - The kernel remembers for a while which way an ended connection went. It is asked to forget; where it cannot, a client
        that comes again from the same port meanwhile is refused.
      - V(keep) lets them be, so a daemon that refuses writes can finish what it has begun. Never a write fence by
        itself, so it is refused with V(fenced).
    type: str
    choices: [reset, finish, keep]
    default: reset
  patience:
    description: How long O(established=finish) waits at most, in seconds. Where the kernel does not show connections, it waits as long.
    type: float
    default: 0.5
  persist:
    description:
      - Whether the state outlives a reboot of the Pi, by the unit C(pi-controller-migration-gate.service) that sets the
        same table early in its boot, after the host's firewalls have loaded their rules.
      - Without it a reboot opens the gate, and a unit that was left by an earlier state is removed.
      - Only for states in which the daemon on the standard ports must never be reached again by itself. So it also ends what
        M(pi_controller.raft_migration.cutover_lease) has armed on this Pi.
    type: bool
    default: false
  lease:
    description:
      - Makes the state one that ends by itself, in the kernel and without anything else on this Pi or elsewhere. From then on
        clients meet the daemon on the standard ports, and connections that were routed away are ended with their next packet.
      - Given again it is renewed, in one transaction.
    type: dict
    suboptions:
      seconds:
        description: How long the state lasts. Without it the state stays.
        type: float
      since:
        description:
          - The RV(clock) that an earlier call on this Pi returned, from which O(lease.seconds) count. Without it they count from now.
          - When they have passed, or the Pi was rebooted, the module fails and has changed nothing.
        type: dict
        suboptions:
          boot:
            description: The boot.
            type: str
            required: true
          seconds:
            description: The time since then.
            type: float
            required: true
      held:
        description:
          - Whether the gate must be a lease that has not ended, or a state that stays. If it is not, the module fails and has changed
            nothing. That is proof that no client met the daemon in between.
        type: bool
        default: false
  only_if:
    description:
      - What must be true for the gate to be set. If it is not, the module fails and has changed nothing.
      - To prove it here rather than in a task of its own saves time in which clients wait.
    type: dict
    suboptions:
      databases:
        description:
          - SQLite databases on this Pi, each of which has to hold the same content. The first is that of the daemon that the gate routes
            to. What a restore has left in its write-ahead log is copied into it afterwards, so that no client's write waits for that.
        type: list
        elements: path
        required: true
      digest:
        description: Of that content, as M(pi_controller.raft_migration.sqlite_info) gives it.
        type: str
        required: true
      exclude_tables:
        description: Tables that are no part of the content.
        type: list
        elements: str
        default: []
notes:
  - >-
    Connections of root from source addresses 127.0.9.64/26 always reach the daemon itself. The modules of this collection use it
    when they ask a daemon on their own Pi.
  - >-
    Every other process on the Pi is routed like any client, kubelet too. While V(forwarded), a probe of a pod on a
    standard port is answered by the other Pi, and rejected if it is sent to loopback: a pod is not Ready before the gate opens.
  - >-
    A Pi's own addresses are those of its interfaces when the gate is set. Addresses on dummy interfaces are left out, since
    kube-proxy in ipvs mode keeps those of all Services there. A connection to any other local address reaches no fenced port.
  - >-
    A connection through a Service is routed by kube-proxy, which decides first unless the Service is one of O(services).
  - An existing firewall must admit the temporary ports from wherever clients come, and with V(forwarded) let them through to
    the other Pi. Where a chain of another table drops forwarded packets, the module warns.
  - Needs C(nft) and Linux 5.10 or newer on the Pi.
seealso:
  - module: pi_controller.raft_migration.cutover_lease
  - module: pi_controller.raft_migration.raft_fence
"""

EXAMPLES = r"""
- name: Lead the clients of this Pi to its pod
  pi_controller.raft_migration.traffic_gate:
    state: redirected
    established: finish
    ports:
      - {standard: 8080, temporary: 8082}
      - {standard: 9090, temporary: 9093}

- name: Lead them to another Pi while the pod restarts
  pi_controller.raft_migration.traffic_gate:
    state: forwarded
    forward_to: 192.0.2.12
    ports:
      - {standard: 8080, temporary: 8082}

- name: Lead them to the daemon on the standard ports
  pi_controller.raft_migration.traffic_gate:
    state: open
"""

RETURN = r"""
state:
  description:
    - The state read back from the kernel; in check mode, the one that it would have. V(lapsed) where it was a lease that has ended.
  returned: success
  type: str
  sample: redirected
previous:
  description: The state before, V(mixed) when the table was not the whole of one state.
  returned: success
  type: str
  sample: open
previous_stays:
  description: Whether the state before kept clients from the daemon for good. Not where it was a lease, or V(mixed).
  returned: success
  type: bool
  sample: false
families:
  description: The address families the gate holds for.
  returned: success
  type: list
  elements: str
  sample: [ipv4, ipv6]
persistent:
  description: Whether the state outlives a reboot.
  returned: success
  type: bool
  sample: false
began:
  description: When the module began to change the gate, by the Pi's clock, in seconds since the epoch.
  returned: success
  type: float
  sample: 1767225600.25
ended:
  description: When the gate was what O(state) says, by the Pi's clock, in seconds since the epoch.
  returned: success
  type: float
  sample: 1767225600.5
clock:
  description: The Pi's own time when the module began, for O(lease.since) of a later call.
  returned: success
  type: dict
  sample: {"boot": "5f3a9d1c-8d1e-4d0a-9d39-0d6f8f5a7a11", "seconds": 4711.25}
reset_connections:
  description:
    - How many connections of the daemon the gate found and ends, those that had finished included. 0 where the kernel
      does not show connections.
  returned: success
  type: int
  sample: 2
asked_at:
  description: When the task began, by the control node's clock, in seconds since the epoch.
  returned: always
  type: float
  sample: 1767225600.125
answered_at:
  description: When it was over, by the same clock.
  returned: always
  type: float
  sample: 1767225600.625
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.modules import run_module
from ..module_utils._gate.change import wanted_gate
from ..module_utils._gate.lease import Lease, Moment
from ..module_utils._gate.options import FORWARD_TO, PORTS, SERVICES, SINCE
from ..module_utils._gate.standing import STATES
from ..module_utils._lease.gate import apply_gate
from ..module_utils._sqlite.checkpoint import checkpoint_aside
from ..module_utils._sqlite.proof import prove

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": list(STATES), "required": True},
    "ports": PORTS,
    "forward_to": FORWARD_TO,
    "services": SERVICES,
    "established": {"type": "str", "choices": ["reset", "finish", "keep"], "default": "reset"},
    "patience": {"type": "float", "default": 0.5},
    "persist": {"type": "bool", "default": False},
    "lease": {
        "type": "dict",
        "options": {
            "seconds": {"type": "float"},
            "since": SINCE,
            "held": {"type": "bool", "default": False},
        },
    },
    "only_if": {
        "type": "dict",
        "options": {
            "databases": {"type": "list", "elements": "path", "required": True},
            "digest": {"type": "str", "required": True},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
        },
    },
}


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    params = module.params
    clock = Moment.now()
    gate, lease = wanted_gate(params), Lease.wanted(params["lease"])
    if params["only_if"]:
        proof = params["only_if"]
        databases = [Path(path) for path in proof["databases"]]
        prove(databases, proof["digest"], proof["exclude_tables"])
        if not module.check_mode:
            checkpoint_aside(databases[:1])
    result.update(apply_gate(module, gate, params, lease), clock=clock.as_dict())


def main() -> None:
    closed = ("fenced", "redirected", "forwarded")
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", state, ["ports"]) for state in closed] + [("state", "forwarded", ["forward_to"])],
        supports_check_mode=True,
    )
    run_module(module, run, doing=f"setting the gate to {module.params['state']}")


if __name__ == "__main__":
    main()

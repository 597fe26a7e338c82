#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_gate
short_description: Decide who reaches the daemon on a Pi's standard ports
description:
  - Sets iptables rules in chains of their own (C(PI-CTL-*)) for the standard TCP ports of one Pi.
  - V(open) has no rules.
  - V(fenced) lets nobody reach the daemon on its standard ports. What is sent there is answered with a reset, and what
    the daemon still sends from there is dropped, so no acknowledgement leaves after the fence.
  - V(redirected) leads new connections to the temporary port on the same Pi, whatever local address they use; the
    daemon on the standard ports is fenced.
  - V(forwarded) leads new connections to the same port of another Pi (with masquerading); the daemon on the standard
    ports is fenced. Clients on 127/8 and on IPv6 get a reset.
  - From one state to another, a new connection always meets the old state or the new one, never a gap between them.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - Rules that were edited by hand or half set are put right and reported as changed.
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
    description: IPv4 address of the other Pi, required with V(forwarded). The other Pi's own gate applies there.
    type: str
  services:
    description:
      - Cluster addresses (IPv4) of Services that lead to the old daemons. With V(redirected) what this Pi sends there
        goes to its own pod, and with V(forwarded) to the other Pi, whatever kube-proxy has in its rules, so that the
        Service itself can follow later.
      - Each with the IPv4 address of this Pi that its pod listens on.
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
        of those that the pod has on the temporary ports. Their clients would go on reading what nobody writes any more.
      - V(reset) ends them, at once where C(ss) and the kernel can, otherwise with their next packet.
      - V(finish) leads new connections elsewhere first, then ends each of these as soon as no request on it waits for
        its answer, and after O(patience) whatever is left. With V(fenced) the fence stands once the module returns.
        Without C(ss) it is V(reset).
      - The kernel remembers for ten seconds which way an ended connection went. C(conntrack), where it is installed, has it
        forget; without it, a client that comes again from the same port in that time is refused.
      - V(keep) lets them be, so a daemon that refuses writes can finish what it has begun. Never a write fence by
        itself, so it is refused with V(fenced).
    type: str
    choices: [reset, finish, keep]
    default: reset
  patience:
    description: How long O(established=finish) waits at most, in seconds.
    type: float
    default: 0.5
  persist:
    description:
      - Whether the state outlives a reboot of the Pi, by the unit C(pi-controller-migration-gate.service) that sets the
        same rules early in its boot.
      - Without it a reboot opens the gate, and a unit that was left by an earlier state is removed.
      - Only for states in which the daemon on the standard ports must never be reached again by itself.
    type: bool
    default: false
  only_if:
    description:
      - What must be true for the gate to be set. If it is not, the module fails and has changed nothing.
      - To prove it here rather than in a task of its own saves time in which clients wait.
    type: dict
    suboptions:
      databases:
        description: SQLite databases on this Pi, each of which has to hold the same content.
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
  comment:
    description: Starts the comment of every rule; the state follows.
    type: str
    default: pi-controller migration
notes:
  - >-
    Connections from source address 127.0.9.91 always reach the daemon itself. The modules of this collection use it
    when
    they ask a daemon on their own Pi.
  - >-
    Everybody else on the Pi is led like any client, so kubelet too. While V(forwarded), a readiness probe of a pod on a
    standard port is answered by the other Pi.
  - >-
    A connection through a Service is led by kube-proxy, which decides first. Let the Service lead elsewhere before
    closing the gate.
  - An existing firewall must admit the temporary ports from wherever clients come.
  - Works with both backends of iptables. Where IPv6 is enabled C(ip6tables) is required, or the fence would leak.
seealso:
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
  description: The state that stands now.
  returned: success
  type: str
  sample: redirected
previous:
  description: The state that stood before, V(mixed) when it was half one and half another.
  returned: success
  type: str
  sample: open
families:
  description: The address families the rules were set for.
  returned: success
  type: list
  elements: str
  sample: [ipv4, ipv6]
persistent:
  description: Whether the state outlives a reboot.
  returned: success
  type: bool
  sample: false
reset_connections:
  description: How many connections of the daemon were ended, those that had finished included.
  returned: success
  type: int
  sample: 2
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import ipaddress
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.failures import RaftError, fail
from ..module_utils._core.operator import OPERATOR_ADDRESS
from ..module_utils._gate.boot import BootUnit
from ..module_utils._gate.drain import Connection, connections
from ..module_utils._gate.rules import STATES, Gate, Port, Rules, Table, parse, restore_text, show, state_of, tables
from ..module_utils._sqlite.proof import prove

IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
IPV6_DISABLED = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")


class GateError(RaftError):
    """Rules that cannot be set or do not stand."""


class Family:
    """iptables of one address family."""

    def __init__(self, module: AnsibleModule, name: str, command: str) -> None:
        self.module = module
        self.name = name
        self.save = module.get_bin_path(f"{command}-save")
        self.restore = module.get_bin_path(f"{command}-restore")
        if not self.save or not self.restore:
            raise GateError(
                f"{name} is enabled on this Pi but {command}-save or {command}-restore is not installed",
                wanted=command,
                next_step="install the package iptables",
            )

    def _run(self, command: list[str], data: str | None = None) -> str:
        code, out, err = self.module.run_command(command, data=data, environ_update={"LC_ALL": "C"})
        if code:
            raise GateError(
                f"{' '.join(command)} failed with {code}: {err.strip()}",
                seen=err.strip(),
                next_step="run it by hand as root; the kernel must have the nat, conntrack, multiport, addrtype",
            )
        return str(out)

    def current(self) -> dict[str, Table]:
        # All tables at once: this is read several times while clients wait, and the others are small.
        return parse(self._run([self.save]))

    def rules(self, gate: Gate) -> Rules:
        return gate.rules(self.name == "ipv6")

    def apply(self, before: dict[str, Table], gate: Gate) -> dict[str, Table]:
        """Make the gate stand and return what stands now; in check mode, what would."""
        wanted = self.rules(gate)
        text = restore_text(before, wanted)
        if not text:
            return before
        if self.module.check_mode:
            return tables(wanted)
        self._run([self.restore, "--noflush", "-w", "10"], data=text)
        after = self.current()
        missing = restore_text(after, wanted)
        if missing:
            raise GateError(
                f"{self.name}: the rules were accepted but do not stand; still to do: {missing.splitlines()}",
                seen=show(after),
                wanted=text,
                next_step="see whether something else rewrites the firewall at the same time, then run this again",
            )
        return after


def wanted_gate(params: dict[str, Any]) -> Gate:
    ports = tuple(Port(port["standard"], port["temporary"]) for port in params["ports"] or [])
    # Only a redirection looks at the temporary ports.
    numbers = [number for port in ports for number in (port if params["state"] == "redirected" else port[:1])]
    if any(not 0 < number < 65536 for number in numbers) or len(set(numbers)) != len(numbers):
        raise GateError(f"ports {numbers} are not all different numbers from 1 to 65535", seen=numbers)
    if len(ports) > 15:
        raise GateError(f"{len(ports)} ports were given, iptables takes 15 at a time", seen=len(ports), wanted=15)
    if '"' in params["comment"] or "\n" in params["comment"] or len(params["comment"]) > 200:
        raise GateError("comment must be one line of up to 200 characters without quotes", seen=params["comment"])
    if params["established"] == "keep" and params["state"] == "fenced":
        raise GateError("a fence that keeps connections is none", next_step="leave established at reset")
    if params["state"] == "forwarded":
        check_forwarding(params["forward_to"])
    try:
        services = tuple(
            (str(ipaddress.IPv4Address(one["cluster_ip"])), str(ipaddress.IPv4Address(one["address"])))
            for one in params["services"]
        )
    except ValueError as error:
        raise GateError(f"services are named by IPv4 addresses: {error}", seen=params["services"]) from error
    keep = params["established"] == "keep"
    return Gate(params["state"], ports, params["forward_to"], params["comment"], keep, services)


def check_forwarding(address: str) -> None:
    try:
        other = ipaddress.IPv4Address(address)
    except ValueError as error:
        raise GateError(f"forward_to {address} is not an IPv4 address", seen=address) from error
    if other.is_loopback or is_own(address):
        raise GateError(
            f"forward_to {address} is an address of this Pi, clients would go round in circles",
            seen=address,
            next_step="name another Pi, or use state redirected",
        )
    if IP_FORWARD.read_text().strip() != "1":
        raise GateError(
            "this Pi does not forward packets: net.ipv4.ip_forward is 0",
            seen=0,
            wanted=1,
            next_step="K3s sets it when it starts, so see that K3s runs; or set it with ansible.posix.sysctl",
        )


def is_own(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


class Sockets:
    """What the daemon has on its standard ports, or its pod on the temporary ones; the operator's own aside.

    A client that waits for an answer sends nothing, so no rule would ever tell it that there will be none. Kernels
    without CONFIG_INET_DIAG_DESTROY cannot tell it either, and there it waits as long as it is used to.
    """

    def __init__(self, module: AnsibleModule, gate: Gate) -> None:
        self.module = module
        self.ss = module.get_bin_path("ss")
        self.conntrack = module.get_bin_path("conntrack")
        # Whoever the gate leads away from: an open one leads away from the pod.
        self.numbers = [port.temporary if gate.state == "open" else port.standard for port in gate.ports]
        served = " or ".join(f"sport = :{number}" for number in self.numbers)
        self.every = f"( {served} ) and not dst {OPERATOR_ADDRESS}"

    def _run(self, *arguments: str) -> str:
        if not self.ss:
            return ""
        _code, out, _err = self.module.run_command([self.ss, "-H", "-t", "-n", *arguments])
        return str(out)

    def current(self) -> list[Connection]:
        return connections(self._run("-i", "state", "connected", self.every))

    def end(self, wanted: str | None = None) -> int:
        """End these, or all of them; returns how many."""
        return len(self._run("-K", "state", "connected", wanted or self.every).splitlines())

    def finish(self, patience: float) -> int:
        """End each once no request on it waits for its answer, as long as patience (seconds) lasts; returns how many."""
        until = time.monotonic() + patience
        ended = 0
        while True:
            seen = self.current()
            # Each by itself and at once: a client that keeps its connection may ask the next question on it.
            idle = [one.filter for one in seen if not one.busy]
            if idle:
                ended += self.end(" or ".join(idle))
            if len(idle) == len(seen) or time.monotonic() > until:
                return ended
            time.sleep(0.01)

    def forget(self, families: list[Family]) -> None:
        """Let whoever comes again from the port of a connection that was ended be led as the gate says now.

        The kernel remembers for ten seconds which way such a connection went, and clients do come again from the same port:
        Linux begins to count them at another place every ten seconds. Without conntrack they are refused that long.
        """
        closed = ["-p", "tcp", "--state", "CLOSE", "--reply-port-src"]
        for family in families if self.conntrack else ():
            for number in self.numbers:
                self.module.run_command([self.conntrack, "-D", "-f", family.name, *closed, str(number)])


def set_gate(
    module: AnsibleModule, families: list[Family], gate: Gate
) -> tuple[list[tuple[Family, dict[str, Table], dict[str, Table]]], int]:
    """Make the gate stand. Returns what stood and what stands in each family, and how many connections were ended."""
    before = [family.current() for family in families]
    standing = before
    established = module.params["established"]
    was_led = bool({"redirected", "mixed"} & set(map(state_of, before)))
    ends = (gate.state != "open" or (was_led and gate.ports)) and established != "keep" and not module.check_mode
    sockets = Sockets(module, gate)
    ended = 0
    # Where the gate stands already, nobody is let in again to finish.
    if ends and established == "finish" and any(map(restore_text, before, [family.rules(gate) for family in families])):
        lenient = replace(gate, keep_established=True)
        standing = [family.apply(now, lenient) for family, now in zip(families, before)]
        ended = sockets.finish(module.params["patience"])
    after = [family.apply(now, gate) for family, now in zip(families, standing)]
    if ends:
        ended += sockets.end()
    if ended:
        sockets.forget(families)
    return list(zip(families, before, after)), ended


def main() -> None:
    port = {"standard": {"type": "int", "required": True}, "temporary": {"type": "int", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "ports": {"type": "list", "elements": "dict", "options": port},
            "forward_to": {"type": "str"},
            "services": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"cluster_ip": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
            },
            "established": {"type": "str", "choices": ["reset", "finish", "keep"], "default": "reset"},
            "patience": {"type": "float", "default": 0.5},
            "persist": {"type": "bool", "default": False},
            "only_if": {
                "type": "dict",
                "options": {
                    "databases": {"type": "list", "elements": "path", "required": True},
                    "digest": {"type": "str", "required": True},
                    "exclude_tables": {"type": "list", "elements": "str", "default": []},
                },
            },
            "comment": {"type": "str", "default": "pi-controller migration"},
        },
        required_if=[
            ("state", "fenced", ["ports"]),
            ("state", "redirected", ["ports"]),
            ("state", "forwarded", ["ports", "forward_to"]),
        ],
        supports_check_mode=True,
    )
    try:
        gate = wanted_gate(module.params)
        wanted = module.params["only_if"]
        if wanted:
            prove(map(Path, wanted["databases"]), wanted["digest"], wanted["exclude_tables"])
        families = [Family(module, "ipv4", "iptables")]
        if IPV6_DISABLED.exists() and IPV6_DISABLED.read_text().strip() == "0":
            families.append(Family(module, "ipv6", "ip6tables"))
        persistent = module.params["persist"] and gate.state != "open"
        boot = BootUnit({family.restore: family.rules(gate) for family in families} if persistent else {})
        # Known to the next boot before it stands, and forgotten only once it is gone.
        changed = persistent and boot.write(module.check_mode)
        seen, ended = set_gate(module, families, gate)
        changed = (not persistent and boot.write(module.check_mode)) or changed
    except RaftError as error:
        fail(module, error)
    except OSError as error:
        fail(module, GateError(f"the gate cannot be made to outlive a reboot: {error}", next_step="mend that, then run this again"))
    changed = changed or any(before is not after for _family, before, after in seen)
    previous = {state_of(before) for _family, before, _after in seen}
    module.exit_json(
        changed=changed,
        state=gate.state,
        previous=previous.pop() if len(previous) == 1 else "mixed",
        families=[family.name for family in families],
        persistent=persistent,
        reset_connections=ended,
        diff={
            "before": "".join(f"{family.name}\n{show(before)}" for family, before, _after in seen),
            "after": "".join(f"{family.name}\n{show(after)}" for family, _before, after in seen),
        },
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cutover_lease
short_description: Limit how long a cutover blocks writes, even if the control node is lost
description:
  - V(armed) installs a unit on this Pi, C(pi-controller-migration-lease.service), that at its deadline opens the old side again by
    itself. It makes the daemon of this Pi writable, has the daemon's unit start at boot again, starts it where it does not run, and
    removes itself. It outlives ssh, the control node and a reboot, and asks only the daemon of this Pi.
  - V(committed) ends that on the old leader's Pi, where every step until now was in time. From then on the fence stays, and the
    journal says that the pods may take writes.
  - What the network keeps from the daemon is a lease of its own, see M(pi_controller.raft_migration.traffic_gate).
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.rest
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - V(armed) renews the lease. V(committed) is done once, and changes nothing where the same content is recorded in the same term and
        the gate stays. V(absent) changes nothing where nothing is armed.
options:
  state:
    description:
      - V(armed) records how the unit is started at boot, arms the lease, and then disables that start, as
        M(pi_controller.raft_migration.unit_state) does. An earlier lease is replaced.
      - V(committed) fails, with the lease in force as before, where the lease has ended, the daemon takes writes or does not lead in
        O(term) any more, or the gate did not hold until now. Otherwise the lease's unit is removed, the gate stays for good, the
        journal is written, and the next boot sets the same gate, in this order.
      - V(absent) removes the lease's unit. What it would have opened is left as it is.
    type: str
    choices: [armed, committed, absent]
    required: true
  urls:
    description: The daemon of this Pi. It is asked only with O(read_only) and with O(term).
  read_only:
    description: Whether the daemon itself refuses writes while the lease lasts. Otherwise the network is the fence.
    type: bool
    default: false
  term:
    description: With V(committed), the term in which the daemon of this Pi has led since before the network became the fence.
    type: int
  seconds:
    description:
      - With V(armed), how long from now on until the old side is opened again.
      - With V(committed), how long after O(since) it may be done at the latest.
    type: float
  since:
    description: The RV(pi_controller.raft_migration.traffic_gate#module:clock) of an earlier task on this Pi.
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
  unit:
    description: The daemon's unit, by any of its names.
    type: str
  saved:
    description: Where the unit's file is kept, as for M(pi_controller.raft_migration.unit_state).
    type: path
  gate:
    description: The gate that stays, as M(pi_controller.raft_migration.traffic_gate) has set it.
    type: dict
    suboptions:
      state:
        description: Its state.
        type: str
        choices: [fenced, redirected, forwarded]
        required: true
      ports:
        description: The ports.
        type: list
        elements: dict
        required: true
        suboptions:
          standard:
            description: The port clients know.
            type: int
            required: true
          temporary:
            description: The pod's port on the same Pi.
            type: int
            required: true
      forward_to:
        description: Address of the other Pi, or one of each family.
        type: list
        elements: str
      services:
        description: Cluster addresses of Services.
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
  journal:
    description: The journal of this Pi.
    type: path
  facts:
    description: What is written down for the phase C(cutover) beside C(opening).
    type: dict
    default: {}
seealso:
  - module: pi_controller.raft_migration.traffic_gate
  - module: pi_controller.raft_migration.raft_fence
"""

EXAMPLES = r"""
- name: Have this Pi serve again in 30 seconds, whatever happens
  pi_controller.raft_migration.cutover_lease:
    state: armed
    seconds: 30
    url: http://10.77.0.11:8080
    read_only: true
    unit: pi-controller.service
    saved: /var/backups/pi-controller-migration/pi-controller.service

- name: Keep it as it is
  pi_controller.raft_migration.cutover_lease:
    state: absent
"""

RETURN = r"""
armed:
  description: Whether a lease is armed on this Pi now; in check mode, whether one would be.
  returned: success
  type: bool
  sample: true
journal:
  description: The journal as it is now, as M(pi_controller.raft_migration.migration_journal_info) gives it.
  returned: when O(state=committed)
  type: dict
phase_states:
  description: The state of every phase.
  returned: when O(state=committed)
  type: dict
current:
  description: The first phase that is not done.
  returned: when O(state=committed)
  type: str
ansible_facts:
  description: What later tasks go by, as M(pi_controller.raft_migration.migration_journal) returns it.
  returned: when O(state=committed), but for check mode
  type: dict
  contains:
    raft_migration_journal:
      description: RV(journal), RV(phase_states) and RV(current).
      type: dict
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.durable import holding
from ..module_utils._core.failures import MigrationError
from ..module_utils._core.journal import FACT, Journal, known_by, load, marked, now, save
from ..module_utils._core.modules import run_module
from ..module_utils._core.unit_install import UnitInstall
from ..module_utils._daemon.drivers import ACCESS, clients_of, rest_options
from ..module_utils._gate.boot import BootUnit
from ..module_utils._gate.change import wanted_gate
from ..module_utils._gate.lease import Moment
from ..module_utils._gate.nft import Nft
from ..module_utils._gate.options import FORWARD_TO, PORTS, SERVICES, SINCE
from ..module_utils._lease.arming import arm
from ..module_utils._lease.commit import Commit
from ..module_utils._lease.order import Order
from ..module_utils._lease.unit import LeaseUnit

ARGUMENTS: dict[str, Any] = {
    **rest_options(urls_required=False),
    "state": {"type": "str", "choices": ["armed", "committed", "absent"], "required": True},
    "read_only": {"type": "bool", "default": False},
    "term": {"type": "int"},
    "seconds": {"type": "float"},
    "since": SINCE,
    "unit": {"type": "str"},
    "saved": {"type": "path"},
    "gate": {
        "type": "dict",
        "options": {
            "state": {"type": "str", "choices": ["fenced", "redirected", "forwarded"], "required": True},
            "ports": {**PORTS, "required": True},
            "forward_to": FORWARD_TO,
            "services": SERVICES,
        },
    },
    "journal": {"type": "path"},
    "facts": {"type": "dict", "default": {}},
}


def records_opening(journal: Journal | None, facts: Mapping[str, Any]) -> bool:
    """Whether the opening is recorded already, with this content and this term of the old cluster."""
    known = ((journal or {}).get("phases", {}).get("cutover") or {}).get("facts") or {}
    same = all(known.get(name) == facts.get(name) for name in ("content_digest", "old_term"))
    return "opening" in known and known.get("content_digest") is not None and same


class Lease:
    """What the module does on this Pi."""

    # Where tests have another one.
    unit = LeaseUnit()

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        daemon = clients_of(self.params)[0] if self.params["urls"] else None
        self.daemon = daemon if self.params["read_only"] else None
        self.leader = daemon if self.params["term"] is not None else None

    def run(self, *command: str) -> tuple[int, str, str]:
        return tuple(self.module.run_command(list(command), environ_update={"LC_ALL": "C"}))

    def systemctl(self, *arguments: str) -> tuple[int, str, str]:
        return self.run(self.module.get_bin_path("systemctl", required=True), *arguments)

    def armed(self) -> dict[str, Any]:
        if self.module.check_mode:
            return {"changed": True, "armed": True}
        params = self.params
        install = UnitInstall(params["unit"], Path(params["saved"]), self.systemctl, lambda _step: None)
        access = {name: params[name] for name in ACCESS if params[name] is not None} if self.daemon else {}
        order = Order.from_now(
            install.unit_id,
            params["seconds"],
            url=self.daemon.url if self.daemon else "",
            access=access,
            links=install.starting_links(),
        )
        arm(self.unit, order, self.systemctl, self.run)
        # Only now: a boot that finds the unit disabled finds the lease that enables it again.
        install.disable()
        return {"changed": True, "armed": True}

    def committed(self) -> dict[str, Any]:
        path = Path(self.params["journal"])
        # Where the connection is lost, ssh may ask for it again while the first process goes on.
        with holding(path.parent):
            return self._committed(path)

    def _committed(self, path: Path) -> dict[str, Any]:
        params = self.params
        commit = Commit(Moment.of(params["since"]), params["seconds"], self.daemon, self.leader, params["term"])
        gate = wanted_gate({**params["gate"], "established": "reset"})
        before = load(path)
        if records_opening(before, params["facts"]):
            nft = Nft.of(self.module)
            stays = commit.gate_of_before(self.unit, nft, gate)
            if stays:
                return self._recorded(known_by(before), BootUnit(nft.binary, stays), changed=False)
        after = marked(before, "cutover", "started", {"opening": True, **params["facts"]}, None, now())
        known = known_by(after)
        if self.module.check_mode:
            commit.check(self.unit)
            return {"changed": True, "armed": False, **known}
        # It is not given up half-way because the connection to the control node is lost.
        for lost in (signal.SIGHUP, signal.SIGPIPE):
            signal.signal(lost, signal.SIG_IGN)
        nft = Nft.of(self.module)
        done = commit.run(
            self.unit,
            nft,
            gate,
            record=lambda: save(path, after),
            rearm=lambda order: arm(self.unit, order, self.systemctl, self.run, again=True),
        )
        return self._recorded(known, BootUnit(nft.binary, done), changed=True)

    def _recorded(self, known: dict[str, Any], boot: BootUnit, changed: bool) -> dict[str, Any]:
        check_mode = self.module.check_mode
        # What is recorded is not undone because of this; the next task writes it again.
        try:
            changed = boot.write(check_mode) or changed
        except (MigrationError, OSError) as error:
            self.module.warn(f"the gate does not outlive a reboot yet: {error}")
        result = {"changed": changed, "armed": False, **known}
        return result if check_mode else {**result, "ansible_facts": {FACT: known}}

    def absent(self) -> dict[str, Any]:
        return {"changed": self.unit.void(self.module.check_mode), "armed": False}


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    result.update(getattr(Lease(module), module.params["state"])())


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[
            ("state", "armed", ["seconds", "unit", "saved"]),
            ("state", "committed", ["seconds", "since", "gate", "journal"]),
            ("read_only", True, ["urls"]),
        ],
        required_by={"term": ["urls"]},
        supports_check_mode=True,
    )
    run_module(module, run, doing="changing the lease of the cutover")


if __name__ == "__main__":
    main()

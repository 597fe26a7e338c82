#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_handover
short_description: Hand a Pi's data over from its unit to its pod
description:
  - Saves the unit file, stops the unit, and waits until its daemon is gone, which means that no process listens on
    O(ports) and none has a file of O(data_dir) open. Then it masks the unit and renames its data folder to
    O(pod_data_dir), for which the pod waits.
  - With O(gate) the unit's clients are routed elsewhere first.
  - Before the rename the Pi has its unit, after it its pod. A unit that cannot be stopped, or whose daemon stays, is
    unmasked and started again, and the module fails.
  - Last it waits until the pod listens on all O(ports). M(pi_controller.raft_migration.unit_takeover) takes the data
    back from a pod that does not.
  - To Raft this is a restart of one member, with the same ID, address, term and log.
  - It is one step on the Pi, which a lost connection does not interrupt. One that a reboot interrupts goes on where it
    was when it is run again. At no moment can both daemons run, neither on one port nor on one folder.
  - Nothing is deleted, overwritten or copied but the unit file.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.gate
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode nothing is waited for. It fails where the folder cannot be renamed, or where a pod could start
        beside the unit, so it tells beforehand whether the handover is possible.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  unit:
    description: The unit.
    type: str
    required: true
  unit_file:
    description: Its file.
    type: path
    required: true
  saved_unit_file:
    description:
      - Where the file is saved, with its mode and owner, for M(pi_controller.raft_migration.unit_takeover). Its folder
        must exist.
    type: path
    required: true
  data_dir:
    description: The unit's data folder.
    type: path
    required: true
  pod_data_dir:
    description: What it is renamed to. It must not exist, and be on the file system of O(data_dir).
    type: path
    required: true
  ports:
    description: The TCP ports of the daemon.
    type: list
    elements: int
    required: true
  gate:
    description:
      - The gate that is set before the unit is stopped, and after which it is stopped at once. Without it the gate stays as it is.
      - Whoever finds the unit with its data again opens it, this module never does.
  wait_gone:
    description: Seconds to wait until the stopped unit's daemon is gone.
    type: float
    default: 30
  wait_timeout:
    description: Seconds to wait until the pod listens on all O(ports).
    type: float
    default: 60
notes:
  - Let the pod be scheduled first, with M(pi_controller.raft_migration.k8s_daemonset_nodes). Its volume has the type
    C(Directory), so it does not start before the rename, and starts soon after it.
  - The unit stops as its own C(TimeoutStopSec=) says.
seealso:
  - module: pi_controller.raft_migration.unit_takeover
  - module: pi_controller.raft_migration.k8s_daemonset_nodes
"""

EXAMPLES = r"""
- name: Hand the unit's data over to the pod
  pi_controller.raft_migration.unit_handover:
    unit: pi-controller.service
    unit_file: /etc/systemd/system/pi-controller.service
    saved_unit_file: /var/backups/pi-controller-migration/pi-controller.service
    data_dir: /var/lib/pi-controller
    pod_data_dir: /var/lib/pi-controller-pods
    ports: [8080, 9090, 9091]
"""

RETURN = r"""
steps:
  description: What was done; in check mode what would be. C(at) is in seconds from the start.
  returned: always
  type: list
  elements: dict
  sample:
    - {"step": "stop pi-controller.service", "at": 0.3}
    - {"step": "rename /var/lib/pi-controller to /var/lib/pi-controller-pods", "at": 0.5}
away:
  description: When the Pi had no daemon, by its own clock; null where this run did not stop the unit.
  returned: always
  type: dict
  contains:
    from:
      description: When the unit was stopped, in seconds since the epoch.
      type: float
    seconds:
      description: How long it took until the pod listened; null where it did not.
      type: float
gate:
  description:
    - The gate, as M(pi_controller.raft_migration.traffic_gate) returns it; null without O(gate), and where the data was the pod's already.
  returned: always
  type: dict
  contains:
    began: {type: float, description: "When the change began, by the Pi's clock, in seconds since the epoch."}
elapsed:
  description: Seconds it took.
  returned: always
  type: float
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import contextlib
import signal
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.durable import holding
from ..module_utils._core.exchange import Exchange, exchange_options
from ..module_utils._core.failures import MigrationError
from ..module_utils._core.handover import Handover
from ..module_utils._core.modules import run_module
from ..module_utils._core.systemd import STOPPED
from ..module_utils._core.takeover import TakeoverError
from ..module_utils._gate.options import GATE
from ..module_utils._lease.gate import apply_option


class UnitHandover(Exchange):
    """The steps on one Pi, each of which says whether there is something to do."""

    # Where tests have another one.
    apply_gate = staticmethod(apply_option)

    def __init__(self, module: AnsibleModule) -> None:
        super().__init__(module)
        self.folders = Handover(Path(self.params["data_dir"]), Path(self.params["pod_data_dir"]))
        self.away: dict[str, float | None] | None = None
        self.gate: dict[str, Any] | None = None

    def result(self) -> dict[str, Any]:
        return {**super().result(), "away": self.away, "gate": self.gate}

    def check(self) -> None:
        """Raise where the handover cannot be done. Nothing is changed."""
        self.folders.check()
        # A link to the owner's file is as good as the file; one to /dev/null is a mask.
        if not self.unit_file.is_file():
            self.check_file()

    def predict(self) -> None:
        if self.folders.done:
            return
        self._close_gate()
        state = self.state or self.install.state()
        if state["active"] not in STOPPED:
            self.note(f"stop {self.unit}")
        if not self.install.is_masked(state):
            self.note(f"mask {self.unit}")
        self.note(f"rename {self.folders.data} to {self.folders.pod_data}")

    def run(self) -> None:
        """One at a time: a step whose connection was lost may still be at it when the next run comes."""
        with holding(self.folders.data.parent):
            self.look()
            self.check()
            if not self.folders.done:
                self._close_gate()
                self._hand_over()
            self._wait_listening()

    def _hand_over(self) -> None:
        """The kubelet looks for the folder at growing intervals, so as little as can be lies between the stop and the rename."""
        try:
            state = self._state_before_stop()
            # Several writes to the disk, which the unit does not have to be away for.
            self.install.remember(state)
            if state["active"] not in STOPPED:
                self._stop()
            self.wait_gone(self.folders.data, self.params["wait_gone"], "unit")
            # Until now a reboot starts the unit.
            self.install.mask({**state, "active": STOPPED[0]})
            self.folders.rename()
        except (MigrationError, OSError):
            # The Pi keeps a daemon; a unit whose folder is gone would make an empty one.
            # The first failure is the one to report.
            if not self.folders.done:
                with contextlib.suppress(MigrationError, OSError):
                    self.start_unit()
            raise
        self.note(f"rename {self.folders.data} to {self.folders.pod_data}")

    def _close_gate(self) -> None:
        """In check mode: see whether the kernel can. Where it fails nothing has changed but the gate."""
        wanted = self.params["gate"]
        if wanted is None:
            return
        self.gate = self.apply_gate(self.module, wanted)
        self.gate.pop("diff")
        if self.gate["changed"]:
            self.note(f"set the gate to {wanted['state']}")

    def _state_before_stop(self) -> dict[str, Any]:
        """One that was running when it was looked at is stopped in any case. Any other may have been started while the gate closed."""
        if self.state and self.state["active"] not in STOPPED:
            return self.state
        return self.install.state()

    def _stop(self) -> None:
        self.away = {"from": round(time.time(), 3), "seconds": None}
        self.install.call("stop", self.unit)
        self.note(f"stop {self.unit}")

    def _wait_listening(self) -> None:
        waited = self.wait_listening("pod")
        if not waited.met:
            raise TakeoverError(
                f"the pod has the unit's data ({self.folders.pod_data}), but after {waited.elapsed:.0f} s it does not "
                f"listen on {', '.join(map(str, waited.value))}",
                seen=waited.value,
                wanted=f"a pod that listens on {self.params['ports']}",
                next_step="read `kubectl describe pod` and `kubectl logs` of the pod on this Pi",
            )
        if self.away:
            self.away["seconds"] = round(time.time() - (self.away["from"] or 0.0), 3)
        if self.steps:
            self.note("the pod listens")


def define_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec={
            **exchange_options("unit_file", "saved_unit_file", "data_dir", "pod_data_dir"),
            "gate": GATE,
        },
        supports_check_mode=True,
    )


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    UnitHandover(module).carry_out(result)


def main() -> None:
    module = define_module()
    # The connection may be lost while the daemon is away; the Pi is not left without one because of that.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run_module(module, run, doing="the handover stopped")


if __name__ == "__main__":
    main()

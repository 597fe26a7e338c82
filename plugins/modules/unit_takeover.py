#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_takeover
short_description: Let a Pi's unit take over from its pod, with the pod's data
description:
  - Waits until the pod's daemon is gone, which means that no process but the unit's listens on O(ports) and none has a
    file of O(pod_data_dir) open. Only then does it change anything.
  - Puts the unit's data of before aside, renames the pod's data folder to the unit's, gives it the owner and mode that
    the unit's folder had, puts the saved unit file back with its mode and owner, removes the mask, and enables and
    starts the unit.
  - Then it waits until the unit listens on all O(ports).
  - To Raft this is a restart of one member, with the same ID, address, term and log.
  - It is one step on the Pi, which a lost connection does not interrupt. One that a reboot interrupts goes on where it
    was when it is run again. At no moment can both daemons run, neither on one port nor on one folder.
  - Nothing is deleted, overwritten or copied.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode nothing is waited for. It fails where the folders cannot be renamed, so it tells beforehand
        whether the takeover is possible.
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
    description: Where its file belongs.
    type: path
    required: true
  saved_unit_file:
    description:
      - Where its file was saved. A unit whose file is in its place needs none.
      - A record of how it was installed, beside it, as M(pi_controller.raft_migration.unit_state) leaves it, is followed.
    type: path
    required: true
  data_dir:
    description: The unit's data folder.
    type: path
    required: true
  pod_data_dir:
    description: The pod's data folder. It must be on the file system of O(data_dir).
    type: path
    required: true
  archive_path:
    description:
      - Where the unit's data of before may be, if it is not in O(data_dir).
      - Without it the pod has had the unit's own data from the beginning. Files that it made as root get the owner of
        the folder.
    type: path
  aside:
    description: Where the unit's data of before goes. Its parent folder must exist.
    type: path
    required: true
  ports:
    description: The TCP ports of the daemon.
    type: list
    elements: int
    required: true
  wait_gone:
    description: Seconds to wait until the pod's daemon is gone.
    type: float
    default: 30
  wait_timeout:
    description: Seconds to wait until the unit listens on all O(ports).
    type: float
    default: 60
notes:
  - Stop the pod first, with M(pi_controller.raft_migration.k8s_daemonset_nodes), so that its kubelet does not start it
    again.
seealso:
  - module: pi_controller.raft_migration.k8s_daemonset_nodes
  - module: pi_controller.raft_migration.unit_state
"""

EXAMPLES = r"""
- name: Let the unit take over
  pi_controller.raft_migration.unit_takeover:
    unit: pi-controller.service
    unit_file: /etc/systemd/system/pi-controller.service
    saved_unit_file: /var/backups/pi-controller-migration/pi-controller.service
    data_dir: /var/lib/pi-controller
    pod_data_dir: /var/lib/pi-controller-pods
    archive_path: /var/lib/pi-controller.systemd.backup
    aside: /var/lib/pi-controller.systemd.backup.rolled-back.20260102T030405Z
    ports: [8080, 9090, 9091]
"""

RETURN = r"""
steps:
  description: What was done; in check mode what would be. C(at) is in seconds from the start.
  returned: always
  type: list
  elements: dict
  sample: [{"step": "the pod's daemon is gone", "at": 0.3}, {"step": "rename /var/lib/pi-controller-pods to /var/lib/pi-controller", "at": 0.31}]
elapsed:
  description: Seconds it took.
  returned: always
  type: float
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import signal
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.durable import holding
from ..module_utils._core.exchange import Exchange, exchange_options
from ..module_utils._core.modules import run_module
from ..module_utils._core.systemd import RUNNING, STOPPED
from ..module_utils._core.takeover import Folders, TakeoverError


class Takeover(Exchange):
    """The steps on one Pi, each of which says whether there is something to do."""

    def __init__(self, module: AnsibleModule) -> None:
        super().__init__(module)
        archive = self.params["archive_path"]
        self.folders = Folders(
            Path(self.params["data_dir"]),
            Path(self.params["pod_data_dir"]),
            Path(archive) if archive else None,
            Path(self.params["aside"]),
        )

    def check(self) -> None:
        """Raise where the takeover cannot be done. Nothing is changed."""
        self.folders.check()
        self.check_file()
        active = self.install.state()["active"]
        if not self.folders.handed_over and active in RUNNING:
            raise TakeoverError(
                f"{self.unit} is {active} although the pod has the newest data ({self.folders.pod_data})",
                seen=active,
                wanted="inactive",
                next_step=f"find out who started it, and stop it: `systemctl stop {self.unit}`",
            )

    def predict(self) -> None:
        for src, dest in self.folders.renames():
            self.note(f"rename {src} to {dest}")
        if self.install.due(self.unit_file):
            self.note(f"put {self.unit_file} back")
        if self.install.state()["active"] not in RUNNING:
            self.note(f"start {self.unit}")

    def run(self) -> None:
        """One at a time: a step whose connection was lost may still be at it when the next run comes."""
        with holding(self.folders.data.parent):
            self.look()
            self.check()
            self._take_over()

    def _take_over(self) -> None:
        if not self.folders.handed_over:
            self.wait_gone(self.folders.pod_data, self.params["wait_gone"], "pod")
            moved = self.folders.renames()
            self.folders.hand_over()
            for src, dest in moved:
                self.note(f"rename {src} to {dest}")
        self.start_unit()
        self._wait_listening()

    def _wait_listening(self) -> None:
        waited = self.wait_listening("unit", self._ended)
        if waited.value:
            state = self.install.state()
            # The published daemon ends with status 0 whatever has failed, so Restart=on-failure does not start it again.
            ended = ", and systemd does not start it again" if state["active"] in STOPPED else ""
            raise TakeoverError(
                f"{self.unit} has the pod's data and was started, but after {waited.elapsed:.0f} s it does not listen on "
                f"{', '.join(map(str, waited.value))}: it is {state['active']} ({state['sub']}, {state['restarts']} restarts){ended}",
                seen={"not_listening": waited.value, "unit": state},
                wanted=f"{self.unit} listens on {self.params['ports']}",
                next_step=f"read `journalctl -u {self.unit}` on this Pi and fix what keeps it from starting",
            )
        if self.steps:
            self.note(f"{self.unit} listens")

    def _ended(self) -> bool:
        return self.install.state()["active"] in STOPPED


def define_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec={
            **exchange_options("unit_file", "saved_unit_file", "data_dir", "pod_data_dir", "aside"),
            "archive_path": {"type": "path"},
        },
        supports_check_mode=True,
    )


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    Takeover(module).carry_out(result)


def main() -> None:
    module = define_module()
    # The connection may be lost while the daemon is away; the Pi is not left without one because of that.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run_module(module, run, doing="the takeover stopped")


if __name__ == "__main__":
    main()

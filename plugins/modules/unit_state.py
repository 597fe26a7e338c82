#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_state
short_description: Keep the daemon's unit from running, and bring it back as it was
description:
  - Stops, masks and restores a unit in whatever way it is installed; as a file in C(/etc) or in C(/usr/lib), as a link to a
    file elsewhere, with aliases, with or without links that start it at boot.
  - How it was installed is recorded beside O(saved) before anything changes, and the record is removed when all of it is
    restored.
  - What is reported has been read back from systemd.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  unit:
    description: The unit, by any of its names.
    type: str
    required: true
  unit_file:
    description: Where its file belongs, for a unit that an earlier release has masked without a record.
    type: path
    required: true
  saved:
    description: Where its file is kept. The record is beside it, with C(.json) at its end.
    type: path
    required: true
  state:
    description:
      - V(disabled) removes the links that start it at boot. It stays installed, and runs on.
      - V(masked) stops it and masks all its names.
      - V(started) restores what the other two have changed, and starts it.
    type: str
    choices: [disabled, masked, started]
    required: true
  freed:
    description:
      - With O(state=masked), where nothing may accept connections any more once it is stopped, each C(host:port).
      - It fails where that still is so after 30 seconds. In check mode nothing is waited for.
    type: list
    elements: str
    default: []
seealso:
  - module: pi_controller.raft_migration.unit_takeover
  - module: ansible.builtin.systemd_service
"""

EXAMPLES = r"""
- name: Stop and mask the unit
  pi_controller.raft_migration.unit_state:
    unit: pi-controller.service
    unit_file: /etc/systemd/system/pi-controller.service
    saved: /var/backups/pi-controller-migration/pi-controller.service
    state: masked
"""

RETURN = r"""
steps:
  description: What was done; in check mode what would be.
  returned: always
  type: list
  elements: str
  sample: [stop pi-controller.service, mask pi-controller.service]
unit:
  description: The unit as systemd has it afterwards.
  returned: success
  type: dict
  sample: {"load": "masked", "active": "inactive", "enabled": "masked", "pid": null, "restarts": 0}
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.freed import wait_freed
from ..module_utils._core.modules import run_module
from ..module_utils._core.systemd import RUNNING, in_words
from ..module_utils._core.unit_install import UnitInstall

FREED_WITHIN = 30.0


def predicted(install: UnitInstall, state: str) -> list[str]:
    seen = install.state()
    if state == "disabled":
        return [f"remove {path}" for path in install.starting()]
    if state == "masked":
        return [] if install.is_masked(seen) else [f"stop and mask {install.unit_id}"]
    steps = [f"restore {install.unit_id}"] if install.record or seen["load"] == "masked" else []
    return steps + ([] if seen["active"] in RUNNING else [f"start {install.unit_id}"])


def apply(install: UnitInstall, state: str, unit_file: Path) -> None:
    if state == "disabled":
        install.disable()
    elif state == "masked":
        install.mask()
    else:
        install.restore(unit_file)
        install.start()


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    params = module.params
    steps: list[str] = []
    binary = module.get_bin_path("systemctl", required=True)

    def systemctl(*arguments: str) -> tuple[int, str, str]:
        return tuple(module.run_command([binary, *arguments], environ_update={"LC_ALL": "C"}))

    result["steps"] = steps
    install = UnitInstall(params["unit"], Path(params["saved"]), systemctl, steps.append)
    if module.check_mode:
        steps += predicted(install, params["state"])
    else:
        try:
            apply(install, params["state"], Path(params["unit_file"]))
        finally:
            result["changed"] = bool(steps)
        if params["state"] == "masked":
            wait_freed(params["freed"], FREED_WITHIN)
    result.update(changed=bool(steps), unit=in_words(install.state()))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "unit_file": {"type": "path", "required": True},
            "saved": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["disabled", "masked", "started"], "required": True},
            "freed": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    run_module(module, run, doing=f"changing the unit {module.params['unit']}")


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: folder_move
short_description: Move a folder of state in one step
description:
  - Renames a folder, so that it is at one place or at the other and never half at both, whatever happens meanwhile.
  - Nothing is ever overwritten or merged. A folder at both places is refused, as is another file system, where a
    rename would be a copy, and a symbolic link in any part of a path.
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
options:
  src:
    description: Where the folder is.
    type: path
    required: true
  dest:
    description: Where it shall be. Its parent folder must exist.
    type: path
    required: true
  required:
    description: Fail where there is a folder at neither place, instead of RV(found=false).
    type: bool
    default: true
seealso:
  - module: ansible.builtin.file
"""

EXAMPLES = r"""
- name: Archive the data folder of the unit
  pi_controller.raft_migration.folder_move:
    src: /var/lib/pi-controller
    dest: /var/lib/pi-controller.systemd.backup
"""

RETURN = r"""
found:
  description: Whether there is a folder at RV(folder) now; in check mode whether there would be.
  returned: success
  type: bool
folder:
  description: The folder's place.
  returned: success
  type: str
  sample: /var/lib/pi-controller.systemd.backup
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.folders import move, to_move
from ..module_utils._core.modules import run_module


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    src, dest = Path(module.params["src"]), Path(module.params["dest"])
    moving = to_move(src, dest, module.params["required"])
    if moving and not module.check_mode:
        move(src, dest)
    result.update(
        changed=moving,
        found=moving or dest.exists(),
        folder=str(dest),
        diff={"before": {"path": str(src if moving else dest)}, "after": {"path": str(dest)}},
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "required": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    run_module(module, run, doing=f"moving {module.params['src']} to {module.params['dest']}")


if __name__ == "__main__":
    main()

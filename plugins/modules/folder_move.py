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
    rename would be a copy, and a symbolic link in any part of a path. So is a folder that is a mount point or contains
    one, unless O(keep_mounted) leaves it where it is.
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
  keep_mounted:
    description:
      - Leave a folder that is a mount point, or contains one, where it is, and say so in RV(kept), instead of failing.
    type: bool
    default: false
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
  description: The folder's place; with RV(kept) that of O(src).
  returned: success
  type: str
  sample: /var/lib/pi-controller.systemd.backup
kept:
  description: Why the folder was left at O(src); null where it was not.
  returned: success
  type: str
  sample: /var/lib/pi-controller is a mount point
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.folders import MountedError, move, to_move
from ..module_utils._core.modules import run_module


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    src, dest = Path(module.params["src"]), Path(module.params["dest"])
    kept = None
    try:
        moving = to_move(src, dest, module.params["required"])
    except MountedError as error:
        if not module.params["keep_mounted"]:
            raise
        moving, kept = False, str(error.failure["seen"])
    if moving and not module.check_mode:
        move(src, dest)
    place = src if kept else dest
    result.update(
        changed=moving,
        found=moving or place.exists(),
        folder=str(place),
        kept=kept,
        diff={"before": {"path": str(src if moving else place)}, "after": {"path": str(place)}},
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "required": {"type": "bool", "default": True},
            "keep_mounted": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    run_module(module, run, doing=f"moving {module.params['src']} to {module.params['dest']}")


if __name__ == "__main__":
    main()

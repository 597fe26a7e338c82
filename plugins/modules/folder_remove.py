#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: folder_remove
short_description: Remove a folder with all that is in it
description:
  - Removes a folder by descriptors. Links in it are removed and never followed; a link in the path itself, a mount point, and
    a folder that contains one are refused before anything is removed.
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
  path:
    description: The folder.
    type: path
    required: true
  keep_folder:
    description: Remove only what is in it, and keep the empty folder with its owner and mode.
    type: bool
    default: false
seealso:
  - module: pi_controller.raft_migration.folder_move
"""

EXAMPLES = r"""
- name: Remove the archive
  pi_controller.raft_migration.folder_remove:
    path: /var/lib/pi-controller.systemd.backup
"""

RETURN = r"""
bytes:
  description: Bytes that were freed on the disk; in check mode that would be.
  returned: success
  type: int
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core import removal
from ..module_utils._core.modules import run_module
from ..module_utils._core.paths import size_of


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    path, keep = Path(module.params["path"]), module.params["keep_folder"]
    found = removal.check(path)
    changed = found and not (keep and not any(path.iterdir()))
    size = size_of(str(path)) if changed else 0
    if changed and not module.check_mode:
        removal.remove(path, keep_folder=keep)
    after = "empty" if keep and found else "absent"
    before = "present" if changed else after
    result.update(
        changed=changed,
        bytes=size,
        diff={"before": {"path": str(path), "state": before}, "after": {"path": str(path), "state": after}},
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}, "keep_folder": {"type": "bool", "default": False}},
        supports_check_mode=True,
    )
    run_module(module, run, doing=f"removing {module.params['path']}")


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_leftovers
short_description: Remove what runs that were rolled back have left on a Pi
description:
  - Finds the data that rollbacks have put aside, and the copies of a migration that is not in progress any more, and removes
    them.
  - While a migration is in progress or finished, only what earlier runs put aside is found, since the rest is what a rollback
    uses. While a rollback is in progress, and where the unit's database is not in its place, it fails and removes nothing.
  - Journals, the saved unit file and the archive stay.
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
  data_dir:
    description: The unit's data folder.
    type: path
    required: true
  pod_data_dir:
    description: The pod's data folder.
    type: path
    required: true
  backup_path:
    description: The folder with the journal and the copies.
    type: path
    required: true
  archive_path:
    description: Where the unit's data folder is archived.
    type: path
    required: true
  database:
    description: The unit's database.
    type: path
    required: true
seealso:
  - module: pi_controller.raft_migration.folder_remove
"""

EXAMPLES = r"""
- name: List what an earlier run has left
  pi_controller.raft_migration.migration_leftovers:
    data_dir: /var/lib/pi-controller
    pod_data_dir: /var/lib/pi-controller-pods
    backup_path: /var/backups/pi-controller-migration
    archive_path: /var/lib/pi-controller.systemd.backup
    database: /var/lib/pi-controller/pi-controller.db
  check_mode: true
"""

RETURN = r"""
removed:
  description: What was removed, with the bytes it took; in check mode what would be.
  returned: success
  type: list
  elements: dict
  sample: [{"path": /var/lib/pi-controller-pods.rolled-back.20260102T030405Z, "bytes": 144703488}]
bytes:
  description: All of it.
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

from ..module_utils._core import leftovers, removal
from ..module_utils._core.modules import run_module
from ..module_utils._core.paths import size_of

PLACES = ("data_dir", "pod_data_dir", "backup_path", "archive_path", "database")


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    places = leftovers.Places(*(Path(module.params[name]) for name in PLACES))
    found = leftovers.leftovers(places)
    # All are looked at before the first one is removed.
    due = [path for path in found if removal.check(path)]
    sizes = {str(path): size_of(str(path)) for path in due}
    if not module.check_mode:
        for path in due:
            leftovers.check_still_left(path, places)
            removal.remove(path)
            result["changed"] = True
    removed = [{"path": path, "bytes": size} for path, size in sizes.items()]
    result.update(changed=bool(due), removed=removed, bytes=sum(sizes.values()))


def main() -> None:
    module = AnsibleModule(
        argument_spec={name: {"type": "path", "required": True} for name in PLACES}, supports_check_mode=True
    )
    run_module(module, run, doing="removing what an earlier run has left")


if __name__ == "__main__":
    main()

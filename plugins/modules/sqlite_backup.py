#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_backup
short_description: Back up a SQLite database in use, or put a backup into one
description:
  - A database in WAL mode cannot be copied with C(cp); part of it is in another file and changes meanwhile. This
    module uses
    SQLite's online backup in both directions, so the daemon may have the database open and go on.
  - With O(state=present), one complete file without WAL is written beside O(dest), checked, made durable and renamed.
  - A database in another journal mode than WAL keeps every writer out while it is read. There, the file is copied under
    SQLite's lock and nothing else is done; checks and digests are made on the copy.
  - Symbolic links are not followed, in no part of a path, and a database is a regular file or it is refused.
  - With O(state=restored), O(src) is verified first and then replaces the content of O(path) in B(one) transaction.
    Readers
    see all of the old content or all of the new.
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
    details:
      - Rows per table, before and after.
  idempotent:
    support: full
    details:
      - Equality is a matter of content (rows, schema and C(user_version), without O(exclude_tables)), not of bytes.
options:
  state:
    description:
      - V(present) makes O(dest) a backup of O(path).
      - V(restored) makes the content of O(path) that of O(src). Writers must be fenced off, or what they write
        between the
        transaction and the check after it is reported as a failed restore.
    type: str
    choices: [present, restored]
    default: present
  path:
    description:
      - The live database.
      - With O(state=restored) it is created where it does not exist; its folder must exist.
    type: path
    required: true
  dest:
    description: The backup. Its folder is created where it does not exist. Required with O(state=present).
    type: path
  src:
    description: The backup to restore from, which is only read. Required with O(state=restored).
    type: path
  expected_sha256:
    description: What the SHA-256 of O(src) must be; the sum that was returned when the backup was taken.
    type: str
  exclude_tables:
    description:
      - Tables that record how far the daemon has applied its own Raft log rather than what its users stored.
      - They are copied, but left out of digests, so content that differs in them only is equal and is left alone.
    type: list
    elements: str
    default: []
  busy_timeout:
    description: Seconds to wait for a database that is locked.
    type: float
    default: 10.0
  new_folder:
    description:
      - With O(state=present), make the folder of O(dest) anew, for a process that changes the copy, whatever is in it. What was
        there is removed, so this is never the folder of another backup.
    type: dict
    suboptions:
      owner:
        description: Number of the user that the folder and the copy belong to. Without it they stay root's.
        type: int
      group:
        description: Number of the group. Without it that stays root's.
        type: int
notes:
  - A file this module creates has mode 0600, a folder 0700. A live database keeps owner and mode.
  - Twice the size of the database must be free where the copy goes, or nothing is begun.
  - A daemon that has O(path) open must use the same page size, which it does when both are the same application's.
seealso:
  - module: pi_controller.raft_migration.sqlite_info
"""

EXAMPLES = r"""
- name: Back up the live database
  pi_controller.raft_migration.sqlite_backup:
    path: /var/lib/pi-controller/pi-controller.db
    dest: /var/lib/pi-controller-migration/prepare/pi-controller.db
    exclude_tables: [raft_applied]
  register: backup

- name: Put it into the pod's database
  pi_controller.raft_migration.sqlite_backup:
    state: restored
    path: /var/lib/pi-controller-k8s/pi-controller.db
    src: /var/lib/pi-controller-migration/prepare/pi-controller.db
    expected_sha256: "{{ backup.sha256 }}"
    exclude_tables: [raft_applied]
"""

RETURN = r"""
sha256:
  description: SHA-256 of the backup file, O(dest) or O(src). Absent in check mode when O(dest) would be written.
  returned: success
  type: str
  sample: 8d4e1f...
size:
  description: Bytes of that file.
  returned: success
  type: int
digest:
  description: SHA-256 over all rows of all tables with their types, as M(pi_controller.raft_migration.sqlite_info)
    gives it.
  returned: success
  type: str
schema_digest:
  description: SHA-256 over the declarations of tables, indexes, views and triggers.
  returned: success
  type: str
user_version:
  description: The number the application keeps in the database's header.
  returned: success
  type: int
tables:
  description: Rows and digest of each table.
  returned: success
  type: dict
  sample: {"nodes": {"rows": 3, "digest": "c0ffee..."}}
virtual_tables:
  description: Virtual tables, which are not read themselves.
  returned: success
  type: list
  elements: str
page_count:
  description: Pages in the backup.
  returned: success
  type: int
page_size:
  description: Bytes in a page.
  returned: success
  type: int
writes_waited:
  description: Seconds for which writers of a live database that is not in WAL mode had to wait for the copy.
  returned: with O(state=present)
  type: float
  sample: 0.041
elapsed:
  description: Seconds it took.
  returned: success
  type: float
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import os
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core import removal
from ..module_utils._core.modules import run_module
from ..module_utils._core.safe_open import open_file
from ..module_utils._sqlite.backup import Copy


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    started = time.monotonic()
    copy, anew = Copy(module.params, module.check_mode), module.params["new_folder"]
    if anew is not None:
        folder = Path(module.params["dest"]).parent
        if removal.check(folder) and not module.check_mode:
            removal.remove(folder)
    result.update(copy.present() if module.params["state"] == "present" else copy.restored())
    if anew is not None:
        result["changed"] = True
        if not module.check_mode:
            give(Path(module.params["dest"]), anew["owner"], anew["group"])
    result["elapsed"] = round(time.monotonic() - started, 3)


def give(copy: Path, owner: int | None, group: int | None) -> None:
    """Hand the copy and its folder over to this user. The folder last: until then only root can put anything in it."""
    ids = (-1 if owner is None else owner, -1 if group is None else group)
    descriptor = open_file(copy)
    try:
        os.fchown(descriptor, *ids)
    finally:
        os.close(descriptor)
    os.chown(copy.parent, *ids, follow_symlinks=False)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "restored"], "default": "present"},
            "path": {"type": "path", "required": True},
            "dest": {"type": "path"},
            "src": {"type": "path"},
            "expected_sha256": {"type": "str"},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "busy_timeout": {"type": "float", "default": 10.0},
            "new_folder": {"type": "dict", "options": {"owner": {"type": "int"}, "group": {"type": "int"}}},
        },
        required_by={"new_folder": ["dest"]},
        required_if=[("state", "present", ["dest"]), ("state", "restored", ["src"])],
        supports_check_mode=True,
    )
    doing = {"present": "backing up", "restored": "restoring"}[module.params["state"]]
    run_module(module, run, doing=f"{doing} {module.params['path']}")


if __name__ == "__main__":
    main()

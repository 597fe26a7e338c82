#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_info
short_description: Read what a SQLite database holds, and how it differs from another
description:
  - Reads a SQLite database as it is at one moment, and a daemon that has it open goes on writing meanwhile. In WAL mode
    that is a read transaction. In other modes a reader keeps writers out, so the file is copied under SQLite's lock, and the copy,
    which has no name once it is open, is read. It goes into C(/var/tmp), or into C(/var/lib) where that is memory (tmpfs).
  - Gives digests of the logical content. Two good copies of equal data differ in bytes but have equal digests.
  - With O(against), counts the rows by which it differs from a second database.
  - Never creates a missing database and never writes to one. (SQLite itself may leave an empty C(-wal) and a C(-shm)
    beside
    a database in WAL mode that no other process has open.)
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  path:
    description: The database.
    type: path
    required: true
  against:
    description: A second database to compare with.
    type: path
  exclude_tables:
    description:
      - Tables that record how far the daemon has applied its own Raft log rather than what its users stored.
      - They, their indexes and their counters are left out of every digest and comparison. Case does not matter.
    type: list
    elements: str
    default: []
  volatile_columns:
    description:
      - Columns that the daemon writes by itself, as C(table.column). They make no difference to O(against); digests have them.
        Case does not matter.
    type: list
    elements: str
    default: []
  expected:
    description:
      - What the content has to be, or the module fails. With O(against) it may differ from that in O(volatile_columns) alone, and is only
        compared with it where the digest is another.
    type: dict
    suboptions:
      digest:
        description: RV(digest) as it was before.
        type: str
        required: true
      next_step:
        description: What the failure says is to be done next.
        type: str
  expected_against:
    description: What the content of O(against) has to be, or the module fails. It is read and looked at first.
    type: dict
    suboptions:
      digest:
        description: Its RV(digest) as it was before.
        type: str
        required: true
      next_step:
        description: What the failure says is to be done next.
        type: str
  integrity:
    description: Whether to run SQLite's integrity check as well and fail when it finds something.
    type: bool
    default: false
  busy_timeout:
    description: Seconds to wait for a database that is locked.
    type: float
    default: 10.0
notes:
  - Virtual tables have no rows of their own. Their shadow tables are ordinary tables and are counted.
  - Memory depends on neither the size of the database nor that of its values, with Python 3.11 or newer. With an older
    Python, and in tables declared C(WITHOUT ROWID), the largest row is in memory twice.
  - Symbolic links are not followed, in no part of a path, and a database is a regular file or it is refused.
seealso:
  - module: pi_controller.raft_migration.sqlite_backup
"""

EXAMPLES = r"""
- name: Read the digest of the live database
  pi_controller.raft_migration.sqlite_info:
    path: /var/lib/pi-controller/pi-controller.db
    exclude_tables: [raft_applied]
  register: content

- name: Count the rows written since the backup
  pi_controller.raft_migration.sqlite_info:
    path: /var/lib/pi-controller/pi-controller.db
    against: /var/lib/pi-controller-migration/prepare/pi-controller.db
    exclude_tables: [raft_applied]
  register: difference
"""

RETURN = r"""
digest:
  description: SHA-256 over all rows of all tables with their types, in an order that depends on nothing but the values.
  returned: success
  type: str
  sample: 9f2c6a0d...
schema_digest:
  description: SHA-256 over the declarations of tables, indexes, views and triggers.
  returned: success
  type: str
  sample: 51be077a...
user_version:
  description: The number the application keeps in the database's header.
  returned: success
  type: int
  sample: 3
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
  description: Pages in the database.
  returned: success
  type: int
page_size:
  description: Bytes in a page.
  returned: success
  type: int
journal_mode:
  description: V(wal) or the journal mode the database is in.
  returned: success
  type: str
  sample: wal
writes_waited:
  description: Seconds for which writers of a live database that is not in WAL mode had to wait for the copy.
  returned: success
  type: float
  sample: 0.041
elapsed:
  description: Seconds the reading took.
  returned: success
  type: float
comparison:
  description: How O(path) differs from O(against).
  returned: when O(against) is given
  type: dict
  contains:
    equal:
      description: Whether no row differs, the next AUTOINCREMENT ids included.
      type: bool
    rows:
      description: Rows that differ in all tables of the application.
      type: int
    tables:
      description: >-
        Per table, rows only in O(path) (C(added)), rows with the same primary key and other values (C(changed)) and
        rows only
        in O(against) (C(removed)). Where a table's columns differ (C(same_columns=false)) all its rows count.
      type: dict
    schema_digest:
      description: RV(schema_digest) of O(against).
      type: str
  sample:
    equal: false
    rows: 1
    tables:
      nodes: {added: 1, changed: 0, removed: 0, same_columns: true}
    schema_digest: 51be077a...
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import time
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import run_module
from ..module_utils._sqlite.look import look_at

EXPECTED: dict[str, Any] = {"digest": {"type": "str", "required": True}, "next_step": {"type": "str"}}


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    params, started = module.params, time.monotonic()
    against = Path(params["against"]) if params["against"] else None
    if against and params["expected_against"]:
        found = look_at(against, params["exclude_tables"], params["busy_timeout"])
        check(params["against"], found, **params["expected_against"])
    result.update(
        look_at(
            Path(params["path"]),
            params["exclude_tables"],
            params["busy_timeout"],
            params["integrity"],
            against,
            params["volatile_columns"],
            params["expected"]["digest"] if params["expected"] else None,
        )
    )
    if params["expected"]:
        check(params["path"], result, **params["expected"])
    result["elapsed"] = round(time.monotonic() - started, 3)


def check(path: str, found: dict[str, Any], digest: str, next_step: Optional[str]) -> None:
    """Raise MigrationError where the content is not the expected one."""
    comparison = found.get("comparison")
    if found["digest"] == digest or (comparison and comparison["equal"]):
        return
    differ = f" ({comparison['rows']} rows differ)" if comparison else ""
    raise MigrationError(
        f"{path} holds content {found['digest']}, wanted {digest}{differ}",
        seen=found["digest"],
        wanted=digest,
        next_step=next_step,
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "against": {"type": "path"},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "volatile_columns": {"type": "list", "elements": "str", "default": []},
            "expected": {"type": "dict", "options": EXPECTED},
            "expected_against": {"type": "dict", "options": EXPECTED},
            "integrity": {"type": "bool", "default": False},
            "busy_timeout": {"type": "float", "default": 10.0},
        },
        required_by={"expected_against": ["against"]},
        supports_check_mode=True,
    )
    run_module(module, run, doing=f"reading {module.params['path']}")


if __name__ == "__main__":
    main()

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
      - Tables that say where the daemon stands in its own Raft log rather than what its users stored.
      - They are copied, but left out of digests, so content that differs in them only is equal and is left alone.
    type: list
    elements: str
    default: []
  force:
    description: Write the backup even where O(dest) has the same content.
    type: bool
    default: false
  mode:
    description: Mode of a file this module creates. A live database keeps owner and mode.
    type: str
    default: "0600"
  directory_mode:
    description: Mode of the folder of O(dest) when it is created.
    type: str
    default: "0700"
  busy_timeout:
    description: Seconds to wait for a database that is locked.
    type: float
    default: 10.0
notes:
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

from ..module_utils._core.durable import beside, sha256_of
from ..module_utils._core.failures import RaftError, fail
from ..module_utils._sqlite.copies import (
    NotNeeded,
    check_sha256,
    check_space,
    copy_online,
    isolated,
    write_standalone,
)
from ..module_utils._sqlite.database import (
    SqliteError,
    check_integrity,
    opened,
    pages,
    pragma,
    reading,
    standalone,
)
from ..module_utils._sqlite.digest import Content, content_of


class Copy:
    """One database copied to another place; `params` are the module's."""

    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        self.path = Path(params["path"])
        self.exclude: list[str] = params["exclude_tables"]
        self.busy: float = params["busy_timeout"]
        self.mode = int(params["mode"], 8)
        self.params = params
        self.check_mode = check_mode

    def present(self) -> dict[str, Any]:
        dest = Path(self.params["dest"])
        before = self._backup_at(dest)
        wanted: list[Content] = []
        if self.check_mode:
            with isolated(self.path, self.busy) as (source, waited):
                facts: dict[str, Any] = pages(source)
                wanted.append(content_of(source, self.exclude))
            changed = self._differs(before, wanted[0])
        else:
            with reading(self.path, self.busy) as source:
                facts = pages(source)
            dest.parent.mkdir(mode=int(self.params["directory_mode"], 8), parents=True, exist_ok=True)
            check_space(dest.parent, facts["page_count"] * facts["page_size"])

            def inspect(copy: Any) -> None:
                # Read from the copy: while the live database is read, its writers may have to wait.
                wanted.append(content_of(copy, self.exclude))
                if not self._differs(before, wanted[0]):
                    raise NotNeeded

            changed, waited = True, 0.0
            try:
                waited = write_standalone(self.path, dest, self.mode, self.busy, inspect)
            except NotNeeded:
                changed = False
        if not (changed and self.check_mode):
            with standalone(dest, self.busy) as backup:
                facts = {**pages(backup), "sha256": sha256_of(dest), "size": dest.stat().st_size}
        return {
            **facts,
            **wanted[0].result(),
            "changed": changed,
            "writes_waited": round(waited, 3),
            "diff": self._diff(dest, before, wanted[0]),
        }

    def _differs(self, before: Content | None, wanted: Content) -> bool:
        return self.params["force"] or before is None or not before.equals(wanted)

    def _backup_at(self, dest: Path) -> Content | None:
        """The content of an earlier backup; None where there is none, or none that is any good."""
        try:
            with standalone(dest, self.busy) as backup:
                check_integrity(backup, dest)
                return content_of(backup, self.exclude)
        except SqliteError:
            return None

    def restored(self) -> dict[str, Any]:
        src = Path(self.params["src"])
        if src.resolve() == self.path.resolve():
            raise SqliteError(f"src and path are the same file, {src}", next_step="name the backup in src")
        with standalone(src, self.busy) as source:
            facts: dict[str, Any] = {
                "sha256": check_sha256(src, self.params["expected_sha256"]),
                "size": src.stat().st_size,
                **pages(source),
            }
            check_integrity(source, src)
            wanted = content_of(source, self.exclude)
            before = self._live()
            changed = before is None or not before.equals(wanted)
            if changed and not self.check_mode:
                check_space(self.path.parent, facts["size"])
                if before is None:
                    write_standalone(
                        source, self.path, self.mode, self.busy, lambda copy: self._same(copy, self.path, wanted)
                    )
                else:
                    with opened(self.path, "mode=rw", self.busy) as live:
                        self._into(source, live, facts["page_size"])
                    with isolated(self.path, self.busy) as (live, _waited):
                        check_integrity(live, self.path)
                        self._same(live, self.path, wanted)
        return {**facts, **wanted.result(), "changed": changed, "diff": self._diff(self.path, before, wanted)}

    def _live(self) -> Content | None:
        if os.path.lexists(self.path):
            if not self.check_mode:
                # A write that a crash interrupted is rolled back by the first connection that may write.
                with opened(self.path, "mode=rw", self.busy) as live:
                    live.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with isolated(self.path, self.busy) as (live, _waited):
                return content_of(live, self.exclude)
        if not self.path.parent.is_dir():
            raise SqliteError(f"{self.path.parent} does not exist", next_step="create the daemon's data folder first")
        stale = [
            beside(self.path, suffix).name
            for suffix in ("-wal", "-shm", "-journal")
            if beside(self.path, suffix).exists()
        ]
        if stale:
            # SQLite would play them into the new file on first open.
            raise SqliteError(
                f"{self.path} is missing, but {', '.join(stale)} of an earlier database lie in {self.path.parent}",
                seen=stale,
                next_step="move them away (they may hold the last writes of that database), then run this again",
            )
        return None

    def _into(self, source: Any, live: Any, page_size: int) -> None:
        seen = pragma(live, "page_size")
        if pragma(live, "journal_mode") == "wal" and seen != page_size:
            raise SqliteError(
                f"{self.path} is in WAL mode with pages of {seen} bytes, the backup has {page_size}",
                seen=seen,
                wanted=page_size,
                next_step="stop the daemon, move its database and -wal away, and restore into a new file",
            )
        copy_online(source, live, self.path, self.busy)

    def _same(self, copy: Any, path: Path, wanted: Content) -> None:
        seen = content_of(copy, self.exclude)
        if not seen.equals(wanted):
            raise SqliteError(
                f"{path} holds other content than it was given: digest {seen.digest}, wanted {wanted.digest}",
                seen=seen.result(),
                wanted=wanted.result(),
                next_step="stop or fence the client that writes to it, then run this again",
            )

    def _diff(self, path: Path, before: Content | None, after: Content) -> dict[str, Any]:
        def shown(content: Content | None) -> dict[str, Any]:
            return {"digest": content.digest, "rows": content.rows()} if content else {}

        return {"before_header": str(path), "after_header": str(path), "before": shown(before), "after": shown(after)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "restored"], "default": "present"},
            "path": {"type": "path", "required": True},
            "dest": {"type": "path"},
            "src": {"type": "path"},
            "expected_sha256": {"type": "str"},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "force": {"type": "bool", "default": False},
            "mode": {"type": "str", "default": "0600"},
            "directory_mode": {"type": "str", "default": "0700"},
            "busy_timeout": {"type": "float", "default": 10.0},
        },
        required_if=[("state", "present", ["dest"]), ("state", "restored", ["src"])],
        supports_check_mode=True,
    )
    started = time.monotonic()
    try:
        copy = Copy(module.params, module.check_mode)
        result = copy.present() if module.params["state"] == "present" else copy.restored()
    except RaftError as error:
        fail(module, error)
    except (OSError, ValueError) as error:
        fail(module, SqliteError(f"{module.params['path']}: {error}", next_step="fix the problem above and run the same command again"))
    module.exit_json(elapsed=round(time.monotonic() - started, 3), **result)


if __name__ == "__main__":
    main()

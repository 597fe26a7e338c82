# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup of a live database, and a live database made of a backup: only where the content differs, and verified."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .._core.durable import beside, make_private, sha256_of
from .copies import NotNeeded, check_sha256, check_space, copy_online, isolated, write_standalone
from .database import SqliteError, check_integrity, opened, pages, pragma, reading, standalone
from .digest import Content, content_of

MODE = 0o600


def _differ(before: Content | None, wanted: Content) -> bool:
    return before is None or not before.equals(wanted)


class Copy:
    """One database copied to another place; `params` are those of the module sqlite_backup."""

    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        self.path = Path(params["path"])
        self.exclude: list[str] = params["exclude_tables"]
        self.busy: float = params["busy_timeout"]
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
            changed = _differ(before, wanted[0])
        else:
            with reading(self.path, self.busy) as source:
                facts = pages(source)
            make_private(dest.parent)
            check_space(dest.parent, facts["page_count"] * facts["page_size"])

            def inspect(copy: Any) -> None:
                # Read from the copy: while the live database is read, its writers may have to wait.
                wanted.append(content_of(copy, self.exclude))
                if not _differ(before, wanted[0]):
                    raise NotNeeded

            changed, waited = True, 0.0
            try:
                waited = write_standalone(self.path, dest, MODE, self.busy, inspect)
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
            changed = _differ(before, wanted)
            if changed and not self.check_mode:
                check_space(self.path.parent, facts["size"])
                if before is None:
                    write_standalone(
                        source, self.path, MODE, self.busy, lambda copy: self._same(copy, self.path, wanted)
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
                next_step="move them away (they may hold the last writes of that database), then run the same command again",
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
                next_step="stop or fence the client that writes to it, then run the same command again",
            )

    def _diff(self, path: Path, before: Content | None, after: Content) -> dict[str, Any]:
        def shown(content: Content | None) -> dict[str, Any]:
            return {"digest": content.digest, "rows": content.rows()} if content else {}

        return {"before_header": str(path), "after_header": str(path), "before": shown(before), "after": shown(after)}

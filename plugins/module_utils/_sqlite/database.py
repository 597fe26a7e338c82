# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copying SQLite databases that a daemon has open, in either direction, and knowing that the copy is good."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._core.durable import beside, replacing, sha256_of
from .._core.failures import RaftError

MAGIC = b"SQLite format 3\0"
# Result codes that SQLite's backup hands to the progress callback (Python names them only from 3.11 on).
SQLITE_BUSY, SQLITE_LOCKED = 5, 6
# A copy needs its own size, and as much again for the journal or WAL that grows while it is written.
SPACE_FACTOR = 2


class SqliteError(RaftError):
    """A database that cannot be read, copied or trusted."""


def uri(path: Path, parameters: str) -> str:
    """`path` as SQLite opens it by URI: the only way to say that a missing file must not be created."""
    return f"file:{quote(str(path.absolute()))}?{parameters}"


@contextlib.contextmanager
def opened(path: Path, parameters: str, busy_timeout: float) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit mode; whatever SQLite says of `path` meanwhile becomes a SqliteError."""
    if not path.is_file():
        raise SqliteError(
            f"{path} does not exist", seen="no such file", next_step="check the path and the host it is read on"
        )
    try:
        connection = sqlite3.connect(uri(path, parameters), uri=True, timeout=busy_timeout, isolation_level=None)
        try:
            # Text that is not UTF-8 must neither stop a read nor be confused with text that is.
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise SqliteError(f"{path}: {error}", seen=str(error), next_step=_next_step(error)) from error


def _next_step(error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text or "busy" in text:
        return "find who holds the database (fuser), or raise busy_timeout"
    if "malformed" in text or "not a database" in text:
        return "take another copy of the database; this one is damaged"
    return "look at the file's permissions, its folder and the free space"


@contextlib.contextmanager
def reading(path: Path, busy_timeout: float) -> Iterator[sqlite3.Connection]:
    """A connection inside one read transaction: everything read comes from one moment, and writers go on meanwhile."""
    with opened(path, "mode=ro", busy_timeout) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield connection


@contextlib.contextmanager
def standalone(path: Path, busy_timeout: float) -> Iterator[sqlite3.Connection]:
    """A connection to a backup that nobody writes to, which leaves no trace beside the file.

    A WAL beside it would be part of the data and is not read this way, so such a file is refused.
    """
    wal = beside(path, "-wal")
    if wal.exists() and wal.stat().st_size:
        raise SqliteError(
            f"{path} has {wal.name} beside it, so it is not a backup but a live or crashed database",
            seen=f"{wal.stat().st_size} bytes in {wal.name}",
            next_step="take a backup with state=present and use that",
        )
    with opened(path, "mode=ro&immutable=1", busy_timeout) as connection:
        yield connection


def check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    if found != ["ok"]:
        raise SqliteError(
            f"{path} failed SQLite's integrity check: {'; '.join(found)}",
            seen=found,
            wanted="ok",
            next_step="take another copy of the database; this one is damaged",
        )


def pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def pages(connection: sqlite3.Connection) -> dict[str, int]:
    return {"page_count": int(pragma(connection, "page_count")), "page_size": int(pragma(connection, "page_size"))}


def check_sha256(path: Path, expected: str | None) -> str:
    seen = sha256_of(path)
    if expected and seen != expected.strip().lower():
        raise SqliteError(
            f"{path} is not the file that was sent: its SHA-256 is {seen}, expected {expected}",
            seen=seen,
            wanted=expected,
            next_step="copy it again from where it was taken",
        )
    return seen


def check_space(folder: Path, size: int) -> None:
    """Fail before the first byte is written, rather than with half a copy on a full card."""
    filesystem = os.statvfs(folder)
    free, wanted = filesystem.f_bavail * filesystem.f_frsize, SPACE_FACTOR * size
    if free < wanted:
        raise SqliteError(
            f"{folder} has {free} bytes free, wanted are {wanted} ({SPACE_FACTOR} times the database of {size} bytes)",
            seen=free,
            wanted=wanted,
            next_step=f"free {wanted - free} bytes there, or choose another folder",
        )


def copy_online(source: sqlite3.Connection, target: sqlite3.Connection, path: Path, busy_timeout: float) -> None:
    """All pages in one step: one moment of the source, one transaction in the target.

    Python repeats a busy step for ever, so the callback it makes after each step ends the wait.
    """
    deadline = time.monotonic() + busy_timeout

    def bounded(status: int, _remaining: int, _total: int) -> None:
        if status in (SQLITE_BUSY, SQLITE_LOCKED) and time.monotonic() >= deadline:
            raise SqliteError(
                f"{path} stayed locked for {busy_timeout:g} seconds",
                seen="locked",
                next_step="find who holds the database (fuser), or raise busy_timeout",
            )

    # SQLite's own wait grows to a tenth of a second between tries, and beside a busy writer it may never find the gap.
    target.execute("PRAGMA busy_timeout=0")
    source.backup(target, pages=-1, progress=bounded, sleep=0.002)
    target.execute(f"PRAGMA busy_timeout={round(busy_timeout * 1000)}")


def write_standalone(
    source: sqlite3.Connection,
    path: Path,
    mode: int,
    busy_timeout: float,
    inspect: Callable[[sqlite3.Connection], None],
) -> None:
    """Copy `source` into a new file at `path`: one file without WAL, checked and inspected before it has the name."""
    with replacing(path, mode) as new, opened(new, "mode=rw", busy_timeout) as target:
        copy_online(source, target, path, busy_timeout)
        # The copy says "WAL" in its header as the live database does; as a backup it must be complete in one file.
        target.execute("PRAGMA journal_mode=DELETE")
        check_integrity(target, new)
        inspect(target)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opening SQLite databases that a daemon has open, or that a pod can replace, and saying what is wrong with them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._core.durable import beside
from .._core.failures import MigrationError
from .._core.safe_open import folder, kind_of, open_file

# How a journal begins that SQLite would roll back.
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
SIDE_FILES = ("-journal", "-wal", "-shm")


class SqliteError(MigrationError):
    """A database that cannot be read, copied or trusted."""


def missing(path: Path) -> SqliteError:
    return SqliteError(
        f"{path} does not exist", seen="no such file", next_step="check the path and the host it is read on"
    )


def uri(path: Path, parameters: str) -> str:
    """`path` as SQLite opens it by URI: the only way to say that a missing file must not be created."""
    return f"file:{quote(str(path.absolute()))}?{parameters}"


@contextlib.contextmanager
def opened(path: Path, parameters: str, busy_timeout: float, shown: Path | None = None) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit mode; an error of SQLite's becomes a SqliteError about `shown`, which is `path` itself
    where that is not a copy. Raises UnsafePath as well.

    The database and the files beside it are regular files, and no part of the path is a link: a pod that puts a link in
    place of its database must not have another one read or overwritten.
    """
    try:
        with _pinned(path) as pinned:
            connection = sqlite3.connect(uri(path, parameters), uri=True, timeout=busy_timeout, isolation_level=None)
            try:
                pinned.check()
            except BaseException:
                connection.close()
                raise
        try:
            # Text that is not UTF-8 must neither stop a read nor be confused with text that is.
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise SqliteError(f"{shown or path}: {error}", seen=str(error), next_step=_next_step(error)) from error


class _Pinned:
    """The file that is at `path` now. SQLite opens by name and follows links, so what it opened is compared with it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self.path, self.identity = path, (found.st_dev, found.st_ino)
        self.before = _open_files()

    def check(self) -> None:
        for name, identity in _open_files().items():
            if identity not in (self.identity, self.before.get(name)):
                raise SqliteError(
                    f"{self.path} was replaced while it was opened",
                    seen=os.readlink(f"/proc/self/fd/{name}"),  # noqa: PTH115
                    wanted=str(self.path),
                    next_step=f"find out what replaces it (ls -l {self.path.parent})",
                )


def _open_files() -> dict[str, tuple[int, int]]:
    """Device and inode of each regular file that this process has open, by the number of its descriptor."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        # That of the listing itself is closed by now.
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(f"/proc/self/fd/{name}")  # noqa: PTH116
            if stat.S_ISREG(status.st_mode):
                found[name] = (status.st_dev, status.st_ino)
    return found


@contextlib.contextmanager
def _pinned(path: Path) -> Iterator[_Pinned]:
    try:
        with folder(path.parent) as parent:
            for suffix in SIDE_FILES:
                with contextlib.suppress(FileNotFoundError):
                    _check_regular(parent, beside(path, suffix))
            _check_regular(parent, path)
            # O_PATH: closing any other descriptor of a database drops the locks that this process has on it.
            descriptor = os.open(path.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        raise missing(path) from None
    try:
        yield _Pinned(path, descriptor)
    finally:
        os.close(descriptor)


def _check_regular(parent: int, path: Path) -> None:
    kind = kind_of(os.stat(path.name, dir_fd=parent, follow_symlinks=False).st_mode)
    if kind != "a regular file":
        raise SqliteError(
            f"{path} is {kind}",
            seen=kind,
            wanted="a regular file",
            next_step=f"find out what put it there (ls -l {path}); links are not followed",
        )


def _next_step(error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text or "busy" in text:
        return "find the process that holds the database (fuser), or raise busy_timeout"
    if any(words in text for words in ("no such collation", "no such function", "unknown function", "no such module")):
        return (
            f"the database needs something of its application that SQLite {sqlite3.sqlite_version} on this host does not have;"
            " run preflight, which lists each table and what it needs"
        )
    if "malformed database schema" in text:
        return (
            f"SQLite {sqlite3.sqlite_version} on this host cannot read the schema; run preflight, which lists each table and"
            " what it needs, and upgrade SQLite there (libsqlite3)"
        )
    if "readonly database" in text:
        return "a write was interrupted and is not rolled back yet; start the database's daemon once, which does it"
    if "malformed" in text or "not a database" in text:
        return "take another copy of the database; this one is damaged"
    return "look at the file's permissions, its folder and the free space"


@contextlib.contextmanager
def reading(path: Path, busy_timeout: float) -> Iterator[sqlite3.Connection]:
    """A connection inside one read transaction: everything read comes from one moment.

    In WAL mode writers go on meanwhile. In every other mode they wait: see `isolated`.
    """
    with opened(path, "mode=ro", busy_timeout) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield connection


def in_wal_mode(connection: sqlite3.Connection) -> bool:
    return bool(pragma(connection, "journal_mode") == "wal")


@contextlib.contextmanager
def standalone(path: Path, busy_timeout: float) -> Iterator[sqlite3.Connection]:
    """A connection to a backup that no process writes to, which leaves no trace beside the file.

    A WAL or a hot journal beside it would be part of the data and is not read this way, so such a file is refused.
    """
    for suffix in ("-wal", "-journal"):
        _check_no_leftover(path, suffix)
    with opened(path, "mode=ro&immutable=1", busy_timeout) as connection:
        yield connection


def _check_no_leftover(path: Path, suffix: str) -> None:
    leftover = beside(path, suffix)
    try:
        descriptor = open_file(leftover)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(descriptor).st_size
        # With journal_mode=persist a journal that is done with stays, its header overwritten with zeros.
        counts = bool(size) and (suffix == "-wal" or os.pread(descriptor, 8, 0) == JOURNAL_MAGIC)
    finally:
        os.close(descriptor)
    if counts:
        raise SqliteError(
            f"{path} has {leftover.name} beside it, so it is not a backup but a live or crashed database",
            seen=f"{size} bytes in {leftover.name}",
            wanted="a backup, which is one file",
            next_step="take a backup with state=present and use that",
        )


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

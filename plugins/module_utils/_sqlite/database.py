# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copying SQLite databases that a daemon has open, in either direction, and knowing that the copy is good."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._core.durable import beside, replacing, sha256_of
from .._core.failures import RaftError
from .._core.safe_open import folder, kind_of, open_file

# How a journal begins that SQLite would roll back.
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
SIDE_FILES = ("-journal", "-wal", "-shm")
# Result codes that SQLite's backup hands to the progress callback (Python names them only from 3.11 on).
SQLITE_BUSY, SQLITE_LOCKED = 5, 6
# A copy needs its own size, and as much again for the journal or WAL that grows while it is written.
SPACE_FACTOR = 2


# On the disk: /tmp may be memory, of which a Pi has little.
SCRATCH = Path("/var/tmp")


class SqliteError(RaftError):
    """A database that cannot be read, copied or trusted."""


def uri(path: Path, parameters: str) -> str:
    """`path` as SQLite opens it by URI: the only way to say that a missing file must not be created."""
    return f"file:{quote(str(path.absolute()))}?{parameters}"


@contextlib.contextmanager
def opened(
    path: Path, parameters: str, busy_timeout: float, shown: Path | None = None
) -> Iterator[sqlite3.Connection]:
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
        raise SqliteError(
            f"{path} does not exist", seen="no such file", next_step="check the path and the host it is read on"
        ) from None
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


@contextlib.contextmanager
def isolated(path: Path, busy_timeout: float, scratch: Path = SCRATCH) -> Iterator[tuple[sqlite3.Connection, float]]:
    """A connection to what the database holds at one moment, and the seconds for which writes had to wait.

    In WAL mode that is a read transaction, for which no write waits. In other modes a reader keeps every writer out, so
    what is read at length is a private copy in `scratch`, which has no name any more once it is open.
    """
    with reading(path, busy_timeout) as connection:
        if in_wal_mode(connection):
            yield connection, 0.0
            return
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    # As much again stays free: a daemon is alive on this disk.
    check_space(scratch, path.stat().st_size)
    with contextlib.ExitStack() as stack:
        # Made 0700 by mkdtemp, and gone, with the copy in it, when SQLite has the copy open.
        with tempfile.TemporaryDirectory(prefix="pi-controller-migration-", dir=scratch) as private:
            copy = Path(private).resolve() / "copy.db"
            copy.touch(mode=0o600, exist_ok=False)
            waited = copy_live(path, copy, busy_timeout)
            connection = stack.enter_context(opened(copy, "mode=ro&immutable=1", busy_timeout, path))
        yield connection, waited


def in_wal_mode(connection: sqlite3.Connection) -> bool:
    return bool(pragma(connection, "journal_mode") == "wal")


@contextlib.contextmanager
def _raw(path: Path) -> Iterator[int]:
    """A descriptor of a database, for its bytes."""
    try:
        descriptor = open_file(path)
    except FileNotFoundError:
        raise SqliteError(
            f"{path} does not exist", seen="no such file", next_step="check the path and the host it is read on"
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def copy_live(path: Path, new: Path, busy_timeout: float) -> float:
    """Fill the empty file `new` with what the database holds at one moment; returns the seconds that writes waited.

    In WAL mode, none. In other modes every writer waits while a reader has its lock, so under the lock the file is copied
    and nothing else is done: it has been read once before, so that it is in memory, and is checked and made durable later.
    """
    with reading(path, busy_timeout) as connection:
        if in_wal_mode(connection):
            with opened(new, "mode=rw", busy_timeout) as target:
                _copy_into_standalone(connection, target, path, busy_timeout)
            return 0.0
    # Opened before the connection and closed after it: closing it drops every lock that this process has on the file.
    with _raw(path) as source, contextlib.closing(_Target(new)) as target_file:
        _read_once(source)
        with reading(path, busy_timeout) as connection:
            began = time.monotonic()
            if in_wal_mode(connection):
                raise SqliteError(
                    f"{path} was put into WAL mode while it was copied",
                    seen="wal",
                    wanted="one journal mode",
                    next_step="run the same command again",
                )
            size = pages(connection)
            target_file.fill(source, size["page_count"] * size["page_size"])
            connection.execute("COMMIT")
            return time.monotonic() - began


def _read_once(descriptor: int) -> None:
    offset = 0
    while part := os.pread(descriptor, 1 << 20, offset):
        offset += len(part)


class _Target:
    """The file a database is copied to, byte by byte."""

    def __init__(self, path: Path) -> None:
        self.descriptor = open_file(path, os.O_WRONLY)

    def fill(self, source: int, size: int) -> None:
        offset = 0
        while offset < size:
            sent = os.sendfile(self.descriptor, source, offset, size - offset)
            if not sent:
                raise SqliteError(
                    f"the database ended after {offset} bytes, its header says {size}",
                    seen=offset,
                    wanted=size,
                    next_step="take another copy of the database; this one is damaged",
                )
            offset += sent

    def close(self) -> None:
        os.close(self.descriptor)


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


def check_space(directory: Path, size: int) -> None:
    """Fail before the first byte is written, rather than with half a copy on a full card."""
    filesystem = os.statvfs(directory)
    free, wanted = filesystem.f_bavail * filesystem.f_frsize, SPACE_FACTOR * size
    if free < wanted:
        raise SqliteError(
            f"{directory} has {free} bytes free, wanted are {wanted} ({SPACE_FACTOR} times the database of {size} bytes)",
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
                next_step="find the process that holds the database (fuser), or raise busy_timeout",
            )

    # SQLite's own wait grows to a tenth of a second between tries, and beside a busy writer it may never find the gap.
    target.execute("PRAGMA busy_timeout=0")
    source.backup(target, pages=-1, progress=bounded, sleep=0.002)
    target.execute(f"PRAGMA busy_timeout={round(busy_timeout * 1000)}")


def _copy_into_standalone(
    source: sqlite3.Connection, target: sqlite3.Connection, path: Path, busy_timeout: float
) -> None:
    copy_online(source, target, path, busy_timeout)
    # The copy says "WAL" in its header as the live database does; as a backup it must be complete in one file.
    target.execute("PRAGMA journal_mode=DELETE")


class NotNeeded(Exception):
    """Raised by `inspect` of a copy that is not to take its place."""


def write_standalone(
    source: sqlite3.Connection | Path,
    path: Path,
    mode: int,
    busy_timeout: float,
    inspect: Callable[[sqlite3.Connection], None],
) -> float:
    """Copy `source`, a backup or the path of a live database, into a new file at `path`.

    The copy is one file without WAL, checked and inspected before it has the name, and reached without following a link.
    Returns the seconds for which writes to a live database waited.
    """
    waited = 0.0
    with folder(path.parent):
        leftovers = [beside(path, suffix) for suffix in SIDE_FILES if os.path.lexists(beside(path, suffix))]
    with replacing(path, mode) as new:
        if isinstance(source, Path):
            waited = copy_live(source, new, busy_timeout)
        else:
            with opened(new, "mode=rw", busy_timeout) as target:
                _copy_into_standalone(source, target, path, busy_timeout)
        # Read-only: otherwise SQLite evaluates CHECK constraints as well, with functions that only their application has.
        with opened(new, "mode=ro&immutable=1", busy_timeout, source if isinstance(source, Path) else path) as copy:
            check_integrity(copy, path)
            inspect(copy)
    # SQLite would play them into the new file. Not those that a daemon has made of the new one by now.
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return waited

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copying SQLite databases that a daemon has open, in either direction, and knowing that the copy is good."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .._core import mounts
from .._core.durable import beside, replacing, sha256_of
from .._core.room import free_bytes
from .._core.safe_open import folder, open_file
from .database import SIDE_FILES, SqliteError, check_integrity, in_wal_mode, missing, opened, pages, reading

# Result codes that SQLite's backup hands to the progress callback (Python names them only from 3.11 on).
SQLITE_BUSY, SQLITE_LOCKED = 5, 6
# A copy needs its own size, and as much again for the journal or WAL that grows while it is written.
SPACE_FACTOR = 2
# Where a private copy goes: the first of these that is on a disk, since a Pi has little memory. /tmp often is memory, and, with a line
# in fstab that spares the card, so is /var/tmp. /var/lib is root's, and what a Pi has there it still has after a reboot. The daemon's
# own folder is left out because this only looks, and `backup_path` because pre-flight looks before that folder exists.
SCRATCH = (Path("/var/tmp"), Path("/var/lib"))


class ScratchError(SqliteError):
    """A database that cannot be read because there is no place for a copy of it. Nothing is wrong with the database."""


def scratch(size: int) -> Path:
    """The folder for a private copy of this many bytes, which has room for it."""
    seen, known, cmdline = {}, mounts.read(), mounts.command_line()
    for place in SCRATCH:
        unfit = mounts.in_memory(str(place), known, cmdline)
        if unfit is None and os.access(place, os.W_OK | os.X_OK):
            # As much again stays free: a daemon is alive on this disk.
            free, wanted = free_bytes(place), SPACE_FACTOR * size
            if free < wanted:
                raise ScratchError(
                    f"{place} has {free} bytes free, wanted are {wanted} for a copy: the database is not in WAL mode, and would keep"
                    " its writers out while it is read",
                    seen=free,
                    wanted=wanted,
                    next_step=f"free {wanted - free} bytes in {place}",
                )
            return place
        seen[str(place)] = unfit or f"{place} cannot be written to"
    raise ScratchError(
        f"the database is not in WAL mode, and no folder can take the copy that would be read: {'; '.join(seen.values())}",
        seen=seen,
        wanted=f"{' or '.join(seen)} on a disk, and writable",
        next_step=f"run this as root, and keep one of them on a disk: findmnt -T {SCRATCH[0]} shows what is mounted there, and its line in"
        " /etc/fstab can go",
    )


@contextlib.contextmanager
def isolated(path: Path, busy_timeout: float) -> Iterator[tuple[sqlite3.Connection, float]]:
    """A connection to what the database holds at one moment, and the seconds for which writes had to wait.

    In WAL mode that is a read transaction, for which no write waits. In other modes a reader keeps every writer out, so
    what is read at length is a private copy in one of `SCRATCH`, which has no name any more once it is open.
    """
    with reading(path, busy_timeout) as connection:
        if in_wal_mode(connection):
            yield connection, 0.0
            return
    place = scratch(path.stat().st_size)
    with contextlib.ExitStack() as stack:
        # Made 0700 by mkdtemp, and gone, with the copy in it, when SQLite has the copy open.
        with tempfile.TemporaryDirectory(prefix="pi-controller-migration-", dir=place) as private:
            copy = Path(private).resolve() / "copy.db"
            copy.touch(mode=0o600, exist_ok=False)
            waited = copy_live(path, copy, busy_timeout)
            connection = stack.enter_context(opened(copy, "mode=ro&immutable=1", busy_timeout, path))
        yield connection, waited


@contextlib.contextmanager
def _raw(path: Path) -> Iterator[int]:
    """A descriptor of a database, for its bytes."""
    try:
        descriptor = open_file(path)
    except FileNotFoundError:
        raise missing(path) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def copy_live(path: Path, new: Path, busy_timeout: float) -> float:
    """Fill the empty file `new` with what the database holds at one moment; returns the seconds for which writes were blocked.

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
    free, wanted = free_bytes(directory), SPACE_FACTOR * size
    if free < wanted:
        raise SqliteError(
            f"{directory} has {free} bytes free, wanted are {wanted} ({SPACE_FACTOR} times the database of {size} bytes)",
            seen=free,
            wanted=wanted,
            next_step=f"free {wanted - free} bytes there, or choose another folder",
        )


def copy_online(source: sqlite3.Connection, target: sqlite3.Connection, path: Path, busy_timeout: float) -> None:
    """All pages in one step: one moment of the source, one transaction in the target.

    Python repeats a busy step forever, so the callback it makes after each step ends the wait.
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

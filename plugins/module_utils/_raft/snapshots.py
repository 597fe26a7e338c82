# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshot folders as HashiCorp Raft's FileSnapshotStore writes them: `<raft>/snapshots/<term>-<index>-<msec>/`.

A pod can write to its own Raft folder, and what is in it is not believed: files are regular and reached without links,
`meta.json` is small, and the state has the size that it declares before any of it is read.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .._core.durable import fsync, private_folder
from .._core.failures import MigrationError
from .._core.modules import AGAIN
from .._core.room import check_room
from .._core.safe_open import folder, open_file, read_bytes
from .._daemon.interface import Member
from .crc64 import check_of

STATE, META = "state.bin", "meta.json"
_CHUNK = 1 << 20
# Bytes. Some hundred for each member.
_META_LIMIT = 1 << 20
# A state of this size or more, of which less than one byte in so many is on the disk, is a file made of holes. Below it,
# reading takes seconds, and some file systems say only later what a file takes.
_LARGE, _SPARSE = 1 << 30, 100
# On another file system or mount, without hard links, not allowed, with as many names as there may be, and with no name any more.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOENT}


class UnreadableSnapshot(MigrationError):
    """The operating system did not let us read it, so whether it is finished is not known."""


@dataclass(frozen=True)
class Snapshot:
    """What `meta.json` says."""

    folder: Path
    id: str
    index: int
    term: int
    size: int
    crc: bytes
    version: int
    members: tuple[Member, ...]

    @property
    def state(self) -> Path:
        return self.folder / STATE


def read_snapshot(folder: Path) -> Snapshot:
    """The snapshot in this folder; an error where it is none or was never finished."""
    try:
        meta = json.loads(read_bytes(folder / META, _META_LIMIT))
        crc = base64.b64decode(meta["CRC"] or "", validate=True)
        if len(crc) != 8 or meta["Version"] not in (0, 1):
            raise ValueError(f"Version {meta['Version']}, CRC {meta['CRC']}")
        servers = (meta.get("Configuration") or {}).get("Servers") or ()
        return Snapshot(
            folder=folder,
            id=str(meta["ID"]),
            index=int(meta["Index"]),
            term=int(meta["Term"]),
            size=int(meta["Size"]),
            crc=crc,
            version=int(meta["Version"]),
            # Suffrage: 0 votes, 1 does not, 2 does not yet.
            members=tuple(Member(str(s["ID"]), str(s["Address"]), s.get("Suffrage", 0) == 0) for s in servers),
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MigrationError(
            f"{folder} holds no finished snapshot: it has no {META}",
            seen=str(error),
            wanted=META,
            next_step="take another snapshot",
        ) from error
    except OSError as error:
        raise UnreadableSnapshot(
            f"cannot read {folder / META} ({error})", seen=str(error), wanted=META, next_step=AGAIN
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise MigrationError(
            f"{folder} holds no finished snapshot ({type(error).__name__}: {error})",
            seen=str(error),
            wanted=f"{META} with Version, ID, Index, Term, Size and CRC",
            next_step="take another snapshot",
        ) from error


def list_snapshots(raft_dir: Path) -> list[Snapshot]:
    """Finished snapshots, the newest first, in the order Raft itself prefers them: term, index, ID.

    MigrationError where none can be read although there is one: then it is not known that there is none.
    """
    found, unreadable = [], None
    folder = raft_dir / "snapshots"
    for entry in folder.iterdir() if folder.is_dir() else ():
        # `*.tmp` is being written, or was when the daemon died.
        if entry.name.endswith(".tmp"):
            continue
        try:
            found.append(read_snapshot(entry))
        except UnreadableSnapshot as error:
            unreadable = error
        except MigrationError:
            continue
    if unreadable and not found:
        raise unreadable
    return sorted(found, key=lambda snapshot: (snapshot.term, snapshot.index, snapshot.id), reverse=True)


def verify(snapshot: Snapshot) -> str:
    """Read the state once, compare it with what `meta.json` says of it, and return its SHA-256."""
    with opened(snapshot) as state:
        return state.verified()


def copy(snapshot: Snapshot, dest: Path, *, link: bool = False) -> str:
    """Place state and meta in `dest`, verified on the way and safe on disk when this returns the SHA-256. For `link` see `placed`."""
    with _placing(snapshot, dest) as (source, part):
        state = CheckedState(source, snapshot)
        if not (link and _linked(snapshot, source, part)):
            _fill(snapshot, part, state)
        return state.verified()


@contextlib.contextmanager
def placed(snapshot: Snapshot, dest: Path) -> Iterator[CheckedState]:
    """The state, which is placed in `dest` with its meta once the body is over and all of it was read and verified.

    Where the file is this user's alone and the file system can, it is the same file under a second name, which takes neither room nor time:
    Raft never writes to a finished snapshot, and what it removes stays here. Elsewhere it is a copy.
    """
    with _placing(snapshot, dest) as (source, part):
        if not _linked(snapshot, source, part):
            _fill(snapshot, part, source)
        with opened(snapshot, part) as state:
            yield state
            state.verified()


@contextlib.contextmanager
def _placing(snapshot: Snapshot, dest: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """The open state, and where to put it. The files get their names only when the body ends well: what is in `dest` under these names
    was verified."""
    # Read now: Raft may reap this snapshot while we copy, the open state file survives that and this would not.
    meta = _meta_of(snapshot)
    parts = {name: dest / f".{name}.part" for name in (STATE, META)}
    with _writing(snapshot, dest):
        private_folder(dest)
    with _reading(snapshot) as source:
        try:
            with _writing(snapshot, dest):
                # What a killed run has left may be a link, and is not to be written to.
                _remove(parts.values())
                with _create(parts[META]) as target:
                    target.write(meta)
                    _sync(target)
            yield source, parts[STATE]
            with _writing(snapshot, dest):
                for name, part in parts.items():
                    part.replace(dest / name)
                for folder in (dest, dest.parent):
                    fsync(folder)
        finally:
            with contextlib.suppress(OSError):
                _remove(parts.values())


def _remove(parts: Iterable[Path]) -> None:
    for part in parts:
        part.unlink(missing_ok=True)


def _fill(snapshot: Snapshot, part: Path, source: BinaryIO | CheckedState) -> None:
    """Copy all of `source` into the new file `part`."""
    with _writing(snapshot, part.parent):
        check_room(part.parent, snapshot.size, f"snapshot {snapshot.id}")
        with _create(part) as target:
            shutil.copyfileobj(source, target, _CHUNK)
            _sync(target)


def _linked(snapshot: Snapshot, source: BinaryIO, path: Path) -> bool:
    """Whether the open file could be given this name as well: not on another file system or mount, not once it has no name left, and not
    where it is another user's or open to one. HashiCorp Raft gives its files mode 0644, and backups have 0600."""
    status = os.fstat(source.fileno())
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        return False
    with _writing(snapshot, path.parent), folder(path.parent) as parent:
        try:
            # The file that is open, whatever has its name by now. Only with `src_dir_fd` does Python follow this link of /proc.
            os.link(
                f"/proc/self/fd/{source.fileno()}",
                path.name,
                src_dir_fd=parent,
                dst_dir_fd=parent,
                follow_symlinks=True,
            )
        except OSError as error:
            if error.errno in _NO_LINK:
                return False
            raise
        os.fsync(source.fileno())
    return True


@contextlib.contextmanager
def _writing(snapshot: Snapshot, dest: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MigrationError(
            f"cannot copy snapshot {snapshot.id} to {dest} ({error})",
            seen=str(error),
            wanted=f"{STATE} and {META} of {snapshot.id} in {dest}",
            next_step="free space or correct the permissions there, then run the same command again",
        ) from error


@contextlib.contextmanager
def _reading(snapshot: Snapshot, path: Path | None = None) -> Iterator[BinaryIO]:
    try:
        source = open_state(snapshot, path)
    except OSError as error:
        raise _unreadable(path or snapshot.state, snapshot, error) from error
    with source:
        yield source


@contextlib.contextmanager
def opened(snapshot: Snapshot, path: Path | None = None) -> Iterator[CheckedState]:
    """The state of this snapshot to be read, or that at `path`."""
    with _reading(snapshot, path) as source:
        yield CheckedState(source, snapshot, path)


class CheckedState:
    """The state, read once from start to end: the last bytes are given only if all are what `meta.json` declares.

    So whoever is sent it, with its length ahead of it, never has a whole state that is another one.
    """

    def __init__(self, source: BinaryIO, snapshot: Snapshot, path: Path | None = None) -> None:
        self._source, self._snapshot, self._path = source, snapshot, path or snapshot.state
        self._start()

    @property
    def size(self) -> int:
        return self._snapshot.size

    def rewind(self) -> None:
        """To the start: what has been read is read and checked again."""
        self._source.seek(0)
        self._start()

    def _start(self) -> None:
        self._digest, self._check = hashlib.sha256(), check_of(self._snapshot.crc)
        self._left, self._sha256 = self._snapshot.size, ""

    def read(self, size: int = -1) -> bytes:
        """The next part, empty at the end."""
        if self._sha256:
            return b""
        chunk = self._part(min(size if size > 0 else _CHUNK, _CHUNK, self._left))
        self._digest.update(chunk)
        self._check.update(chunk)
        self._left -= len(chunk)
        if not chunk or not self._left:
            self._prove()
        return chunk

    def verified(self) -> str:
        """The SHA-256 of the state; reads what was not read yet."""
        while self.read():
            pass
        return self._sha256

    def _part(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except OSError as error:
            raise _unreadable(self._path, self._snapshot, error) from error

    def _prove(self) -> None:
        # One byte more than declared, so that a state that grows meanwhile is noticed, and read no further.
        further = len(self._part(1))
        wanted = {"size": self._snapshot.size, "crc": self._snapshot.crc.hex()}
        sound = not self._left and not further and self._check.holds()
        seen = {"size": self._snapshot.size - self._left + further, "crc": wanted["crc"] if sound else "another"}
        if seen != wanted:
            raise _unfit(f"{self._path} is not what {META} says: {seen}, wanted {wanted}", seen, wanted)
        self._sha256 = self._digest.hexdigest()


def _unreadable(path: Path, snapshot: Snapshot, error: OSError) -> MigrationError:
    return MigrationError(
        f"cannot read {path} ({error})",
        seen=str(error),
        wanted=f"{snapshot.size} bytes",
        next_step="take another snapshot",
    )


def open_state(snapshot: Snapshot, path: Path | None = None) -> BinaryIO:
    """The state, here or at `path`, open for reading: a regular file of the declared size. UnsafePath, OSError or MigrationError where it
    is not."""
    path = path or snapshot.state
    source = os.fdopen(open_file(path), "rb")
    status = os.fstat(source.fileno())
    made_of_holes = status.st_size >= _LARGE and status.st_blocks * 512 * _SPARSE < status.st_size
    if status.st_size != snapshot.size or made_of_holes:
        source.close()
        raise _unfit(
            f"{path} has {status.st_size} bytes, {status.st_blocks * 512} of them on the disk,"
            f" and {META} declares {snapshot.size}",
            {"size": status.st_size, "on disk": status.st_blocks * 512},
            {"size": snapshot.size},
        )
    return source


def _unfit(message: str, seen: Any, wanted: Any) -> MigrationError:
    """A state that is not the one that was written."""
    step = "do not use this snapshot; check the storage, then take another one"
    return MigrationError(message, seen=seen, wanted=wanted, next_step=step)


def _meta_of(snapshot: Snapshot) -> bytes:
    try:
        return read_bytes(snapshot.folder / META, _META_LIMIT)
    except OSError as error:
        raise MigrationError(
            f"cannot read {META} of snapshot {snapshot.id} ({error})",
            seen=str(error),
            wanted=str(snapshot.folder / META),
            next_step="take another snapshot; the daemon may have removed this one in the meantime",
        ) from error


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb")

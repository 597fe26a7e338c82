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
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Callable

from .._core.durable import fsync, private_folder
from .._core.failures import MigrationError
from .._core.modules import AGAIN
from .._core.safe_open import open_file, read_bytes
from .._daemon.interface import Member
from .crc64 import check_of

STATE, META = "state.bin", "meta.json"
_CHUNK = 1 << 20
# Bytes. Some hundred for each member.
_META_LIMIT = 1 << 20
# A state of this size or more, of which less than one byte in so many is on the disk, is a file made of holes. Below it,
# reading takes seconds, and some file systems say only later what a file takes.
_LARGE, _SPARSE = 1 << 30, 100
_SPARE_BYTES = 16 << 20


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
    return _verified(snapshot, len)


def copy(snapshot: Snapshot, dest: Path) -> str:
    """Copy state and meta to `dest`, verified on the way and safe on disk when this returns the SHA-256.

    The files get their names only when they are complete: what is in `dest` under these names was verified.
    """
    # Read now: Raft may reap this snapshot while we copy, the open state file survives that and this would not.
    meta = _meta_of(snapshot)
    try:
        private_folder(dest)
        _check_space(dest, snapshot)
        parts = {name: dest / f".{name}.part" for name in (STATE, META)}
        try:
            with _create(parts[STATE]) as target:
                digest = _verified(snapshot, target.write)
                _sync(target)
            with _create(parts[META]) as target:
                target.write(meta)
                _sync(target)
            for name, part in parts.items():
                part.replace(dest / name)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
        for folder in (dest, dest.parent):
            fsync(folder)
    except OSError as error:
        raise MigrationError(
            f"cannot copy snapshot {snapshot.id} to {dest} ({error})",
            seen=str(error),
            wanted=f"{STATE} and {META} of {snapshot.id} in {dest}",
            next_step="free space or correct the permissions there, then run the same command again",
        ) from error
    return digest


def _check_space(dest: Path, snapshot: Snapshot) -> None:
    filesystem = os.statvfs(dest)
    free, wanted = filesystem.f_bavail * filesystem.f_frsize, snapshot.size + _SPARE_BYTES
    if free < wanted:
        raise MigrationError(
            f"{dest} has {free} bytes free, snapshot {snapshot.id} needs {wanted}",
            seen=free,
            wanted=wanted,
            next_step=f"free {wanted - free} bytes there",
        )


def open_state(snapshot: Snapshot) -> BinaryIO:
    """The state, open for reading: a regular file of the declared size. UnsafePath, OSError or MigrationError where it is not."""
    source = os.fdopen(open_file(snapshot.state), "rb")
    status = os.fstat(source.fileno())
    made_of_holes = status.st_size >= _LARGE and status.st_blocks * 512 * _SPARSE < status.st_size
    if status.st_size != snapshot.size or made_of_holes:
        source.close()
        raise _unfit(
            f"{snapshot.state} has {status.st_size} bytes, {status.st_blocks * 512} of them on the disk,"
            f" and {META} declares {snapshot.size}",
            {"size": status.st_size, "on disk": status.st_blocks * 512},
            {"size": snapshot.size},
        )
    return source


def _verified(snapshot: Snapshot, write: Callable[[bytes], Any]) -> str:
    """Give all of the state to `write`, whose OSError passes, and return its SHA-256 if it is what META declares."""
    digest, check, size = hashlib.sha256(), check_of(snapshot.crc), 0
    for chunk in _chunks(snapshot):
        digest.update(chunk)
        check.update(chunk)
        size += len(chunk)
        write(chunk)
    wanted = {"size": snapshot.size, "crc": snapshot.crc.hex()}
    seen = {"size": size, "crc": snapshot.crc.hex() if check.holds() else "another"}
    if seen != wanted:
        raise _unfit(f"{snapshot.state} is not what {META} says: {seen}, wanted {wanted}", seen, wanted)
    return digest.hexdigest()


def _chunks(snapshot: Snapshot) -> Iterator[bytes]:
    # One byte more than declared, so that a state that grows meanwhile is noticed, and read no further.
    left = snapshot.size + 1
    try:
        with open_state(snapshot) as source:
            while chunk := source.read(min(_CHUNK, left)):
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise MigrationError(
            f"cannot read {snapshot.state} ({error})",
            seen=str(error),
            wanted=f"{snapshot.size} bytes",
            next_step="take another snapshot",
        ) from error


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

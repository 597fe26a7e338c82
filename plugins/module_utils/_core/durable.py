# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are whole and on disk, or not there at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def beside(path: Path, suffix: str) -> Path:
    """The file SQLite, or an unfinished write, keeps next to `path`."""
    return path.with_name(path.name + suffix)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return sha256_of_rest(file)


def sha256_of_rest(file: BinaryIO) -> str:
    """Of an open file, from where it is read next to its end."""
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


def make_private(path: Path) -> None:
    """Make the folder where it is missing, with those above it, all with mode 0700: `parents=True` would make these by the umask."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
            # With what it will have, it is gone as long as the one above it does not know of it.
            fsync(folder.parent)


def private_folder(path: Path) -> None:
    """The folder with mode 0700, and with it those above that are missing."""
    make_private(path)
    path.chmod(0o700)


def fsync(path: Path) -> None:
    """For files and folders: a rename is durable only once its folder is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Alone with what is in this folder, as far as others ask for it in the same way. Waits for whoever came first."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path, mode: int) -> Iterator[Path]:
    """A new file beside `path` that durably takes its place when the block ends well, and is gone when it does not."""
    new = beside(path, ".tmp")

    def discard() -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                beside(new, suffix).unlink()

    discard()
    # Made empty with its final mode first: the data is never readable by others, not even for a moment.
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        # By its descriptor: the name may be another file's by now.
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    try:
        yield new
        fsync(new)
        new.replace(path)
        fsync(path.parent)
    finally:
        discard()

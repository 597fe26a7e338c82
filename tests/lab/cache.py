# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Things that take long to make are kept by a digest of what went into them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .progress import Progress
from .settings import CACHE


def digest(*parts: str | bytes) -> str:
    """A short name for a list of inputs: the same for the same list, another one for any other."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}:".encode())
        total.update(data)
    return total.hexdigest()[:16]


def file_digest(*paths: Path) -> str:
    return digest(*(path.read_bytes() for path in paths))


def tree_digest(folder: Path, suffixes: Iterable[str]) -> str:
    """Of the names and contents of a source folder."""
    wanted = tuple(suffixes)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.endswith(wanted))
    return digest(*(part for path in files for part in (str(path.relative_to(folder)), path.read_bytes())))


def entry(kind: str, key: str) -> Path:
    return CACHE / f"{kind}-{key}"


def obtain(kind: str, key: str, make: Callable[[Path], None], progress: Progress, why: str) -> Path:
    """The folder of this kind and key, made by `make(folder)` where it is not there yet.

    It is made under another name and renamed when whole, so that a build which was cut off is never taken for one.
    """
    folder = entry(kind, key)
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    building = CACHE / f"{kind}-{key}.building"
    with _alone(CACHE / f"{kind}-{key}.lock", kind, progress):
        if folder.is_dir():
            return folder
        if building.exists():
            shutil.rmtree(building)
        building.mkdir()
        with progress.waiting(f"{kind}: {why} (once; kept in {CACHE})"):
            make(building)
        building.rename(folder)
    return folder


@contextlib.contextmanager
def _alone(lock: Path, kind: str, progress: Progress) -> Iterator[None]:
    """Hold the lock of one thing that is made. Threads and other runs ask for the same, and would remove what this one is at."""
    with lock.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.waiting(f"{kind}: it is being made already, by this run or another one"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def log_file(kind: str) -> Path:
    path = CACHE / "logs" / f"{kind}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Pi's file systems say of the folders the migration uses; nothing is opened for writing."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from .mounts import Mount, at, below, holding, of_memory
from .mounts import read as read_mounts


def describe(path: str, mounts: Sequence[Mount] | None = None) -> dict[str, Any]:
    """What lies at `path`, and the file system it lies on or would be made on."""
    kind = _kind(path)
    existing = nearest_existing(path)
    filesystem = os.statvfs(existing)
    known = read_mounts() if mounts is None else mounts
    real = os.path.realpath(path)
    mount = holding(os.path.realpath(existing), known)
    return {
        "path": path,
        "kind": kind,
        "entries": _entries(path) if kind == "folder" else None,
        "links": links(path),
        "real": real,
        "existing": existing,
        "device": Path(existing).stat().st_dev,
        "free": filesystem.f_bavail * filesystem.f_frsize,
        # btrfs and others make them as they go along and tell of none.
        "free_files": filesystem.f_favail if filesystem.f_files else None,
        "read_only": bool(filesystem.f_flag & os.ST_RDONLY),
        "mount": mount.point if mount else None,
        "filesystem": mount.kind if mount else None,
        # A root that forgets is one fact of the whole Pi, see `forgetful_root`.
        "in_memory": of_memory(mount, known) if mount and mount.point != "/" else None,
        "is_mount_point": at(real, known) is not None,
        "mounts_inside": below(real, known),
    }


def _kind(path: str) -> str | None:
    try:
        mode = os.lstat(path).st_mode  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"


def _entries(path: str) -> int | None:
    try:
        return len(os.listdir(path))  # noqa: PTH208
    except OSError:
        return None


def links(path: str) -> list[str]:
    """Components of the path that are symbolic links: two paths that look apart may be one inside the other."""
    parts = [PurePosixPath(path), *PurePosixPath(path).parents]
    return [str(part) for part in reversed(parts) if os.path.islink(part)]  # noqa: PTH114


def nearest_existing(path: str) -> str:
    """The folder in which `path` is, or would be made."""
    for part in [PurePosixPath(path), *PurePosixPath(path).parents]:
        if os.path.isdir(part):  # noqa: PTH112
            return str(part)
    return "/"


def size_of(path: str, counted: set[tuple[int, int]] | None = None) -> int:
    """Bytes that a file takes on the disk, or the files below a folder. Each counts once, however many names it has, and not at
    all if it is among `counted`, to which it is added."""
    counted = set() if counted is None else counted
    names = [os.path.join(parent, name) for parent, _folders, files in os.walk(path) for name in files]  # noqa: PTH118
    total = 0
    for name in names if os.path.isdir(path) else [path]:  # noqa: PTH112
        try:
            found = os.lstat(name)  # noqa: PTH116
        except OSError:  # none there, or the daemon drops old snapshots while this looks
            continue
        if (found.st_dev, found.st_ino) not in counted:
            counted.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
    return total

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removing a file or a folder with all that is in it, by descriptors, so that no link leads anywhere else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .durable import fsync
from .failures import MigrationError
from .mounts import obstacle
from .safe_open import folder

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RemovalError(MigrationError):
    """Something that is not removed."""


def check(path: Path) -> bool:
    """Whether there is something to remove; raises where it must not be removed as it is. Nothing is changed."""
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 3:
        raise RemovalError(f"{path} is not an absolute path of a folder inside another one", seen=str(path))
    try:
        with folder(path.parent) as parent:
            mode = os.stat(path.name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise RemovalError(
            f"{path} is neither a directory nor a regular file",
            seen=str(path),
            next_step="look at it and remove it by hand",
        )
    fixed = obstacle(str(path))
    if fixed:
        raise RemovalError(
            f"{fixed}, so it is not removed",
            seen=fixed,
            wanted="a folder without mounts",
            next_step=f"see findmnt -R {path}",
        )
    return True


def remove(path: Path, keep_folder: bool = False) -> None:
    """Remove what `check` has found, or only what is in it; links in it are removed, not followed."""
    with folder(path.parent) as parent:
        _remove(parent, path.name, keep_folder)
    fsync(path.parent)


def _remove(parent: int, name: str, keep: bool = False) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        for inner in os.listdir(descriptor):  # noqa: PTH208 -- of a descriptor
            _remove(descriptor, inner)
    finally:
        os.close(descriptor)
    if not keep:
        os.rmdir(name, dir_fd=parent)

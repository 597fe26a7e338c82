# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moving a folder of state from one place to another in one step, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from .durable import fsync
from .failures import MigrationError
from .mounts import apart, obstacle
from .safe_open import folder


class FolderError(MigrationError):
    """A folder that cannot be moved as a whole."""


class MountedError(FolderError):
    """A folder that is a mount point or contains one. Its parent could be renamed; it would be empty after the next boot."""


def to_move(src: Path, dest: Path, required: bool) -> bool:
    """Whether there is something to move; everything that could go wrong is found before anything is touched."""
    for path in (src, dest):
        if not path.is_absolute() or ".." in path.parts:
            raise FolderError(f"{path} is not an absolute path without `..`", seen=str(path))
        if path.is_symlink():
            raise FolderError(
                f"{path} is a symbolic link",
                seen=str(path),
                wanted="a folder",
                next_step="give the path of the folder it points to",
            )
    if not src.exists():
        if not dest.exists() and required:
            raise FolderError(
                f"there is neither {src} nor {dest}",
                wanted="a folder at one of them",
                next_step="find out what moved it",
            )
        return False
    if not src.is_dir():
        raise FolderError(f"{src} is not a directory", seen=str(src), wanted="a folder")
    if dest.exists():
        raise FolderError(
            f"{src} and {dest} both exist",
            seen=[str(src), str(dest)],
            wanted="one of them",
            next_step="look into both, move the one that is not wanted aside, and run this again",
        )
    if not dest.parent.is_dir():
        raise FolderError(f"{dest.parent} is not a directory", wanted=str(dest.parent), next_step="make it")
    fixed = obstacle(str(src))
    if fixed:
        raise MountedError(
            f"{fixed}, so it cannot be renamed to {dest}",
            seen=fixed,
            wanted="a folder without mounts",
            next_step=f"unmount what is mounted there (findmnt -R {src}), or leave the folder where it is",
        )
    between = apart(str(src), str(dest.parent))
    if between or src.stat().st_dev != dest.parent.stat().st_dev:
        raise FolderError(
            f"{src} and {dest.parent} are on different file systems, so moving would be copying"
            + (f" ({between})" if between else ""),
            seen=between or [src.stat().st_dev, dest.parent.stat().st_dev],
            wanted=f"a path on the file system of {src}",
            next_step="choose another destination, beside the folder itself for example",
        )
    # Through no link in either path; this raises where there is one.
    with folder(src.parent), folder(dest.parent):
        return True


def move(src: Path, dest: Path) -> None:
    """Rename by the folders that were reached without a link, so that no part of a path can be replaced meanwhile."""
    with folder(src.parent) as here, folder(dest.parent) as there:
        os.rename(src.name, dest.name, src_dir_fd=here, dst_dir_fd=there)
    fsync(dest.parent)
    fsync(src.parent)

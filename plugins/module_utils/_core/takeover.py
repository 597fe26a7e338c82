# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pod's data folder becomes the unit's: which folders are renamed, and whether that can be done.

Each step is one rename, and what has been renamed already says how far an earlier run came.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .durable import fsync
from .failures import MigrationError
from .mounts import apart, obstacle


class TakeoverError(MigrationError):
    """A data folder that cannot become the unit's as it is."""


def check_folder_path(path: Path) -> None:
    """Raise where a path could name another folder than it seems to."""
    if not path.is_absolute() or ".." in path.parts:
        raise TakeoverError(f"{path} is not an absolute path without `..`", seen=str(path))
    if path.is_symlink():
        raise TakeoverError(
            f"{path} is a symbolic link", seen=str(path), wanted="a folder", next_step="name the folder it points to"
        )


def check_one_step(src: Path, dest: Path) -> None:
    """Raise where `src` cannot become `dest` by one rename."""
    if not dest.parent.is_dir():
        raise TakeoverError(f"{dest.parent} is not a folder", wanted=str(dest.parent), next_step="create it")
    fixed = obstacle(str(src)) or apart(str(src), str(dest.parent))
    if fixed:
        raise TakeoverError(
            f"{fixed}, so {src} cannot be renamed to {dest}",
            seen=fixed,
            wanted="a folder that can be renamed",
            next_step="keep the data in a folder below the mount point, and name that one",
        )
    if src.stat().st_dev != dest.parent.stat().st_dev:
        raise TakeoverError(
            f"{src} and {dest.parent} are on different file systems, so moving would be copying",
            seen=[src.stat().st_dev, dest.parent.stat().st_dev],
            wanted="one file system",
            next_step=f"name a folder on the file system of {src}",
        )


@dataclass(frozen=True)
class Folders:
    """`data` is the unit's, `pod_data` the pod's. The unit's data of before is in `data` or `archive`, and moves to `aside`.

    Without an `archive` the pod has had the unit's own data from the beginning.
    """

    data: Path
    pod_data: Path
    archive: Path | None
    aside: Path

    @property
    def handed_over(self) -> bool:
        """Whether the unit has the pod's data already."""
        return not self.pod_data.exists() and self.data.is_dir()

    def stale(self) -> Path | None:
        """Where the unit's data of before still has to be put aside; None where that is done, or there is none."""
        if self.data.exists():
            return self.data
        return self.archive if self.archive and self.archive.exists() and not self.aside.exists() else None

    def renames(self) -> list[tuple[Path, Path]]:
        """What still has to be renamed, in this order."""
        if self.handed_over:
            return []
        stale = self.stale()
        return [*([(stale, self.aside)] if stale else []), (self.pod_data, self.data)]

    def check(self) -> None:
        """Raise where a rename would fail or replace something. Nothing is changed."""
        for path in filter(None, (self.data, self.pod_data, self.archive, self.aside)):
            check_folder_path(path)
        if self.handed_over:
            return
        if not self.pod_data.is_dir():
            raise TakeoverError(
                f"there is neither {self.pod_data} nor {self.data}",
                wanted=f"the pod's data in {self.pod_data}",
                next_step="find out who moved it",
            )
        for src, dest in self.renames():
            self._check_rename(src, dest)

    def _check_rename(self, src: Path, dest: Path) -> None:
        if dest.exists() and dest != self.data:
            raise TakeoverError(
                f"{src} and {dest} both exist",
                seen=[str(src), str(dest)],
                wanted=f"no {dest}",
                next_step=f"look into {dest} and move it elsewhere",
            )
        check_one_step(src, dest)

    def hand_over(self) -> None:
        """Rename, each step on disk before the next one. The data gets the owner and mode of the unit's folder of before."""
        for src, dest in self.renames():
            if src == self.pod_data:
                self._own()
            src.rename(dest)
            for folder in dict.fromkeys((src.parent, dest.parent)):
                fsync(folder)

    def _own(self) -> None:
        """A pod runs as root; its unit may not."""
        if not self.aside.is_dir():
            self._own_what_root_made()
            return
        model, present = self.aside.stat(), self.pod_data.stat()
        if (model.st_uid, model.st_gid) != (present.st_uid, present.st_gid):
            for _parent, folders, files, descriptor in os.fwalk(self.pod_data):
                for name in (*folders, *files):
                    os.chown(name, model.st_uid, model.st_gid, dir_fd=descriptor, follow_symlinks=False)
            # Last: a run that is killed in between finds the folder with its old owner, and starts over.
            os.chown(self.pod_data, model.st_uid, model.st_gid, follow_symlinks=False)
        self.pod_data.chmod(model.st_mode & 0o7777)

    def _own_what_root_made(self) -> None:
        """The folder is the unit's own. What the pod has made in it as root gets the folder's owner."""
        owner = self.pod_data.stat()
        if owner.st_uid == 0:
            return
        for _parent, folders, files, descriptor in os.fwalk(self.pod_data):
            for name in (*folders, *files):
                if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid == 0:
                    os.chown(name, owner.st_uid, owner.st_gid, dir_fd=descriptor, follow_symlinks=False)

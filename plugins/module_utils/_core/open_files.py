# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which processes have files of a folder open.

A container sees a folder of its host under another path, so files are known by device and inode, not by name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .procfs import PROC


@dataclass(frozen=True)
class User:
    """A process with a file of the folder open."""

    pid: int
    command: str
    file: str

    def __str__(self) -> str:
        return f"{self.command or 'process'} {self.pid} has {self.file} open"


def users_of(folder: Path, proc: Path = PROC) -> list[User]:
    """One entry for each process that has a file below `folder` open; root alone sees those of other users."""
    files = _files(folder)
    if not files:
        return []
    found = []
    for process in proc.iterdir():
        if process.name.isdigit():
            opened = _first_open(process, files)
            if opened:
                found.append(User(int(process.name), _command(process), opened))
    return sorted(found, key=lambda user: user.pid)


def _files(folder: Path) -> dict[tuple[int, int], str]:
    files = {}
    for parent, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118 -- thousands of them, several times a second
            try:
                seen = os.lstat(path)
            except OSError:  # removed meanwhile
                continue
            files[seen.st_dev, seen.st_ino] = path
    return files


def _first_open(process: Path, files: dict[tuple[int, int], str]) -> str | None:
    try:
        descriptors = list(os.scandir(process / "fd"))
    except OSError:  # it ended meanwhile
        return None
    for descriptor in descriptors:
        try:
            seen = os.stat(descriptor.path)  # noqa: PTH116 -- the file behind the descriptor
        except OSError:
            continue
        if (seen.st_dev, seen.st_ino) in files:
            return files[seen.st_dev, seen.st_ino]
    return None


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""

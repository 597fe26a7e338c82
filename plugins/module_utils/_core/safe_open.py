# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files below a folder that a pod can write to, opened by root without being taken anywhere else.

A pod can replace anything in its data folder by a symbolic link, a FIFO or a device, and root would follow. So every
component of a path is opened on its own, relative to the one before, and never through a link; and a file is a regular
file or it is refused. Opening never waits, as it would for the other end of a FIFO.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from .failures import MigrationError

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class UnsafePath(MigrationError):
    """A path that leads through a link, or to something other than a regular file or a directory."""


@contextlib.contextmanager
def folder(path: Path) -> Iterator[int]:
    """A descriptor of this directory for `dir_fd`, reached without following a link. OSError where it is missing."""
    absolute = path.absolute()
    if ".." in absolute.parts:
        raise UnsafePath(
            f"{path} contains `..`", seen=str(path), wanted="a path without `..`", next_step="correct the path"
        )
    here = os.open("/", _FOLDER)
    try:
        for number, name in enumerate(absolute.parts[1:], start=2):
            try:
                below = os.open(name, _FOLDER, dir_fd=here)
            except NotADirectoryError:
                _refuse(here, name, Path(*absolute.parts[:number]), "a directory")
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _refuse(parent: int, name: str, path: Path, wanted: str) -> NoReturn:
    kind = kind_of(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    if kind == wanted:  # it changed between the two calls, and whatever does that is up to no good
        kind = "being replaced"
    raise UnsafePath(
        f"{path} is {kind}",
        seen=kind,
        wanted=wanted,
        next_step=f"find out what put it there (ls -ld {path}); links are not followed, so use the path without them",
    )


def kind_of(mode: int) -> str:
    """The kind of file a mode means, with its article, as messages use it."""
    kinds = {
        stat.S_IFREG: "a regular file",
        stat.S_IFDIR: "a directory",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of the regular file at `path`, which the caller closes.

    Raises OSError where it cannot be opened (FileNotFoundError where it is missing), and UnsafePath where a component is
    a link or the file is not a regular one.
    """
    with folder(path.parent) as parent:
        # Looked at before it is opened: opening a device can have effects of its own.
        if not stat.S_ISREG(os.stat(path.name, dir_fd=parent, follow_symlinks=False).st_mode):
            _refuse(parent, path.name, path, "a regular file")
        descriptor = os.open(path.name, flags | _FILE, dir_fd=parent)
        # It can have been replaced in between, and only what was opened counts.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            _refuse(parent, path.name, path, "a regular file")
        return descriptor


def read_bytes(path: Path, limit: int) -> bytes:
    """The whole file, which has `limit` bytes or fewer; UnsafePath where it has more."""
    with os.fdopen(open_file(path), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UnsafePath(
            f"{path} has more than {limit} bytes",
            seen=f"more than {limit} bytes",
            wanted=f"{limit} bytes or fewer",
            next_step=f"look at {path}; the daemon does not write such a file",
        )
    return content


def held_inside(base: Path, path: str) -> Path | None:
    """`path` where it names something below `base`, else None. Links are not looked at; opening refuses them."""
    inside = Path(path)
    if not inside.is_absolute() or ".." in inside.parts or "\0" in path:
        return None
    return inside if base.absolute() in inside.parents else None

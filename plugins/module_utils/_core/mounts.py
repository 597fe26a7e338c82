# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mounts of a Pi, by the kernel's own list: what is a mount point, what contains one, what is lost at a reboot.

Device numbers do not show a bind mount of the same file system, and a rename across one fails all the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOUNTINFO = Path("/proc/self/mountinfo")
CMDLINE = Path("/proc/cmdline")
# Their content is memory.
VOLATILE = frozenset({"tmpfs", "ramfs"})
# Block devices whose content is memory, whatever file system is made on them.
_RAM_DISK = re.compile(r"/dev/z?ram\d+")
_UPPER = re.compile(r"(?:^|[ ,])upperdir=([^,]+)")
_OCTAL = re.compile(r"\\([0-7]{3})")
# The kernel's command line with which Raspberry Pi OS and the package overlayroot boot on a root that forgets.
_OVERLAY_BOOT = re.compile(r"(?:^|\s)(?:boot=overlay|overlayroot=(?!disabled)\S+)")


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo. `root` is the folder of the file system that is mounted; not `/` where it is a bind mount."""

    point: str
    root: str
    kind: str
    source: str
    options: str


def parse(text: str) -> list[Mount]:
    """The mounts in the order they were made, so that of two on one point the last is the one that is seen."""
    found = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        own, other = left.split(" "), right.split(" ")
        if separator and len(own) > 5 and len(other) > 2:
            found.append(Mount(_plain(own[4]), _plain(own[3]), other[0], _plain(other[1]), _plain(" ".join(other[2:]))))
    return found


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def read(path: Path = MOUNTINFO) -> list[Mount]:
    """The mounts this process sees; none where the kernel does not list them."""
    try:
        return parse(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return []


def holding(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that `path` is on; a mount point is on what is mounted there."""
    best = None
    for mount in mounts:
        if _within(path, mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def at(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """What is mounted on `path` itself."""
    return next((mount for mount in reversed(list(mounts)) if mount.point == path), None)


def below(path: str, mounts: Iterable[Mount]) -> list[str]:
    """Mount points inside of `path`."""
    return sorted({mount.point for mount in mounts if mount.point != path and _within(mount.point, path)})


def _within(path: str, folder: str) -> bool:
    return path == folder or PurePosixPath(folder) in PurePosixPath(path).parents


def obstacle(path: str, mounts: Iterable[Mount] | None = None) -> str | None:
    """Why the folder cannot be renamed as a whole: it is a mount point, or contains one. None where it can."""
    known = read() if mounts is None else list(mounts)
    real = os.path.realpath(path)
    if at(real, known):
        return f"{path} is a mount point"
    inside = below(real, known)
    return f"{path} contains the mount point {', '.join(inside)}" if inside else None


def apart(src: str, parent: str, mounts: Iterable[Mount] | None = None) -> str | None:
    """Why a rename of `src` into the folder `parent` would be a copy: another mount, also one of the same file system."""
    known = read() if mounts is None else list(mounts)
    here, there = (holding(os.path.realpath(path), known) for path in (src, parent))
    if here and there and here.point != there.point:
        return f"{src} is on the mount {here.point}, {parent} on {there.point}"
    return None


def forgetful_root(mounts: Iterable[Mount], cmdline: str) -> str | None:
    """What says that changes of the root file system are gone after a reboot; None where nothing does."""
    known = list(mounts)
    root = at("/", known)
    if root is None:
        return None
    memory = of_memory(root, known)
    if root.kind != "overlay":
        return f"/ is {memory}" if memory else None
    boot = _OVERLAY_BOOT.search(cmdline)
    if boot:
        return f"/ is an overlay ({boot[0].strip()} on the kernel's command line)"
    if root.source == "overlayroot":
        return "/ is an overlay of overlayroot"
    return f"/ is {memory}" if memory else None


def of_memory(mount: Mount, mounts: Iterable[Mount]) -> str | None:
    """What makes the content of this mount memory; None where it is kept on a disk, as far as the list of mounts shows."""
    if mount.kind in VOLATILE:
        return mount.kind
    if _RAM_DISK.fullmatch(mount.source):
        return mount.source
    upper = _UPPER.search(mount.options) if mount.kind == "overlay" else None
    if upper is None:
        return None
    others = [other for other in mounts if other.point != mount.point]
    store = holding(upper[1], others)
    memory = of_memory(store, others) if store else None
    return f"an overlay that writes to {upper[1]} ({memory})" if memory else None


def in_memory(path: str, mounts: Iterable[Mount], cmdline: str) -> str | None:
    """Why what is written below the folder `path` takes memory, and is gone after a reboot; None where it goes to a disk."""
    known = list(mounts)
    mount = holding(os.path.realpath(path), known)
    if mount is None:
        return None
    if mount.point == "/":
        return forgetful_root(known, cmdline)
    memory = of_memory(mount, known)
    return f"{path} is on {memory}, which is memory" if memory else None


def command_line(path: Path = CMDLINE) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

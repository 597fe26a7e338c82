# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Room for a copy, looked at before its first byte is written: a daemon is alive on the same disk."""

from __future__ import annotations

import os
from pathlib import Path

from .failures import MigrationError

# What stays free for that daemon.
SPARE_BYTES = 16 << 20


def free_bytes(folder: Path) -> int:
    """What a process without privileges may still write on the disk of `folder`. Raises OSError."""
    filesystem = os.statvfs(folder)
    return filesystem.f_bavail * filesystem.f_frsize


def check_room(directory: Path, size: int, what: str) -> None:
    """Raise MigrationError unless `size` bytes and the spare are free in `directory`. `what` needs them. Raises OSError."""
    free, wanted = free_bytes(directory), size + SPARE_BYTES
    if free < wanted:
        raise MigrationError(
            f"{directory} has {free} bytes free, {what} needs {wanted}",
            seen=free,
            wanted=wanted,
            next_step=f"free {wanted - free} bytes there",
        )

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast a disk takes what a restored database is: a bounded sample, in a file without a name that leaves no trace."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from .room import free_bytes

MIB = 1024 * 1024
# Enough that one fsync does not decide, and little for an SD card.
SAMPLE_BYTES = 16 * MIB
SAMPLE_SECONDS = 2.0
# What stays free for whoever else writes there.
SPARE_BYTES = 64 * MIB


def write_speed(folder: Path, wanted: int = SAMPLE_BYTES, seconds: float = SAMPLE_SECONDS) -> float | None:
    """Bytes a second, synced to the disk; None where it cannot be measured (read-only, or too full).

    At most `wanted` bytes are written, and none after `seconds`.
    """
    # Random, since some file systems compress.
    block = os.urandom(MIB)
    try:
        if free_bytes(folder) < SPARE_BYTES + wanted:
            return None
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            began, written = time.monotonic(), 0
            while written < wanted and time.monotonic() - began < seconds:
                written += file.write(block)
                os.fdatasync(file.fileno())
            return written / max(time.monotonic() - began, 1e-6)
    except OSError:
        return None

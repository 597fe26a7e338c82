# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restored database is all in SQLite's write-ahead log, and the first client that writes would wait until it is in the database."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from .._core.durable import beside
from .database import opened
from .proof import WORTH_A_PROCESS, on_disk

# Seconds until the process ends in any case: some minutes for a large database on a slow card.
_LIMIT = 300


def checkpoint_aside(paths: Iterable[Path]) -> None:
    """Begin to copy the logs into their databases in a process of its own, which is not waited for.

    It is what the daemon does after its next write, and it skips that while this one is at work. Content stays what it is. Where this
    fails, and for a short log, the daemon does it.
    """
    long = [path for path in paths if on_disk(beside(path, "-wal")) >= WORTH_A_PROCESS]
    if not long:
        return
    with contextlib.suppress(OSError):
        if os.fork() == 0:
            try:
                _checkpoint(long)
            finally:
                os._exit(0)


def _checkpoint(paths: Iterable[Path]) -> None:
    os.setsid()
    signal.alarm(_LIMIT)
    # Whoever started the module waits for the end of its output.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    for path in paths:
        with opened(path, "mode=rw", 0) as connection:
            # Waits for no reader and no writer.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The most that a run takes of a Pi's disk, and that one of its modules takes of a Pi's memory, looked at from outside while it runs."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cgroups
from tests.lab.state import Node, State

LOOK = 0.2  # seconds; a process keeps the most that it has had of memory, so one look late in its life is enough


@dataclass
class Peaks:
    """Over all Pis."""

    disk: float = 0.0
    """MB more than at the start."""
    memory: float = 0.0
    """MiB of one process of Python."""


@contextlib.contextmanager
def watched(lab: State, memory: bool = False) -> Iterator[Peaks]:
    """The peaks of the body. Processes are looked at only with `memory`: that takes a part of a processor."""
    peaks, over = Peaks(), threading.Event()
    before = {node.name: used_bytes(node) for node in lab.nodes}

    def look() -> None:
        while not over.wait(LOOK):
            for node in lab.nodes:
                peaks.disk = max(peaks.disk, (used_bytes(node) - before[node.name]) / 1e6)
                if memory:
                    peaks.memory = max([peaks.memory, *map(resident_mib, cgroups.processes(node.name))])

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def used_bytes(node: Node) -> int:
    """Of the host's own disk. A host whose memory is limited has none of its own."""
    return shutil.disk_usage(node.folder / "disk").used


def resident_mib(pid: int) -> float:
    """The most that this process has had in memory, if it is one of Python, as only the collection's modules are on a Pi."""
    # It may have ended since it was listed.
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        if peak and status.startswith("Name:\tpython"):
            return int(peak[1]) / 1024
    return 0.0

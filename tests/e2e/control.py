# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node: where runs keep what is theirs, and the processes of a run, which can be frozen and let go on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections import defaultdict
from pathlib import Path

# Where runs keep what is theirs, unless they are given another folder.
FOLDER = Path.home() / ".local/state/pi-controller-migration"
WATCH = FOLDER / "watch/watch.json"


def family(pid: int) -> set[int]:
    """The process and all that it has started, in whatever session or process group."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found, new = set(), [pid]
    while new:
        found.update(new)
        new = [child for parent in new for child in children[parent] if child not in found]
    return found


def watch_of(run: int, about: Path = WATCH) -> set[int]:
    """The process that watches the quorum for this run: a process of its own, which outlives a run that is killed."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        watch = json.loads(about.read_text())
        if watch["ended"] is None and watch["run"]["pid"] == run:
            return {int(watch["pid"])}
    return set()


def freeze(run: int) -> set[int]:
    """Stop everything of this run where it is; returns the processes, for `thaw`."""
    frozen: set[int] = set()
    # What one of them had started before it stopped is found the next time.
    while new := (family(run) | watch_of(run)) - frozen:
        for pid in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        frozen |= new
    return frozen


def thaw(frozen: set[int]) -> None:
    for pid in frozen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

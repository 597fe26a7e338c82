# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes of the control node: which ansible-playbook run is this, and does it still live?

A number alone does not name a process, since numbers are used again; together with the time it was started it does.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .failures import MigrationError

PLAYBOOK = "ansible-playbook"
AS_MODULE = ("-m", "ansible", "playbook")
AS_MODULE_JOINED = ("-mansible", "playbook")
PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process. `started` is whatever the system tells of its start, and only good for comparing."""

    pid: int
    started: str

    @classmethod
    def from_dict(cls, found: Any) -> Process | None:
        try:
            return cls(int(found["pid"]), str(found["started"]))
        except (KeyError, TypeError, ValueError):
            return None

    def as_dict(self) -> Mapping[str, Any]:
        return asdict(self)

    @property
    def alive(self) -> bool:
        return identify(self.pid) == self


@dataclass(frozen=True)
class _Seen:
    parent: int
    started: str
    state: str
    words: tuple[str, ...]


def identify(pid: int) -> Process | None:
    """The process that has this number now; one that has ended and is only not buried yet counts as none."""
    seen = _look(pid)
    return Process(pid, seen.started) if seen and not seen.state.startswith("Z") else None


def playbook_run(pid: int | None = None) -> Process:
    """The ansible-playbook process that this one (or `pid`) works for."""
    found: int | None = None
    for number, seen in _ancestors(pid or os.getpid()):
        if _is_playbook(seen.words):
            found = number
        elif found is not None:
            # Its workers carry its name, so the topmost in a row is the run itself; one further up is another run.
            break
    process = identify(found) if found is not None else None
    if process is None:
        raise MigrationError(
            f"no {PLAYBOOK} process is above process {pid or os.getpid()}",
            wanted=f"a run of {PLAYBOOK}, whose end is the end of the watch and of the lock",
            next_step="set `parent_pid` to the process of the run",
        )
    return process


def run_of(parent_pid: int | None) -> Process:
    """The run that a module works for: the given process, or the ansible-playbook above."""
    if parent_pid is None:
        return playbook_run()
    process = identify(parent_pid)
    if process is None:
        raise MigrationError(
            f"there is no process {parent_pid}",
            seen=parent_pid,
            wanted="a living process",
            next_step="correct `parent_pid`",
        )
    return process


def machine() -> str:
    """A name for "here": process numbers of two places with the same name can be compared. Empty where that is unknown."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        # Two containers of one machine have numbers of their own.
        return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _ancestors(pid: int) -> Iterator[tuple[int, _Seen]]:
    # 1 may be the run itself: `docker run IMAGE ansible-playbook …`, a Kubernetes Job.
    while pid > 0:
        seen = _look(pid)
        if seen is None:
            return
        yield pid, seen
        pid = seen.parent


def _is_playbook(words: tuple[str, ...]) -> bool:
    # The tool is a script: the interpreter comes first, maybe with an option or two.
    if any(Path(word).name == PLAYBOOK for word in words[:4]):
        return True
    # `python -m ansible playbook`, which stays the command line of the run and of its workers.
    return any(
        words[start : start + 3] == AS_MODULE or words[start : start + 2] == AS_MODULE_JOINED for start in range(4)
    )


def _look(pid: int) -> _Seen | None:
    return _look_proc(pid) if (PROC / "self/stat").exists() else _look_ps(pid)


def _look_proc(pid: int) -> _Seen | None:
    try:
        stat = (PROC / str(pid) / "stat").read_text()
        words = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold anything, spaces and parentheses too.
    fields = stat.rpartition(")")[2].split()
    return _Seen(int(fields[1]), fields[19], fields[0], tuple(words.decode("utf-8", "replace").split("\0")))


def _look_ps(pid: int) -> _Seen | None:
    """Where there is no /proc (macOS)."""
    environment = {**os.environ, "LC_ALL": "C"}
    command = ["ps", "-o", "ppid=,state=,lstart=,command=", "-p", str(pid)]
    # No module is at hand here whose run_command could be used.
    # pylint: disable-next=ansible-bad-function
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    words = done.stdout.split()
    if done.returncode or len(words) < 8:
        return None
    return _Seen(int(words[0]), " ".join(words[2:7]), words[1], tuple(words[7:]))

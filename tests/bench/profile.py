# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of a run goes: by play, by task, and by who keeps the processors busy."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.rehearsal import Moment
from tests.lab import cgroups
from tests.lab.state import State

LONGEST = 15  # tasks in the table


@dataclass
class Processors:
    """Seconds of one processor."""

    whole: float = 0.0
    """That there were."""
    used: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = ", ".join(f"{seconds:.0f} s {who}" for who, seconds in self.used.items())
        return f"Of {self.whole:.0f} s of the processors: {parts}"


@contextlib.contextmanager
def processors(lab: State, witness: int) -> Iterator[Processors]:
    """Who keeps them busy during the body; `witness` is its process."""
    found = Processors()
    began, before = time.monotonic(), _used(lab, witness)
    yield found
    found.whole = (time.monotonic() - began) * (os.cpu_count() or 1)
    found.used = {who: seconds - before[who] for who, seconds in _used(lab, witness).items()}


def _used(lab: State, witness: int) -> dict[str, float]:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = Path(f"/proc/{witness}/stat").read_text().rpartition(")")[2].split()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "the Pis (daemons, Kubernetes, modules)": sum(cgroups.cpu_seconds(node.name) for node in lab.nodes),
        "the witness": (int(fields[11]) + int(fields[12])) / ticks,
        "Ansible on the control node": children.ru_utime + children.ru_stime,
    }


def durations(moments: Sequence[Moment], whole: float) -> list[tuple[str, str, float]]:
    """(play, task, seconds) of each task; what a play takes before its first task is a task without a name."""
    found, play = [], ""
    ends = [moment.seconds for moment in moments[1:]] + [whole]
    for moment, end in zip(moments, ends, strict=True):
        if moment.kind == "PLAY":
            play = moment.name
        found.append((play, moment.name if moment.kind == "TASK" else "", end - moment.seconds))
    return found


def tables(moments: Sequence[Moment], whole: float) -> str:
    """Two tables of Markdown: the plays, and the tasks that take longest, all times that they run together."""
    plays: dict[str, list[float]] = {}
    tasks: dict[str, list[float]] = {}
    for play, task, seconds in durations(moments, whole):
        plays.setdefault(play, [])
        if task:
            tasks.setdefault(task.rpartition(" : ")[2].replace("|", "\\|"), []).append(seconds)
            plays[play].append(seconds)
    longest = sorted(tasks.items(), key=lambda item: -sum(item[1]))[:LONGEST]
    return "\n".join(
        [
            "| play | tasks | seconds |",
            "|---|---|---|",
            *(f"| {play} | {len(each)} | {sum(each):.1f} |" for play, each in plays.items()),
            "",
            "| task | times | seconds |",
            "|---|---|---|",
            *(f"| {task} | {len(each)} | {sum(each):.1f} |" for task, each in longest),
        ]
    )

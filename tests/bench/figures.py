# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of a benchmark run: each a ratio of two values measured on the same machine in the same run, beside its bar and its aim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.e2e.rehearsal import MOST_TASKS

# Why a figure is over its bar where it is, as the profiles have it.
_TASKS = "a chain of tasks, most of which only wait for the control node and Python; the rest waits for elections and pods, Pi by Pi"
_DISK = (
    "the backups of all Pis are copied to the control node, and a daemon that starts reads what its log has since its last snapshot; "
    "both grow with the data"
)


# Ratios, not seconds: a slow machine makes both sides slow.
@dataclass(frozen=True)
class Figure:
    """One line of the table. `top` and `bottom` name two values; the ratio of the two is what the bar is for. Without a `bottom` it is
    for the value itself."""

    name: str
    top: str
    bottom: str
    bar: float
    aim: float
    why: str = "not known"


FIGURES = (
    Figure("parallel, whole run / floor", "parallel.run", "floor", 3.5, 2.5, _TASKS),
    Figure("rolling, whole run / floor", "rolling.run", "floor", 2.5, 1.8, _TASKS),
    Figure(
        "parallel, write pause / no-op", "parallel.pause", "noop", 3.0, 2.0,
        "a chain of tasks lies in the pause, each with a round trip and a start of its own",
    ),
    Figure(
        "parallel upstream, write pause / no-op", "upstream.pause", "noop", 6.0, 4.0,
        "a longer chain of tasks lies in the pause, as no call of the daemon carries its state",
    ),
    Figure(
        "rolling with leadership transfer, write pause / no-op", "rolling.pause", "noop", 0.5, 0.15,
        "leadership is handed over while a task has the processors",
    ),
    Figure("rolling, a Pi's daemon away / one bare pod restart", "rolling.away", "restart", 2.0, 1.0),
    Figure(
        "parallel, write pause at 137 MB / at nothing", "parallel-137MB.pause", "parallel.pause", 2.0, 1.2,
        "the daemon's own restore replaces the whole state on every Pi (decision 3)",
    ),
    Figure(
        "rolling, whole run at 1 GB / at nothing, 512 MiB a Pi", "rolling-1GB.run", "rolling-512MiB.run", 1.3, 1.1, _DISK
    ),
    Figure(
        "rolling, write pause at 1 GB / at nothing, 512 MiB a Pi", "rolling-1GB.pause", "rolling-512MiB.pause", 1.3, 1.1, _DISK
    ),
    Figure(
        "parallel, peak of extra disk on a Pi / the database, 137 MB", "parallel-137MB.disk", "parallel-137MB.state", 5.0, 4.0,
        "while it restores, the daemon of a pod has six copies of its own, and the unit keeps two snapshots; ours are the two backups "
        "of prepare and the snapshot of the cutover (decision 3)",
    ),
    Figure(
        "parallel, each further Pi / a third of the run with three", "parallel-5.further", "parallel.third", 1.0, 0.7,
        "ports move Pi by Pi, and all Pis share the processors here",
    ),
    Figure(
        "rolling, each further Pi / a third of the run with three", "rolling-5.further", "rolling.third", 1.0, 0.7,
        "the turns are one after the other, and make most of the run",
    ),
    Figure("memory of a module at 1 GB, MiB", "rolling-1GB.memory", "", 64.0, 32.0),
    Figure("rollback after parallel, write pause / no-op", "parallel.back.pause", "noop", 1.0, 0.5),
    Figure("rollback after rolling, write pause / no-op", "rolling.back.pause", "noop", 1.0, 0.5),
)  # fmt: skip


def too_many_tasks(tasks: Mapping[str, int]) -> list[str]:
    """Runs of more tasks than their strategy had before."""
    return [
        f"{name}: {count} tasks, the bar is {MOST_TASKS[name]}"
        for name, count in tasks.items()
        if count > MOST_TASKS.get(name, count)
    ]


@dataclass(frozen=True)
class Line:
    """A figure that was measured."""

    name: str
    top: float
    bottom: float
    ratio: float
    bar: float
    aim: float
    why: str

    @property
    def verdict(self) -> str:
        return (
            "aim reached" if self.ratio <= self.aim else "within the bar" if self.ratio <= self.bar else "OVER THE BAR"
        )


def lines(values: Mapping[str, float]) -> list[Line]:
    """The figures that follow from these values; a figure whose values were not measured is left out."""
    found = []
    for figure in FIGURES:
        bottom = values.get(figure.bottom) if figure.bottom else 1.0
        if figure.top in values and bottom:
            ratio = round(values[figure.top] / bottom, 2)
            found.append(Line(figure.name, values[figure.top], bottom, ratio, figure.bar, figure.aim, figure.why))
    return found


def reasons(found: Sequence[Line]) -> list[str]:
    """Of each figure over its bar, why."""
    return [f"{line.name}: {line.why}" for line in found if line.ratio > line.bar]


def broken_promises(counts: Mapping[str, int]) -> list[str]:
    """What has no ratio: acknowledged writes lost and reads failed, by run. The naive procedure promises nothing."""
    return [f"{name}: {count}" for name, count in counts.items() if count and not name.startswith("naive")]


def table(found: Sequence[Line]) -> str:
    """For a terminal and for Markdown alike."""
    head = ["figure", "value", "of", "ratio", "bar", "aim", ""]
    rows = [
        [
            line.name,
            f"{line.top:.2f}",
            f"{line.bottom:.2f}",
            f"{line.ratio:.2f}",
            f"{line.bar:g}",
            f"{line.aim:g}",
            line.verdict,
        ]
        for line in found
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def text(row: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"

    return "\n".join([text(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(text, rows)])

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark has measured so far. It is printed as it comes, and kept when the benchmark stops."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


def unit(name: str) -> str:
    """Of a value by the end of its name; seconds, if it is none of these."""
    return {"disk": "MB", "state": "MB", "memory": "MiB"}.get(name.rpartition(".")[2], "s")


class Values(dict[str, float]):
    """What was measured, by name."""

    def __setitem__(self, name: str, value: float) -> None:
        super().__setitem__(name, round(value, 3))
        print(f"bench: {name:<28} {value:8.2f} {unit(name)}", flush=True)


@dataclass
class Results:
    """Of one benchmark, whose logs and histories are in `folder`."""

    folder: Path
    values: Values = field(default_factory=Values)
    counts: dict[str, int] = field(default_factory=dict)
    """Acknowledged writes lost, failed and stale reads, by run."""
    tasks: dict[str, int] = field(default_factory=dict)
    profiles: dict[str, str] = field(default_factory=dict)
    """Markdown by run: where its time goes."""
    notes: list[str] = field(default_factory=list)
    """What was not measured, or has no figure."""

    def inherent(self, count: str, why: str) -> None:
        """This count, where it was taken, is a note and breaks no promise."""
        if count in self.counts:
            self.note(f"{count}: {self.counts.pop(count)}; {why}")

    def note(self, text: str) -> None:
        self.notes.append(text)
        print(f"bench: {text}", flush=True)

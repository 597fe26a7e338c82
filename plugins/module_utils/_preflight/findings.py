# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pre-flight has found: one line of the table each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

ERROR = "error"
WARNING = "warning"
COLUMNS = ("host", "check", "seen", "wanted", "fix")
# Widest that a column gets before its text is wrapped; together they fit a wide terminal.
WIDTHS = {"host": 12, "check": 22, "seen": 44, "wanted": 34, "fix": 50}
# The host of what concerns no single Pi.
EVERYWHERE = "(all)"


@dataclass(frozen=True)
class Finding:
    """Where, which check, the value seen, the value wanted, what to do. Only an error stops the migration."""

    host: str
    check: str
    seen: str
    wanted: str
    fix: str
    level: str = ERROR

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def ordered(findings: Iterable[Finding], hosts: Sequence[str]) -> list[Finding]:
    """Errors first, then by host as the inventory has them, as found within a host; each finding once."""
    places = {host: number for number, host in enumerate(hosts)}
    unique = list(dict.fromkeys(findings))
    return sorted(unique, key=lambda finding: (finding.level != ERROR, places.get(finding.host, -1), finding.check))


def table(findings: Sequence[Mapping[str, Any]]) -> str:
    """The findings as a text table; long texts are wrapped inside of their column."""
    rows = [[_cell(finding, column) for column in COLUMNS] for finding in findings]
    widths = [
        max([len(column), *(len(line) for row in rows for line in row[number])])
        for number, column in enumerate(COLUMNS)
    ]
    lines = [_line(COLUMNS, widths), _line(["-" * width for width in widths], widths)]
    for row in rows:
        for number in range(max(len(cell) for cell in row)):
            lines.append(_line([cell[number] if number < len(cell) else "" for cell in row], widths))
    return "\n".join(lines)


def _cell(finding: Mapping[str, Any], column: str) -> list[str]:
    text = " ".join(str(finding[column]).split())
    if column == "check" and finding["level"] == WARNING:
        # It stops nothing, and whoever fixes the others has to know that.
        text = f"{text} (warning)"
    # A path is copied as a whole; one that is longer than its column makes the column wider.
    return textwrap.wrap(text, WIDTHS[column], break_on_hyphens=False, break_long_words=False) or [""]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024 or unit == "GiB":
            return f"{number:.0f} {unit}" if unit in ("B", "KiB") or number >= 100 else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError("the loop returns at its last unit")

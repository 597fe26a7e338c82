# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How durations, times and phases are written for people: the same in the terminal, the status and the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

PHASE_TITLES = {
    "prepare": "Prepare",
    "transfer": "Transfer",
    "validate": "Validate",
    "cutover": "Cutover",
    "systemd_shutdown": "Shut systemd down",
    "port_migration": "Move the ports",
    "cleanup": "Clean up",
    "rollback": "Roll back",
}
STATE_TITLES = {
    "unknown": "not known",
    "not_started": "not started",
    "running": "running",
    "paused": "between two phases",
    "interrupted": "interrupted",
    "started": "started; whether a run is at work is unknown",
    "failed": "failed",
    "migrated": "migrated",
    "rolled_back": "rolled back",
    "rolling_back": "rolling back",
    "rollback_unfinished": "rollback incomplete",
}


def seconds(value: float | None) -> str:
    """`2.4 ms`, `840 ms`, `4.2 s`, `1 min 07 s`, `3 h 05 min`, `2 d 4 h`; a dash for None."""
    if value is None:
        return "–"
    if value == 0:
        return "0 s"
    if value < 0.00995:
        return f"{value * 1000:.1f} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    whole = int(value + 0.5)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def clock(at: float) -> str:
    """The time of day in UTC."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%H:%M:%S")


def size(value: int | None) -> str:
    if value is None:
        return "–"
    number = float(value)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def listed(names: Sequence[str]) -> str:
    """`pi-1, pi-2 and pi-3`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def plural(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Durations as people write them: `30s`, `2m`, `1m30s`, `1h`, or a whole number of seconds."""

from __future__ import annotations

import re
from typing import Any

# Each unit at most once and the larger one first, as Go, Kubernetes and systemd all read it.
_DURATION = re.compile(r"(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+)s)?", re.ASCII)
_PLAIN = re.compile(r"\d+", re.ASCII)
FORM = "write it as 30s, 2m, 1m30s or 1h, or as a whole number of seconds"


class DurationError(ValueError):
    """The value is not a valid duration; the message says what was seen and what to write instead."""


def parse_duration(value: Any) -> int:
    """The seconds in `value`."""
    # A bool is an int to Python, but `timeout: true` is a slip of the pen and never one second.
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise DurationError(f"{value} is negative; {FORM}")
        return int(value)
    if not isinstance(value, str):
        raise DurationError(f"{value!r} is not a duration; {FORM}")
    text = value.strip()
    # A number that went through a template arrives as a string.
    if _PLAIN.fullmatch(text):
        return int(text)
    parts = _DURATION.fullmatch(text)
    if not text or parts is None:
        raise DurationError(f"'{value}' is not a duration; {FORM}")
    hours, minutes, seconds = (int(parts[unit] or 0) for unit in ("hours", "minutes", "seconds"))
    return hours * 3600 + minutes * 60 + seconds

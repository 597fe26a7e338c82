# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON as daemons write it, and nothing that takes a reader long."""

from __future__ import annotations

import json
import math
from typing import Any

from .interface import Unreadable


def parse_json(text: str) -> Any:
    """JSON as daemons write it; ValueError for anything else, also where it is nested too deeply or a number is absurd."""
    try:
        return json.loads(text, parse_int=_integer, parse_float=_finite, parse_constant=_no_number)
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error


def _integer(text: str) -> int:
    # Python converts digits in quadratic time, and none of our numbers has more than 64 bits.
    if len(text) > 20:
        raise Unreadable("a number has too many digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Unreadable("a number is not finite")
    return value


def _no_number(text: str) -> float:
    raise Unreadable(f"{text} is not a number")

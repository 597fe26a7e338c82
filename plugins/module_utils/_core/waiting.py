# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a condition, bounded by a monotonic clock."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable, Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Waited(Generic[Value]):
    """The last value looked at, whether it was the one waited for, and how long that took."""

    met: bool
    value: Value
    elapsed: float


def wait_until(
    look: Callable[[], Value],
    met: Callable[[Value], bool],
    timeout: float,
    interval: float = 0.1,
    first: Iterable[float] = (),
) -> Waited[Value]:
    """Look until `met(value)` or until `timeout` seconds have passed; a timeout of 0 is exactly one look.

    Between looks it waits for `interval` seconds, and after the first ones for those in `first`.

    The last look is never older than the deadline: what it saw is what the caller reports as "seen".
    """
    started = time.monotonic()
    deadline = started + timeout
    pauses = itertools.chain(first, itertools.repeat(interval))
    while True:
        last_chance = time.monotonic() >= deadline
        value = look()
        done = met(value)
        now = time.monotonic()
        if done or last_chance:
            return Waited(met=done, value=value, elapsed=now - started)
        time.sleep(max(0.0, min(next(pauses), deadline - now)))

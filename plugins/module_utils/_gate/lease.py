# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a gate's state lasts by itself, by this Pi's own clock: no two clocks have to agree.

docs/decisions/0016 explains what expires before what, and why.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._core.failures import MigrationError
from .table import Gate

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NEXT = "run the same command again: it starts the cutover over, or finishes it where the opening is recorded"


class LeaseEnded(MigrationError):
    """Too late: what was to hold until now has ended, or would end too soon."""

    def __init__(self, message: str, seen: Any = None, wanted: Any = None) -> None:
        super().__init__(message, seen=seen, wanted=wanted, next_step=_NEXT)


@dataclass(frozen=True)
class Moment:
    """A time of this Pi: seconds since it booted, and which boot that was."""

    boot: str
    seconds: float

    @classmethod
    def now(cls) -> Moment:
        return cls(BOOT_ID.read_text(encoding="ascii").strip(), time.monotonic())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Moment:
        return cls(str(values["boot"]), float(values["seconds"]))

    def as_dict(self) -> dict[str, Any]:
        return {"boot": self.boot, "seconds": round(self.seconds, 3)}

    def left_of(self, seconds: float, what: str) -> float:
        """How much is left of the `seconds` after this moment. Raises LeaseEnded when nothing is, as after a reboot."""
        now = Moment.now()
        if now.boot != self.boot:
            raise LeaseEnded(f"this Pi was rebooted, {what}", seen=now.boot, wanted=self.boot)
        passed = now.seconds - self.seconds
        if passed >= seconds:
            raise LeaseEnded(
                f"{passed:.1f} s have passed, {what}", seen=f"{passed:.1f} s", wanted=f"less than {seconds:g} s"
            )
        return seconds - passed


@dataclass(frozen=True)
class Lease:
    """What a module is asked for: `seconds` from `since` on, or from now on; None seconds is for good."""

    seconds: float | None = None
    since: Moment | None = None
    held: bool = False

    @classmethod
    def wanted(cls, params: Mapping[str, Any] | None) -> Lease | None:
        if not params:
            return None
        since = Moment.of(params["since"]) if params["since"] else None
        return cls(params["seconds"], since, params["held"])

    def left(self) -> float | None:
        """Seconds from now on. Raises LeaseEnded."""
        if self.seconds is None or self.since is None:
            return self.seconds
        return self.since.left_of(self.seconds, "too long for the gate to be set as part of this cutover")

    def of(self, gate: Gate) -> Gate:
        """The gate with what is left now. Raises LeaseEnded."""
        return replace(gate, lifetime=self.left(), held=self.held)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Pi has to do by itself when a cutover's lease ends, as a file that only root reads."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .._core.durable import fsync, replacing
from .._core.failures import MigrationError
from .._gate.lease import Moment

FOLDER = Path("/var/lib/pi-controller-migration-lease")
FORMAT = 1


class LeaseError(MigrationError):
    """A lease that cannot be armed, or whose order cannot be read."""


@dataclass(frozen=True)
class Order:
    """`until` is by the clock of this boot, `until_epoch` for a boot after it.

    `url` and `access` are for the daemon of this Pi where it is read-only for that long; `links` start `unit` at boot and were
    removed. `ended` is when the lease had ended and all of it was done, in seconds since the epoch.
    """

    unit: str
    lifetime: float
    boot: str
    until: float
    until_epoch: float
    url: str = ""
    access: dict[str, Any] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    ended: float | None = None

    @classmethod
    def from_now(cls, unit: str, lifetime: float, **more: Any) -> Order:
        now = Moment.now()
        return cls(unit, lifetime, now.boot, now.seconds + lifetime, time.time() + lifetime, **more)

    def left(self) -> float:
        """Seconds until the end. After a reboot by the wall clock, which may be behind: then never more than the whole lifetime."""
        now = Moment.now()
        if now.boot == self.boot:
            return self.until - now.seconds
        return min(self.until_epoch - time.time(), self.lifetime)

    def of_this_boot(self) -> Order:
        """The same order by the clock of this boot, so that a step of the wall clock changes nothing any more."""
        now = Moment.now()
        return self if now.boot == self.boot else replace(self, boot=now.boot, until=now.seconds + self.left())


class OrderFile:
    """The order in its folder. Whoever changes it holds the folder (`_core.durable.holding`)."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder, self.path = folder, folder / "lease.json"

    def load(self) -> Order | None:
        """None where there is none. Raises LeaseError."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if not isinstance(found, Mapping) or found.get("format") != FORMAT:
                raise ValueError(f"it is not an order of format {FORMAT}")
            return Order(**{key: value for key, value in found.items() if key != "format"})
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError) as error:
            # Not the reason: it could quote the file, which has a token.
            raise LeaseError(
                f"{self.path} cannot be used",
                seen=type(error).__name__,
                wanted=f"an order of format {FORMAT}",
                next_step="check that the daemon on this Pi takes writes and its unit is enabled, then remove the file",
            ) from None

    def save(self, order: Order) -> None:
        with replacing(self.path, 0o600) as new:
            new.write_text(json.dumps({"format": FORMAT, **asdict(order)}) + "\n", encoding="utf-8")

    def remove(self) -> None:
        """The order first: without it nothing else in the folder does anything."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
            fsync(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

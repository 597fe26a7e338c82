# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder through which the quorum watch, the playbook and its readers speak to each other.

samples.jsonl  what was seen, one line a sample
alerts.jsonl   what was wrong, one line when an alert is raised and a second one when it ends; missing while all is well
watch.json     the watching process about itself
order.json     what the playbook wants to be watched now
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .._core.durable import private_folder, replacing

SAMPLES = "samples.jsonl"
ALERTS = "alerts.jsonl"
ABOUT = "watch.json"
ORDER = "order.json"
# Runs whose samples and alerts are kept beside those of the current one: a migration verb by verb, some of them tried more than
# once, and the report at its end still has all of it. A run of four minutes leaves some hundred kilobytes.
KEPT_RUNS = 40
# The time of its last line in the name of an earlier run's file.
LAST_LINE = "%Y%m%dT%H%M%S.%fZ"


def uptime() -> float:
    """Seconds by a clock that goes on while the machine sleeps; on Linux `time.monotonic` stops then."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def lock_doubt(about: Mapping[str, Any]) -> str | None:
    """Why another run may hold the lock by now, from what the watching process says of itself; None where none can, or there is no lock.

    Another run may take a lock that it has seen unrenewed for `good_for` seconds, and no run can earlier, but by force.
    """
    lock = about.get("lock")
    if not lock:
        return None
    age = uptime() - lock["renewed"]
    return None if 0 <= age <= lock["good_for"] else f"it was last renewed {age:.0f} s ago"


def ended_before(file: Path, moment: float) -> bool:
    """Whether this is the file of an earlier run whose last line was written before the moment, by its name."""
    try:
        written = datetime.strptime(file.stem.partition("-")[2], LAST_LINE)
    except ValueError:
        return False
    return written.replace(tzinfo=timezone.utc).timestamp() < moment


class WatchFolder:
    """0700, its files 0600: they hold addresses and states of a cluster, which are for the owner alone."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def make(self) -> None:
        private_folder(self.path)

    def begin_run(self) -> None:
        """What an earlier run wrote gets the time of its last line in its name, and the oldest of those are removed."""
        self.make()
        for name in (SAMPLES, ALERTS):
            file = self.path / name
            if file.exists():
                written = datetime.fromtimestamp(file.stat().st_mtime, timezone.utc)
                file.replace(file.with_name(f"{file.stem}-{written:{LAST_LINE}}{file.suffix}"))
            for old in sorted(self.path.glob(f"{file.stem}-*{file.suffix}"))[:-KEPT_RUNS]:
                old.unlink()
        (self.path / ORDER).unlink(missing_ok=True)

    def append(self, name: str, record: Mapping[str, Any]) -> None:
        """One write a line, so that a reader never sees two lines mixed. Raises OSError, and leaves no half line then."""
        line = json.dumps(record).encode() + b"\n"
        descriptor = os.open(self.path / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            written = os.write(descriptor, line)
            if written < len(line):
                # A disk that fills up takes the beginning of it, and the next line would continue that.
                os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path / name))
        finally:
            os.close(descriptor)

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        with replacing(self.path / name, 0o600) as new:
            new.write_text(json.dumps(record))

    def read(self, name: str) -> dict[str, Any] | None:
        """The record, or None where there is none that can be read."""
        try:
            found = json.loads((self.path / name).read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The whole lines of a file; a last line that is still being written is left out."""
        try:
            text = (self.path / name).read_text()
        except OSError:
            return []
        return [json.loads(line) for line in text.split("\n")[:-1] if line]

    def has_alert(self, kind: str) -> bool:
        return any(alert["kind"] == kind for alert in self.alerts())

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert of this run once, with its end where it has one."""
        alerts: dict[tuple[Any, ...], dict[str, Any]] = {}
        for line in self.lines(ALERTS):
            alerts[(line["kind"], line["cluster"], line["began"])] = line
        return list(alerts.values())

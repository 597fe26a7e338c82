# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program of the lease's unit: at the deadline it opens the old side of this Pi again, and removes itself.

It needs neither ssh nor another Pi, and goes on after a reboot. It asks only the daemon of this Pi.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._core.durable import fsync, holding
from .._core.failures import MigrationError
from .._core.systemd import RUNNING, parse_show, show_command
from .._daemon.drivers import daemon_at
from .._daemon.interface import Daemon
from .order import Order
from .unit import LeaseUnit

# A fence that was on its way from another Pi may come after the deadline.
LINGER_SECONDS = 30.0
LOOK_SECONDS = 1.0
CALL_SECONDS = 5.0

Systemctl = Callable[..., tuple]  # tuple[int, str], but Python 3.9 evaluates aliases


def to_the_journal(text: str) -> None:
    """A line of the unit's log."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def systemctl(*arguments: str) -> tuple[int, str]:
    # This is no module, but a program of its own.
    # pylint: disable-next=ansible-bad-function
    done = subprocess.run(
        ["systemctl", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def daemon_of(order: Order) -> Daemon | None:
    """The daemon to make writable; None where nothing but the network was the fence."""
    return daemon_at(order.url, order.access, CALL_SECONDS) if order.url else None


class Keeper:
    """Of one lease, as long as it is not void."""

    def __init__(
        self,
        unit: LeaseUnit,
        call: Systemctl = systemctl,
        say: Callable[[str], Any] = to_the_journal,
        sleep: Callable[[float], Any] = time.sleep,
        linger: float = LINGER_SECONDS,
    ) -> None:
        self.unit, self.file = unit, unit.file
        self._systemctl, self._say, self._sleep, self._linger = call, say, sleep, linger

    def run(self) -> None:
        """Until the lease is void, or has ended and everything was done."""
        while True:
            try:
                with holding(self.file.folder):
                    wait = self.look()
            except FileNotFoundError:
                wait = None
            if wait is None:
                return
            self._sleep(wait)

    def look(self) -> float | None:
        """Do what is due; returns the seconds until the next look, None when there is nothing left to do."""
        found = self.file.load()
        if found is None:
            return None
        order = found.of_this_boot()
        if order != found:
            self._keep(order)
        left = order.left()
        if left > 0:
            return min(left, LOOK_SECONDS)
        if order.ended is None:
            self._say("the lease has ended: opening the old side of this Pi")
        faults = self.open(order)
        if faults:
            self._say("; ".join(faults))
        elif order.ended is None:
            self._keep(replace(order, ended=time.time()))
        elif -left >= self._linger:
            self.unit.remove()
            return None
        return LOOK_SECONDS

    def _keep(self, order: Order) -> None:
        """Without room for it the old side is opened all the same, and again at the next look."""
        try:
            self.file.save(order)
        except FileNotFoundError:
            raise
        except OSError as error:
            self._say(f"what became of the lease cannot be written: {error}")

    def open(self, order: Order) -> list[str]:
        """Lift the fence, and have the unit run, now and after a boot; returns what could not be done."""
        faults = []
        # First what clients wait for. A daemon that does not run is started below, and asked at the next look.
        for step in (self._lift, self._enable, self._start):
            try:
                step(order)
            except (MigrationError, OSError, subprocess.SubprocessError) as error:
                faults.append(str(error))
        return faults

    def _lift(self, order: Order) -> None:
        daemon = daemon_of(order)
        if daemon is None or not daemon.read_only():
            return
        daemon.set_read_only(False)
        if daemon.read_only():
            raise MigrationError(f"{order.url} is still read-only", url=order.url, seen=True, wanted=False)
        self._say(f"{order.url} takes writes")

    def _enable(self, order: Order) -> None:
        missing = [(Path(path), target) for path, target in order.links.items() if not os.path.lexists(path)]
        for path, target in missing:
            path.parent.mkdir(mode=0o755, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                path.symlink_to(target)
            fsync(path.parent)
            self._say(f"put {path} back")
        if missing:
            self._call("daemon-reload")

    def _start(self, order: Order) -> None:
        state = parse_show(self._systemctl(*show_command("", order.unit)[1:])[1])
        if state["active"] not in RUNNING:
            self._call("start", "--no-block", order.unit)
            self._say(f"start {order.unit}")

    def _call(self, *arguments: str) -> None:
        code, output = self._systemctl(*arguments)
        if code:
            raise MigrationError(f"`systemctl {' '.join(arguments)}` failed with {code}: {output.strip()}")


def main(arguments: list[str]) -> int:
    """The lease's folder and systemd's, as the unit gives them. `check` proves that the daemon can be asked; without it, keep it."""
    folder, systemd, *check = arguments
    unit = LeaseUnit(Path(folder), Path(systemd))
    if check:
        order = unit.file.load()
        daemon = daemon_of(order) if order else None
        if daemon is not None:
            daemon.read_only()
        return 0 if order else 1

    to_the_journal("without a commit of the cutover this Pi's old side is opened again by itself")
    Keeper(unit).run()
    return 0

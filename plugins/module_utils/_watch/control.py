# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook's side of the folder that it shares with the watching process."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from .._core.failures import MigrationError
from .._core.processes import Process, run_of
from .._core.waiting import wait_until
from .files import ABOUT, ORDER, WatchFolder
from .plan import ROLLBACK, STANDARD, TEMPORARY, Expectation, expectations

TAKEN_UP_WITHIN = 3.0
# It gives the lock back before it ends, and an API server may take its time to answer.
STOPPED_WITHIN = 10.0


class WatchControl:
    """What may be done to a watch from outside. `params` are the options of the module quorum_watch."""

    def __init__(self, params: Mapping[str, Any], check_mode: bool, warn: Callable[[str], None]) -> None:
        self.params = params
        self.check_mode = check_mode
        self.warn = warn
        self.folder = WatchFolder(params["path"])
        self.run = run_of(params["parent_pid"])

    def about(self) -> dict[str, Any]:
        return self.folder.read(ABOUT) or {}

    def process(self) -> Process | None:
        """The watching process, if it lives."""
        process = Process.from_dict(self.about().get("process"))
        return process if process is not None and process.alive else None

    @property
    def is_ours(self) -> bool:
        return Process.from_dict(self.about().get("run")) == self.run

    def phase(self) -> bool:
        about = self.about()
        # Check mode starts no watch, so what is there is an earlier run's.
        if not about or about.get("why") == "stopped" or (self.check_mode and not self.is_ours):
            return False
        process = self.process() if self.is_ours else None
        if process is None:
            if self.params["phase"] == ROLLBACK:
                # No step of a rollback depends on it, and nothing may prevent one.
                what = "the quorum watch ended unexpectedly" if self.is_ours else "this run has no quorum watch"
                self.warn(f"{what}, so the migration's lock is not renewed any more")
                return False
            if self.is_ours:
                raise self.death()
            self.refuse_another_run()
            raise self._absence()
        if not self.check_mode:
            self._order(process)
        return False

    def _absence(self) -> MigrationError:
        recorded = Process.from_dict(self.about().get("run"))
        pid = recorded.pid if recorded else None
        return MigrationError(
            f"this run has no quorum watch, so it does not hold the migration's lock: the watch in {self.folder.path} was started for "
            f"process {pid or 'unknown'}",
            seen=pid,
            wanted=f"process {self.run.pid}",
            next_step="run the playbook again; it continues from the last phase",
        )

    def death(self) -> MigrationError:
        why = self.about().get("why")
        return MigrationError(
            f"the quorum watch ended unexpectedly: {why or 'no reason is known'}",
            seen=why,
            wanted="a watch, and with it the lock, to the end of the run",
            next_step="run the playbook again; it continues from the last phase",
        )

    def stopped(self) -> bool:
        if self.process() is None:
            return False
        self.refuse_another_run()
        if not self.check_mode:
            self.end()
        return True

    def checked(self) -> bool:
        return False

    def result(self) -> dict[str, Any]:
        process = self.process()
        return {
            "path": str(self.folder.path),
            "running": process is not None,
            "pid": process.pid if process else None,
            "phase": self.about().get("phase"),
            "watching": (self.folder.read(ORDER) or {}).get("watch", {}),
            "alerts": self.folder.alerts(),
        }

    def refuse_another_run(self) -> None:
        other = Process.from_dict(self.about().get("run"))
        if self.process() is not None and other is not None and other.alive and other != self.run:
            raise MigrationError(
                f"process {other.pid} on this machine runs a playbook whose watch uses {self.folder.path}",
                seen=other.pid,
                wanted="one run at a time in this folder",
                next_step="wait for it to end, or set raft_migration_control_dir to a folder of its own for each cluster",
            )

    def end(self) -> None:
        process = self.process()
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
            if wait_until(lambda: process.alive, lambda alive: not alive, STOPPED_WITHIN, interval=0.02).met:
                return

    def _order(self, process: Process) -> None:
        sampling = self.params["sampling"]
        order = {
            "number": time.time_ns(),
            "phase": self.params["phase"],
            "phase_timeout": self.params["phase_timeout"] if sampling else None,
            # The lookup reads here which clusters still matter.
            "watch": {name: expectation.as_dict() for name, expectation in self._plan().items()} if sampling else {},
        }
        self.folder.write(ORDER, order)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGHUP)
        taken_up = wait_until(
            lambda: self.about().get("order"), lambda number: number == order["number"], TAKEN_UP_WITHIN, interval=0.02
        )
        if not taken_up.met:
            self.warn(
                f"the quorum watch ({process.pid}) has not taken up phase {self.params['phase']} for {taken_up.elapsed:.1f} s"
            )

    def _plan(self) -> dict[str, Expectation]:
        urls = {STANDARD: self.params["standard_urls"], TEMPORARY: self.params["temporary_urls"]}
        unknown = sorted({url for some in urls.values() for url in some} - set(self.about().get("urls", [])))
        if unknown:
            raise MigrationError(
                f"the quorum watch was not started with {', '.join(unknown)}",
                seen=unknown,
                wanted=self.about().get("urls"),
                next_step="give the same URLs to state=started and state=phase",
            )
        return expectations(
            self.params["phase"],
            urls,
            replaced=self.params["replaced"],
            foreign_port=self.params["temporary_raft_port"],
            strategy=self.params["strategy"],
        )

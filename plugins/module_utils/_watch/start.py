# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting the watching process and asking for its lock: what an action without the Kubernetes client cannot do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from .._core.failures import LockTaken, MigrationError
from .._daemon.drivers import daemon_at
from .control import WatchControl
from .files import ALERTS, lock_doubt
from .judge import LOCK_LOST, Alert, AlertLimits
from .process import Lock, Settings, Watch, detach

LOG = "watch.log"


class WatchStart(WatchControl):
    """All that WatchControl does, and starting the process, which holds `lock` where there is one."""

    def __init__(
        self, params: Mapping[str, Any], check_mode: bool, warn: Callable[[str], None], lock: Lock | None
    ) -> None:
        super().__init__(params, check_mode, warn)
        self.lock = lock

    def started(self) -> bool:
        """Whether this run has no process yet; it has one afterwards. Raises MigrationError, and OSError for the folder."""
        if self.process() is not None and self.is_ours:
            return False
        if self.check_mode:
            if self.lock is not None:
                self.lock.take(check_mode=True)
            self.refuse_another_run()
            return True
        self.folder.make()
        detach(self._watch(), self.folder.path / LOG)
        return True

    def held(self) -> bool:
        """Never a change. Raises MigrationError unless the lock is this run's: it is renewed here and now.

        The watch may not know yet that it was taken over: it renews now and then, and has slept where its machine has.
        """
        if self.check_mode or self.lock is None:
            return False
        about = self.about()
        if about and self.is_ours and self.process() is None:
            raise self.death()
        try:
            self.lock.renew()
        except LockTaken as error:
            self._report_loss(error, about)
            raise MigrationError(
                f"{error}. This run changes nothing any more",
                seen="lost",
                wanted="held",
                next_step="wait for the run that holds it; the playbook status shows what it does",
            ) from error
        # The libraries may end a module where they cannot connect.
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, nothing is known of the lock
            self._judge_silence(error, lock_doubt(about))
        return False

    def _report_loss(self, error: LockTaken, about: Mapping[str, Any]) -> None:
        """Raise the alert, so that nothing of this run has to wait for the watch to find it out."""
        with contextlib.suppress(OSError):
            if self.is_ours and not self.folder.has_alert(LOCK_LOST):
                at = time.time()
                self.folder.append(
                    ALERTS, Alert(LOCK_LOST, None, str(error), at, at, phase=about.get("phase")).record()
                )

    def _judge_silence(self, error: BaseException, doubt: str | None) -> None:
        outage = isinstance(error, MigrationError) and error.status is None
        if doubt and not (outage and self.params["accept_outage"]):
            raise MigrationError(
                f"it is unknown whether this run still holds the migration lock: {doubt}, and the attempt to renew it now failed "
                f"({error}). This run changes nothing any more",
                seen=doubt,
                wanted="a renewal",
                next_step="run the same command again once the Kubernetes API answers",
            ) from error
        self.warn(f"the migration lock could not be renewed just now ({error}); no other run is known to hold it")

    def _watch(self) -> Callable[[Callable[[], None]], None]:
        """What the process does. Everything is made ready here, where an error still reaches the user."""
        params, lock = self.params, self.lock
        urls = dict.fromkeys([*params["standard_urls"], *params["temporary_urls"]])
        clients = {url: daemon_at(url, params["rest"] or {}, params["timeout"]) for url in urls}
        limits = AlertLimits(params["quorum_grace"], params["leader_grace"], params["interval"])
        settings = Settings(limits, params["timeout"], params["lifetime"])

        def watch(ready: Callable[[], None]) -> None:
            try:
                hold(ready)
            finally:
                if lock is not None:
                    lock.forget()

        def hold(ready: Callable[[], None]) -> None:
            # First, since it names who is in the way.
            if lock is not None:
                lock.take()
            try:
                self.refuse_another_run()
                self.end()
                self.folder.begin_run()
                Watch(self.folder, clients, settings, self.run, lock).watch(ready)
            except BaseException:
                # Also where the folder cannot be written to: no other run has to wait for a lock without a watch.
                if lock is not None:
                    with contextlib.suppress(Exception, SystemExit):
                        lock.release()
                raise

        return watch

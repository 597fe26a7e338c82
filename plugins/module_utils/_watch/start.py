# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting the watching process: what an action without a module of its own cannot do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from .._daemon.drivers import daemon_at
from .control import WatchControl
from .judge import AlertLimits
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

    def _watch(self) -> Callable[[Callable[[], None]], None]:
        """What the process does. Everything is made ready here, where an error still reaches the user."""
        params, lock = self.params, self.lock
        urls = dict.fromkeys([*params["standard_urls"], *params["temporary_urls"]])
        clients = {url: daemon_at(url, params["rest"] or {}, params["timeout"]) for url in urls}
        limits = AlertLimits(params["quorum_grace"], params["leader_grace"], params["interval"])
        settings = Settings(limits, params["timeout"], params["lifetime"])

        def watch(ready: Callable[[], None]) -> None:
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

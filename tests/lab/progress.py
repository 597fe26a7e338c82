# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line a step: the time since the start, and what the lab is waiting for now."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

# A silent minute looks like a program that hangs.
EVERY = 8.0


class Progress:
    def __init__(self) -> None:
        self.started = time.monotonic()
        self._waits: list[object] = []

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def say(self, text: str) -> None:
        print(f"[{self.elapsed():6.1f} s] {text}", flush=True)

    @contextlib.contextmanager
    def waiting(self, what: str | Callable[[], str], every: float = EVERY) -> Iterator[None]:
        """Say now, and then every `every` seconds, what the body waits for: a text, or a function that makes one.

        A wait inside of another one speaks in its place.
        """
        over = threading.Event()
        self._waits.append(over)

        def text() -> str:
            return what if isinstance(what, str) else what()

        def repeat() -> None:
            while not over.wait(every):
                if self._waits[-1] is over:
                    self.say(f"{text()} ...")

        self.say(text())
        repeater = threading.Thread(target=repeat, daemon=True)
        repeater.start()
        try:
            yield
        finally:
            over.set()
            repeater.join()
            self._waits.remove(over)

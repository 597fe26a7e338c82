# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An API server that cannot be reached: why, in plain words, and remembered for the modules that come later in the
same run.

Each module is a process of its own. Without a memory each of them would wait its full patience again, and a run whose
API server is gone for good would take minutes to say so.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any

from .._core.durable import private_folder, replacing
from .._core.failures import MigrationError
from .._core.processes import Process, playbook_run

FOLDER = "pi-controller-migration"
NAME = "api-{}.json"
CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
# What urllib3 puts in front of its reasons: an object, or a pool with its address.
_OBJECT = re.compile(r"^(?:<[^>]*>|\w*Connection(?:Pool)?\([^)]*\)): ")
_ERRNO = re.compile(r"\[Errno -?\d+\] ([^\]\[()'\"<>;,]+)")


def cause_of(error: BaseException) -> BaseException:
    """What is behind the last of several attempts."""
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, BaseException) else error


def reason_of(error: BaseException) -> str:
    """Why the server cannot be reached: a few words without classes, objects and addresses in memory."""
    cause = cause_of(error)
    name, text = type(cause).__name__, str(cause)
    if CERTIFICATE in text:
        return _after(text, "certificate verify failed: ") or "its certificate could not be verified"
    if "Timeout" in name or isinstance(cause, TimeoutError):
        return "no answer in time"
    system = _ERRNO.search(text)
    if system:
        return system[1].strip().lower()
    if isinstance(cause, OSError) and cause.strerror:
        return str(cause.strerror).lower()
    while _OBJECT.search(text):
        text = _OBJECT.sub("", text, count=1)
    return " ".join(text.split())[:200] or "no answer"


def _after(text: str, words: str) -> str:
    return re.split(r" \(_ssl|['\")]", text.partition(words)[2])[0].strip()


def server_of(error: BaseException) -> str | None:
    """The address that was tried, where the error has it."""
    pool: Any = getattr(error, "pool", None)
    if not getattr(pool, "host", None):
        return None
    host = f"[{pool.host.strip('[]')}]" if ":" in pool.host else pool.host
    return f"{getattr(pool, 'scheme', 'https')}://{host}:{pool.port}"


def is_final(error: BaseException) -> bool:
    """Whether waiting cannot help: the server answers, with a certificate that is not trusted here."""
    return CERTIFICATE in str(cause_of(error))


class OutageMemory:
    """Since when the API server is unreachable, as far as an earlier module of this run has found out.

    A file in the user's cache folder (0700, the file 0600): it is this run's alone, and one that cannot be read or
    written is no loss.
    """

    def __init__(self, folder: Path | None = None, run: Process | None = None) -> None:
        self.run = run
        self.path = folder / NAME.format(run.pid) if folder and run else None

    @classmethod
    def of_this_run(cls) -> OutageMemory:
        """Without an ansible-playbook above there is no run that would remember."""
        try:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
            return cls(cache / FOLDER, playbook_run())
        # The last where a user has no home.
        except (MigrationError, OSError, RuntimeError):
            return cls()

    @property
    def since(self) -> float | None:
        """A time of the wall clock, in seconds."""
        if self.path is None or self.run is None:
            return None
        try:
            found = json.loads(self.path.read_text())
            ours, since = Process.from_dict(found["run"]) == self.run, float(found["since"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return since if ours and since <= time.time() else None

    def remember(self, since: float) -> None:
        if self.path is None or self.run is None:
            return
        with contextlib.suppress(OSError):
            private_folder(self.path.parent)
            with replacing(self.path, 0o600) as new:
                new.write_text(json.dumps({"run": dict(self.run.as_dict()), "since": since}))

    def forget(self) -> None:
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()

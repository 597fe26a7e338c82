# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what a Pi's daemon holds, for a comparison with the other Pis. Judges nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .._core.durable import sha256_of
from .._core.safe_open import read_bytes
from .._daemon.pod_files import look
from .._sqlite.replicas import RowLooks, first_rows

MAX_FILES = 256
MAX_FILE = 1 << 20
# Seconds to wait for a database that is locked.
BUSY_TIMEOUT = 10.0


class DataReading:
    """Read in two steps, `begin` and `finish`, between which the rows have time to be replicated."""

    def __init__(self, given: Mapping[str, Any], pid: Callable[[], int]) -> None:
        """`given` has the module's parameters; `pid` finds the daemon's process, 0 where there is none."""
        self._given, self._pid = given, pid
        self._rows = (
            Path(given["paths"]["database"]),
            given["exclude_tables"],
            given["volatile_columns"],
            BUSY_TIMEOUT,
        )
        self._looks = RowLooks(*self._rows)
        self._error: Exception | None = None

    def begin(self) -> None:
        """The first look at the rows. What it meets is raised by `finish`: whatever comes in between has to be read all the same."""
        if self._given["compare"]:
            try:
                self._looks.first()
            except Exception as error:  # noqa: BLE001 - raised later
                self._error = error

    def finish(self, found: dict[str, Any]) -> None:
        """Put what is compared into `found`, and `tables` last. Raises MigrationError and OSError."""
        given = self._given
        found["ca"], found["program"] = ca_digest(given["ca_dir"]), program_digest(self._pid())
        if given["paths"].get("config_file"):
            found["config"] = look(Path(given["paths"]["config_file"]))
        if given["raft_dir"]:
            found["raft_dir_found"] = Path(given["raft_dir"]).is_dir()
        if self._error is not None:
            raise self._error
        if given["compare"]:
            found["tables"] = self._looks.others(given["looks"] - 1, given["pause"])
        else:
            found |= {"first_rows": first_rows(*self._rows), "tables": {}}


def ca_digest(folder: str | None) -> str | None:
    """Over the names and contents of its files; None where there are none."""
    if not folder or not Path(folder).is_dir():
        return None
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink())[:MAX_FILES]
    digest = hashlib.sha256()
    for path in files:
        digest.update(
            ascii((str(path.relative_to(folder)), hashlib.sha256(read_bytes(path, MAX_FILE)).hexdigest())).encode()
        )
    return digest.hexdigest() if files else None


def program_digest(pid: int) -> str | None:
    """Of the very file that runs, also where another one has its name by now; None where none runs."""
    try:
        return sha256_of(Path(f"/proc/{pid}/exe")) if pid else None
    except OSError:
        return None

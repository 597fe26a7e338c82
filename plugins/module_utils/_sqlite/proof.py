# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether databases hold a content that is known by its digest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .database import SqliteError, reading
from .digest import content_of

# Seconds for a database that is locked. Clients' writes are fenced off by now, so that the database is read as it is and
# not copied first: a write of the daemon's own may wait, and a copy would make the write pause longer.
BUSY_TIMEOUT = 5.0


def digest_of(path: Path, exclude: Iterable[str]) -> str:
    """The digest of what a database holds now, as sqlite_info gives it."""
    with reading(path, BUSY_TIMEOUT) as connection:
        return content_of(connection, exclude).digest


def prove(paths: Iterable[Path], digest: str, exclude: Iterable[str]) -> None:
    """Raise a SqliteError for the first of these databases that holds anything else."""
    exclude = list(exclude)
    for path in paths:
        seen = digest_of(path, exclude)
        if seen != digest:
            raise SqliteError(
                f"{path} holds {seen}, wanted {digest}. A write reached one side only",
                seen=seen,
                wanted=digest,
                next_step="find out whether another client writes to one of the databases, then carry the state over again",
            )

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a database holds at one moment, and how it differs from another one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .copies import isolated
from .database import check_integrity, pages, pragma
from .digest import compare, content_of, schema_digest
from .rows import SEQUENCE


def look_at(
    path: Path,
    exclude: Sequence[str],
    busy_timeout: float,
    integrity: bool = False,
    against: Path | None = None,
    volatile: Sequence[str] = (),
    unless_digest: str | None = None,
) -> dict[str, Any]:
    """The result of sqlite_info but for `elapsed`. Raises SqliteError, and OSError where a file cannot be read.

    Content of the digest `unless_digest` is not compared with `against`.
    """
    with isolated(path, busy_timeout) as (connection, waited):
        if integrity:
            check_integrity(connection, path)
        found: dict[str, Any] = {
            **content_of(connection, exclude).result(),
            **pages(connection),
            "journal_mode": pragma(connection, "journal_mode"),
            "writes_waited": round(waited, 3),
        }
        if against and (unless_digest is None or found["digest"] != unless_digest):
            found["comparison"] = difference(connection, against, exclude, busy_timeout, volatile)
    return found


def difference(
    connection: sqlite3.Connection,
    against: Path,
    exclude: Sequence[str],
    busy_timeout: float,
    volatile: Sequence[str] = (),
) -> dict[str, Any]:
    with isolated(against, busy_timeout) as (other, _waited):
        tables = compare(connection, other, exclude, volatile)
        schema = schema_digest(other, exclude)
    rows = {name: table["added"] + table["changed"] + table["removed"] for name, table in tables.items()}
    equal = not any(rows.values()) and all(table["same_columns"] for table in tables.values())
    # The counter of ids moves with every row added; no client wrote it.
    return {
        "equal": equal,
        "rows": sum(count for name, count in rows.items() if name != SEQUENCE),
        "tables": tables,
        "schema_digest": schema,
    }

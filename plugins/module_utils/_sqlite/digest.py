# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a SQLite database says, whatever its bytes: digests of rows and schema, and a row-by-row comparison.

Two good copies of equal data differ in bytes (free pages, change counters, the order pages were allocated in), so
equality is a matter of rows. Values count with their type: 1, 1.0 and '1' are three different things.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .database import pragma
from .difference import Sides, row_difference
from .rows import SEQUENCE, Table, batches, encoded, table_of


@dataclass(frozen=True)
class Content:
    """The logical content of a database at one moment."""

    digest: str
    schema_digest: str
    user_version: int
    tables: dict[str, dict[str, Any]]
    virtual_tables: list[str]

    def equals(self, other: Content) -> bool:
        return (self.digest, self.schema_digest, self.user_version) == (
            other.digest,
            other.schema_digest,
            other.user_version,
        )

    def rows(self) -> dict[str, int]:
        return {name: table["rows"] for name, table in self.tables.items()}

    def result(self) -> dict[str, Any]:
        return dict(vars(self))


def _sha256(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def _schema(connection: sqlite3.Connection, exclude: frozenset[str]) -> list[tuple[str, str, str, str]]:
    """What the application declared: (type, name, table, sql), without SQLite's own and without excluded tables."""
    rows = connection.execute(
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM main.sqlite_master ORDER BY type, name"
    )
    return [row for row in rows if not row[1].lower().startswith("sqlite_") and row[2].lower() not in exclude]


def _has_sequence(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = ?", (SEQUENCE,)).fetchone())


def _tables(connection: sqlite3.Connection, exclude: frozenset[str]) -> tuple[list[Table], list[str]]:
    """Tables that hold rows, and virtual ones: those keep their rows in shadow tables, which are ordinary tables."""
    names: list[str] = []
    virtual: list[str] = []
    for kind, name, _table_name, sql in _schema(connection, exclude):
        if kind == "table":
            (virtual if sql.upper().startswith("CREATE VIRTUAL TABLE") else names).append(name)
    if _has_sequence(connection):
        # The next AUTOINCREMENT id is data: without it a restored database hands out an id a second time.
        names.append(SEQUENCE)
    return [table_of(connection, name) for name in sorted(names)], sorted(virtual)


def _digest_table(connection: sqlite3.Connection, table: Table, exclude: frozenset[str]) -> dict[str, Any]:
    """Over the rows one after the other where their order is given by their values, else over the sum of their hashes.

    A sum does not depend on the order, and needs no sorting, for which SQLite would hold whole rows.
    """
    digest = hashlib.sha256(ascii((table.name, table.columns)).encode() + b"\n")
    rows = total = 0
    for batch in batches(connection, table, exclude):
        rows += len(batch)
        if table.order:
            digest.update(encoded(batch))
        else:
            for row in batch:
                total += int.from_bytes(hashlib.sha256(ascii(row).encode()).digest(), "big")
    if not table.order:
        digest.update(b"%d rows %x\n" % (rows, total))
    return {"rows": rows, "digest": digest.hexdigest()}


def excluded(names: Iterable[str]) -> frozenset[str]:
    """SQLite's table names do not depend on case."""
    return frozenset(name.lower() for name in names)


def content_of(connection: sqlite3.Connection, exclude: Iterable[str] = ()) -> Content:
    """Read everything. The caller holds a read transaction, or no other process has the file."""
    left_out = excluded(exclude)
    tables, virtual = _tables(connection, left_out)
    digests = {table.name: _digest_table(connection, table, left_out) for table in tables}
    return Content(
        digest=_sha256(ascii((name, table["digest"])) for name, table in digests.items()),
        schema_digest=schema_digest(connection, exclude),
        user_version=int(pragma(connection, "user_version")),
        tables=digests,
        virtual_tables=virtual,
    )


def schema_digest(connection: sqlite3.Connection, exclude: Iterable[str] = ()) -> str:
    return _sha256(ascii(row) for row in _schema(connection, excluded(exclude)))


def compare(
    here: sqlite3.Connection, there: sqlite3.Connection, exclude: Iterable[str] = (), volatile: Iterable[str] = ()
) -> dict[str, dict[str, Any]]:
    """Per table, what `here` has that `there` has not: rows added, changed (same key) and removed.

    `volatile` has columns that the daemon writes by itself, as `table.column`, which make no difference. As for `content_of`, the
    caller holds a read transaction in both, or no other process has the files.
    """
    left_out, own = excluded(exclude), excluded(volatile)
    ours = {table.name: table for table in _tables(here, left_out)[0]}
    theirs = {table.name: table for table in _tables(there, left_out)[0]}
    compared = {}
    for name in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(name), theirs.get(name)
        if mine and other and mine.columns == other.columns:
            kept = [number for number, column in enumerate(mine.columns) if f"{name}.{column}".lower() not in own]
            sides = Sides((here, mine), (there, other), left_out, kept)
            compared[name] = {**row_difference(sides), "same_columns": True}
        else:
            compared[name] = {
                "added": _count(here, mine, left_out),
                "changed": 0,
                "removed": _count(there, other, left_out),
                "same_columns": False,
            }
    return compared


def _count(connection: sqlite3.Connection, table: Table | None, exclude: frozenset[str]) -> int:
    return sum(len(batch) for batch in batches(connection, table, exclude)) if table else 0

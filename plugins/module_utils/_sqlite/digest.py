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
from pathlib import Path
from typing import Any

from .database import pragma, uri

BATCH = 2000
# SQLite's own table of the next AUTOINCREMENT ids.
SEQUENCE = "sqlite_sequence"


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


@dataclass(frozen=True)
class Table:
    """One table, its columns in declared order (generated ones carry no data of their own and are left out)."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    rowid_key: bool


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _sha256(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def _schema(connection: sqlite3.Connection, database: str, exclude: frozenset[str]) -> list[tuple[str, str, str, str]]:
    """What the application declared: (type, name, table, sql), without SQLite's own and without excluded tables."""
    rows = connection.execute(
        f"SELECT type, name, tbl_name, coalesce(sql, '') FROM {database}.sqlite_master ORDER BY type, name"
    )
    return [row for row in rows if not row[1].lower().startswith("sqlite_") and row[2].lower() not in exclude]


def _has_sequence(connection: sqlite3.Connection, database: str) -> bool:
    return bool(connection.execute(f"SELECT 1 FROM {database}.sqlite_master WHERE name = ?", (SEQUENCE,)).fetchone())


def _table(connection: sqlite3.Connection, database: str, name: str) -> Table:
    info = connection.execute(f"PRAGMA {database}.table_info({quoted(name)})").fetchall()
    key = tuple(row[1] for row in sorted((row for row in info if row[5]), key=lambda row: row[5]))
    if name == SEQUENCE:
        key = ("name",)
    integer = [row for row in info if row[5] and row[2].upper() == "INTEGER"]
    return Table(name, tuple(row[1] for row in info), key, len(key) == 1 and len(integer) == 1)


def _tables(connection: sqlite3.Connection, database: str, exclude: frozenset[str]) -> tuple[list[Table], list[str]]:
    """Tables that hold rows, and virtual ones: those keep their rows in shadow tables, which are ordinary tables."""
    names: list[str] = []
    virtual: list[str] = []
    for kind, name, _table_name, sql in _schema(connection, database, exclude):
        if kind == "table":
            (virtual if sql.upper().startswith("CREATE VIRTUAL TABLE") else names).append(name)
    if _has_sequence(connection, database):
        # The next AUTOINCREMENT id is data: without it a restored database hands out an id a second time.
        names.append(SEQUENCE)
    return [_table(connection, database, name) for name in sorted(names)], sorted(virtual)


def _where(table: Table, exclude: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    if table.name != SEQUENCE or not exclude:
        return "", ()
    return f" WHERE lower(name) NOT IN ({', '.join('?' * len(exclude))})", tuple(sorted(exclude))


def _order(table: Table) -> str:
    """An order that depends on nothing but the values: not on rowids VACUUM may renumber, nor on a collation."""
    terms = [quoted(table.key[0])] if table.rowid_key else []
    columns = table.key + tuple(column for column in table.columns if column not in table.key)
    terms += [f"{quoted(column)} COLLATE BINARY, typeof({quoted(column)})" for column in columns]
    return ", ".join(terms)


def _digest_table(connection: sqlite3.Connection, table: Table, exclude: frozenset[str]) -> dict[str, Any]:
    where, values = _where(table, exclude)
    columns = ", ".join(map(quoted, table.columns))
    digest = hashlib.sha256(ascii((table.name, table.columns)).encode() + b"\n")
    cursor = connection.execute(
        f"SELECT {columns} FROM main.{quoted(table.name)}{where} ORDER BY {_order(table)}", values
    )
    rows = 0
    while batch := cursor.fetchmany(BATCH):
        rows += len(batch)
        # ascii() of a tuple of int, float, str, bytes and None is unambiguous, round-trips floats, and, unlike repr(),
        # does not depend on the Unicode tables of this Python: Pis with different ones must agree.
        digest.update("\n".join(map(ascii, batch)).encode() + b"\n")
    return {"rows": rows, "digest": digest.hexdigest()}


def excluded(names: Iterable[str]) -> frozenset[str]:
    """SQLite's table names do not depend on case."""
    return frozenset(name.lower() for name in names)


def content_of(connection: sqlite3.Connection, exclude: Iterable[str] = ()) -> Content:
    """Read everything. The caller holds a read transaction, or the file is nobody else's."""
    left_out = excluded(exclude)
    tables, virtual = _tables(connection, "main", left_out)
    digests = {table.name: _digest_table(connection, table, left_out) for table in tables}
    return Content(
        digest=_sha256(ascii((name, table["digest"])) for name, table in digests.items()),
        schema_digest=_sha256(ascii(row) for row in _schema(connection, "main", left_out)),
        user_version=int(pragma(connection, "user_version")),
        tables=digests,
        virtual_tables=virtual,
    )


def attach(connection: sqlite3.Connection, path: Path) -> None:
    """Before the transaction begins: SQLite attaches nothing within one."""
    connection.execute("ATTACH ? AS other", (uri(path, "mode=ro"),))


def compare(connection: sqlite3.Connection, exclude: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Per table, what `main` has that the attached `other` has not: rows added, changed (same key) and removed."""
    left_out = excluded(exclude)
    ours = {table.name: table for table in _tables(connection, "main", left_out)[0]}
    theirs = {table.name: table for table in _tables(connection, "other", left_out)[0]}
    compared = {}
    for name in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(name), theirs.get(name)
        if here and there and here.columns == there.columns:
            compared[name] = {**_compare_rows(connection, here, left_out), "same_columns": True}
        else:
            compared[name] = {
                "added": _count(connection, "main", here, left_out),
                "changed": 0,
                "removed": _count(connection, "other", there, left_out),
                "same_columns": False,
            }
    return compared


def _count(connection: sqlite3.Connection, database: str, table: Table | None, exclude: frozenset[str]) -> int:
    if table is None:
        return 0
    where, values = _where(table, exclude)
    return int(connection.execute(f"SELECT count(*) FROM {database}.{quoted(table.name)}{where}", values).fetchone()[0])


def _compare_rows(connection: sqlite3.Connection, table: Table, exclude: frozenset[str]) -> dict[str, int]:
    """Rows of one side weigh +1, of the other -1; what does not cancel out is the difference, duplicates included."""
    where, values = _where(table, exclude)
    names = [f"c{number}" for number in range(len(table.columns))]
    columns = ", ".join(f"{quoted(column)} COLLATE BINARY AS {name}" for column, name in zip(table.columns, names))
    same = ", ".join(f"{name} COLLATE BINARY, typeof({name})" for name in names)
    keys = [names[table.columns.index(column)] for column in table.key]
    # From 3.35 on SQLite can be told to work the difference out once only.
    once = "MATERIALIZED " if sqlite3.sqlite_version_info >= (3, 35) else ""
    difference = (
        f"WITH difference AS {once}(SELECT {', '.join(names)}, sum(weight) AS weight FROM ("
        f"SELECT {columns}, 1 AS weight FROM main.{quoted(table.name)}{where}"
        f" UNION ALL SELECT {columns}, -1 FROM other.{quoted(table.name)}{where}"
        f") GROUP BY {same} HAVING sum(weight) <> 0) "
    )
    totals = ", ".join(f"(SELECT coalesce(sum(max({sign}weight, 0)), 0) FROM difference)" for sign in ("", "-"))
    changed = "0"
    if keys:
        by_key = ", ".join(f"{name} COLLATE BINARY" for name in keys)
        changed = (
            f"(SELECT count(*) FROM (SELECT 1 FROM difference GROUP BY {by_key}"
            " HAVING max(weight) > 0 AND min(weight) < 0))"
        )
    here, there, both = connection.execute(f"{difference}SELECT {totals}, {changed}", values * 2).fetchone()
    return {"added": here - both, "changed": both, "removed": there - both}

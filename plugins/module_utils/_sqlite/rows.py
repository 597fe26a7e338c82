# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of one table, read so that memory depends on neither the size of a row nor the size of the database.

A row is a tuple as SQLite stores it: None, int, float, bytes for a blob, bytearray for text (its bytes, whether they are
UTF-8 or not). A value above the table's limit is represented by a str, its kind, its length and its SHA-256; it is never
in memory as a whole where SQLite can read it in parts (`streams`).
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .database import SqliteError, pragma

# SQLite's own table of the next AUTOINCREMENT ids.
SEQUENCE = "sqlite_sequence"
# Bytes. What a batch of rows may take before it is written out for the digest, which takes some ten times as much.
_BATCH = 1 << 20
_ROW, _VALUE = 1 << 18, 1 << 14
_CHUNK = 1 << 20
# The number that SQLite has for its limit of the length of a value (Python names it from 3.11 on).
_LIMIT_LENGTH = 0
_FIRST_ROWID, _LAST_ROWID = -(1 << 63), (1 << 63) - 1

Row = tuple[Any, ...]


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


@dataclass(frozen=True)
class Table:
    """One table, its columns in declared order (generated ones carry no data of their own and are left out)."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    # An order by unique values that SQLite reads without sorting; empty where there is none.
    order: str
    # The name under which this table has a rowid; None where it has none.
    rowid: str | None

    @property
    def limit(self) -> int:
        """Bytes; longer values are represented by their SHA-256. A matter of the table alone, so that all Pis agree."""
        return max(256, min(_VALUE, _ROW // len(self.columns)))


def table_of(connection: sqlite3.Connection, name: str) -> Table:
    _check_utf8(name, name)
    info = connection.execute(f"PRAGMA main.table_info({quoted(name)})").fetchall()
    columns = tuple(row[1] for row in info)
    for column in columns:
        _check_utf8(name, column)
    key = tuple(row[1] for row in sorted((row for row in info if row[5]), key=lambda row: row[5]))
    if name == SEQUENCE:
        key = ("name",)
    of_key = [row for row in connection.execute(f"PRAGMA main.index_list({quoted(name)})") if row[3] == "pk"]
    terms = connection.execute(f"PRAGMA main.index_xinfo({quoted(of_key[0][1])})").fetchall() if of_key else []
    # In an index of an ordinary table the last term is the rowid.
    without_rowid = bool(terms) and all(term[1] != -1 for term in terms)
    rowid = None
    if not without_rowid:
        taken = {column.lower() for column in columns}
        rowid = next((alias for alias in ("rowid", "_rowid_", "oid") if alias not in taken), None)
    order = ""
    if without_rowid and all(term[4] == "BINARY" for term in terms if term[5]):
        order = ", ".join(map(quoted, key))
    elif len(key) == 1 and not of_key and name != SEQUENCE:
        # A primary key without an index of its own is the rowid.
        order = quoted(key[0])
    return Table(name, columns, key, order, rowid)


def _check_utf8(table: str, identifier: str) -> None:
    """Python passes SQL to SQLite as UTF-8 only."""
    try:
        identifier.encode()
    except UnicodeEncodeError:
        shown, of = (
            name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for name in (identifier, table)
        )
        raise SqliteError(
            f"table {of}: the name {shown} is not UTF-8, so its rows cannot be read",
            seen=shown,
            wanted="names that are UTF-8",
            next_step="rename it with the tool that made it",
        ) from None


def where(table: Table, exclude: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """The counters of excluded tables are left out with them."""
    if table.name != SEQUENCE or not exclude:
        return "", ()
    return f"lower(name) NOT IN ({', '.join('?' * len(exclude))})", tuple(sorted(exclude))


def streams(connection: sqlite3.Connection, table: Table) -> bool:
    """Whether large values can be read in parts.

    That needs Python 3.11, a rowid, and text that is stored as UTF-8. Elsewhere the largest row is in memory twice.
    """
    return hasattr(connection, "blobopen") and table.rowid is not None and pragma(connection, "encoding") == "UTF-8"


def batches(connection: sqlite3.Connection, table: Table, exclude: frozenset[str]) -> Iterator[list[Row]]:
    """All rows, a few at a time; by `Table.order` where there is one, else as they come."""
    condition, values = where(table, exclude)
    size = max(1, _BATCH // (table.limit * len(table.columns)))
    in_parts, before = streams(connection, table), connection.text_factory
    # As fast as bytes, and distinct from a blob.
    connection.text_factory = bytearray
    try:
        if in_parts:
            yield from _in_parts(connection, table, condition, values, size)
        else:
            yield from _whole(connection, table, condition, values, size)
    finally:
        connection.text_factory = before


def _select(table: Table, condition: str) -> str:
    columns = ", ".join(map(quoted, table.columns))
    return f"SELECT {columns} FROM main.{quoted(table.name)}" + (f" WHERE {condition}" if condition else "")


def _in_parts(
    connection: sqlite3.Connection, table: Table, condition: str, values: tuple[str, ...], size: int
) -> Iterator[list[Row]]:
    """SQLite refuses to load a value above the limit, so reading stops before such a row, and goes on behind it."""
    rowid, name = table.rowid, f"main.{quoted(table.name)}"
    tail = (f" AND {condition}" if condition else "") + f" ORDER BY {rowid}"
    start: int | None = _FIRST_ROWID
    while start is not None:
        read = 0
        with _length_limit(connection, table.limit):
            found = _selected(connection, f"{_select(table, '')} WHERE {rowid} >= ?{tail}", (start, *values))
            stopped = False
            while not stopped:
                batch: list[Row] = []
                try:
                    batch.extend(islice(found, size))
                except sqlite3.DataError:
                    stopped = True
                read += len(batch)
                if batch:
                    yield batch
                if not stopped and len(batch) < size:
                    return
        behind = f"SELECT {rowid} FROM {name} WHERE {rowid} >= ?{tail} LIMIT 1 OFFSET ?"
        (large,) = connection.execute(behind, (start, *values, read)).fetchone()
        yield [_large_row(connection, table, large)]
        start = large + 1 if large < _LAST_ROWID else None


def _selected(connection: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> Iterator[Row]:
    """Executed when the first row is asked for: SQLite reads it, or refuses to, at once."""
    yield from connection.execute(sql, values)


@contextlib.contextmanager
def _length_limit(connection: sqlite3.Connection, limit: int) -> Iterator[None]:
    before = connection.setlimit(_LIMIT_LENGTH, limit)  # type: ignore[attr-defined, unused-ignore]
    try:
        yield
    finally:
        connection.setlimit(_LIMIT_LENGTH, before)  # type: ignore[attr-defined, unused-ignore]


def _large_row(connection: sqlite3.Connection, table: Table, rowid: int) -> Row:
    def select(expressions: str) -> Row:
        found: Row = connection.execute(
            f"SELECT {expressions} FROM main.{quoted(table.name)} WHERE {table.rowid} = ?", (rowid,)
        ).fetchone()
        return found

    # Two statements: SQLite has as many results in one as columns in a table.
    kinds = [
        bytes(kind).decode() for kind in select(", ".join(f"typeof({quoted(column)})" for column in table.columns))
    ]
    small = "CASE WHEN typeof({0}) NOT IN ('text', 'blob') THEN {0} END"
    row = list(select(", ".join(small.format(quoted(column)) for column in table.columns)))
    for number, kind in enumerate(kinds):
        if kind in ("text", "blob"):
            row[number] = _value_in_parts(connection, table, table.columns[number], rowid, kind)
    return tuple(row)


def _value_in_parts(connection: sqlite3.Connection, table: Table, column: str, rowid: int, kind: str) -> Any:
    with connection.blobopen(table.name, column, rowid, readonly=True) as value:  # type: ignore[attr-defined, unused-ignore]
        length = len(value)
        if length <= table.limit:
            content = value.read()
            return bytearray(content) if kind == "text" else content
        digest = hashlib.sha256()
        while part := value.read(_CHUNK):
            digest.update(part)
    return _represented(kind, length, digest.hexdigest())


def _whole(
    connection: sqlite3.Connection, table: Table, condition: str, values: tuple[str, ...], size: int
) -> Iterator[list[Row]]:
    order = f" ORDER BY {table.order}" if table.order else ""
    batch: list[Row] = []
    for row in connection.execute(_select(table, condition) + order, values):
        batch.append(_without_large_values(row, table.limit))
        # Not kept until the next one is read.
        del row
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _without_large_values(row: Row, limit: int) -> Row:
    if not any(len(value) > limit for value in row if value.__class__ in (bytearray, bytes)):
        return row
    return tuple(
        _represented("text" if isinstance(value, bytearray) else "blob", len(value), hashlib.sha256(value).hexdigest())
        if isinstance(value, (bytearray, bytes)) and len(value) > limit
        else value
        for value in row
    )


def _represented(kind: str, length: int, digest: str) -> str:
    return f"{kind} of {length} bytes, SHA-256 {digest}"


def encoded(rows: list[Row]) -> bytes:
    """These rows, one a line.

    ascii() of a tuple of int, float, str, bytes, bytearray and None is unambiguous, round-trips floats, and, unlike repr(),
    does not depend on the Unicode tables of this Python: Pis with different ones must agree.
    """
    return "\n".join(map(ascii, rows)).encode() + b"\n"

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a database needs that SQLite on this host does not have, found by declaring the same schema in an empty one.

A daemon brings its own SQLite, which can be newer, and can register collations, functions and modules in it. The SQLite of
this host's Python then fails at the first statement that meets one, in the middle of a phase.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

from .database import opened

_DECLARATION = re.compile(r"\s*CREATE\s", re.IGNORECASE)
_VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\s", re.IGNORECASE)
# What SQLite says of something it does not know, and how that is put to the owner.
_KINDS = (
    (re.compile(r"no such collation sequence: (.+)"), "the collation {0}, which its application registers"),
    (re.compile(r"no such function: (.+)"), "the function {0}, which its application registers"),
    (re.compile(r"unknown function: (.+?)(?:\(\))?$"), "the function {0}, which its application registers"),
    (re.compile(r"no such module: (.+)"), "the module {0} for virtual tables"),
    (re.compile(r"too many columns on (.+)"), "more columns than this SQLite allows"),
    (re.compile(r"(near .+: syntax error|unknown table option: .+|unrecognized token: .+)"), "newer syntax ({0})"),
)
_TABLES_FIRST = "CASE type WHEN 'table' THEN 0 WHEN 'view' THEN 1 ELSE 2 END"


def needs(path: Path, busy_timeout: float) -> list[dict[str, str]]:
    """What is missing here, one entry for a table: `table` and `need`, in words.

    Reads the schema only, and in one short transaction.
    """
    with opened(path, "mode=ro", busy_timeout) as connection:
        # A schema that cannot be parsed is readable as text this way, and nothing is written.
        connection.execute("PRAGMA writable_schema=ON")
        connection.text_factory = bytes
        declared = connection.execute(
            f"SELECT tbl_name, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY {_TABLES_FIRST}, name"
        ).fetchall()
        encoding = connection.execute("PRAGMA encoding").fetchone()[0].decode()
    found: list[dict[str, str]] = []
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        # The text is that of a daemon, or of any process that writes the file: it declares, and reaches no other file.
        empty.set_authorizer(_declares_only)
        # Nor does it keep this busy: steps of SQLite's virtual machine, after which a statement is interrupted.
        empty.set_progress_handler(lambda: 1, 1_000_000)
        empty.execute(f'PRAGMA encoding="{encoding}"')
        for table, name, sql in declared:
            need = _need(empty, bytes(name), bytes(sql))
            shown = bytes(table).decode("utf-8", "backslashreplace")
            entry = {"table": shown, "need": need or ""}
            if need and entry not in found:
                found.append(entry)
    return found


def _declares_only(action: int, *_arguments: Any) -> int:
    return sqlite3.SQLITE_DENY if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH) else sqlite3.SQLITE_OK


def _need(empty: sqlite3.Connection, name: bytes, sql: bytes) -> str | None:
    if name.lower().startswith(b"sqlite_"):
        return None
    try:
        statement = sql.decode()
    except UnicodeDecodeError:
        return f"names that are UTF-8 ({ascii(name)[1:]} is declared with other bytes)"
    if not _DECLARATION.match(statement):
        return f"a declaration that is CREATE, not {statement[:40]!r}"
    try:
        empty.execute(statement)
    except sqlite3.Error as error:
        return _in_words(str(error), virtual=bool(_VIRTUAL.match(statement)))
    return None


def _in_words(error: str, *, virtual: bool) -> str | None:
    for pattern, words in _KINDS:
        match = pattern.search(error)
        if match:
            return words.format(match[1])
    # Tables that a virtual table brings along exist by the time it is their turn, and an index or a trigger of a table
    # that could not be declared adds nothing to what was reported of that table.
    if "already exists" in error or "no such table" in error or "reserved for internal use" in error:
        return None
    return (
        f"something this SQLite refuses ({error})" if not virtual else f"a virtual table this SQLite refuses ({error})"
    )


def in_words(missing: list[dict[str, str]]) -> str:
    return "; ".join(f"table {entry['table']} needs {entry['need']}" for entry in missing)

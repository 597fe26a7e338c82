# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether databases of several hosts hold the same rows while clients write to them.

Two replicas are never equal at one moment: one of them lags. So each is read twice. What a database has both times, and another one
has neither time, was not replicated: of a replica that lags by less than the pause in between, that cannot be true.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import itertools
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .copies import isolated
from .database import reading
from .digest import excluded
from .rows import SEQUENCE, batches, table_of

# Of a larger table only the rows with the smallest hashes are compared, on every host the same ones.
KEEP = 20_000
# Rows of each table for a first impression.
FIRST = 20
_SHORT = 16

Hashes = dict[str, set[str]]


class RowLooks:
    """The rows of a database, looked at several times, by the caller who may have other work in between.

    `volatile` has columns that the daemon writes by itself, as `table.column`. Both looks raise SqliteError, and OSError.
    """

    def __init__(self, path: Path, exclude: Iterable[str], volatile: Iterable[str], busy_timeout: float) -> None:
        self._path, self._busy_timeout = path, busy_timeout
        self._left_out, self._columns = excluded(exclude), frozenset(name.lower() for name in volatile)
        self._any: Hashes = {}
        self._every: Hashes = {}
        self._ended = 0.0

    def first(self) -> None:
        self._any = self._look()
        self._every = {name: set(rows) for name, rows in self._any.items()}
        self._ended = time.monotonic()

    def others(self, count: int, pause: float) -> dict[str, Any]:
        """By table `rows` (hashes of all that were seen), `unsteady` (those that some look did not see) and `up_to` (the largest one,
        None for all), after `count` more looks. Each begins once `pause` seconds have passed since the one before.
        """
        for _number in range(count):
            time.sleep(max(0.0, self._ended + pause - time.monotonic()))
            self._add(self._look())
            self._ended = time.monotonic()
        return {name: _compared(rows, self._every[name]) for name, rows in sorted(self._any.items())}

    def _add(self, seen: Hashes) -> None:
        for name in self._any.keys() | seen.keys():
            rows = seen.get(name, set())
            self._any[name] = self._any.get(name, set()) | rows
            self._every[name] = self._every.get(name, set()) & rows

    def _look(self) -> Hashes:
        with isolated(self._path, self._busy_timeout) as (connection, _waited):
            return _hashes_of(connection, self._left_out, self._columns, None)


def first_rows(
    path: Path, exclude: Iterable[str], volatile: Iterable[str], busy_timeout: float
) -> dict[str, list[str]]:
    """By table, the hashes of its first rows: enough to tell a replica that lags from data of its own, at the cost of a moment.

    Raises SqliteError, and OSError.
    """
    left_out, columns = excluded(exclude), frozenset(name.lower() for name in volatile)
    with reading(path, busy_timeout) as connection:
        return {name: sorted(rows) for name, rows in _hashes_of(connection, left_out, columns, FIRST).items()}


def _hashes_of(
    connection: sqlite3.Connection, exclude: frozenset[str], volatile: frozenset[str], limit: int | None
) -> Hashes:
    names = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        )
        if row[0].lower() not in exclude and row[0] != SEQUENCE and not row[0].lower().startswith("sqlite_")
    ]
    found: Hashes = {}
    for name in names:
        table = table_of(connection, name)
        kept = [number for number, column in enumerate(table.columns) if f"{name}.{column}".lower() not in volatile]
        rows = (row for batch in batches(connection, table, exclude) for row in batch)
        with contextlib.closing(rows):
            found[name] = _smallest(
                hashlib.sha256(ascii([row[number] for number in kept]).encode()).hexdigest()[:_SHORT]
                for row in itertools.islice(rows, limit)
            )
    return found


def _smallest(hashes: Iterable[str]) -> set[str]:
    """Those that may be compared, and one more, so that `_compared` sees that there are more: all of a large table would fill a Pi's memory."""
    kept: set[str] = set()
    largest: str | None = None
    for value in hashes:
        if largest is not None and value > largest:
            continue
        kept.add(value)
        if len(kept) > 2 * KEEP:
            kept = set(heapq.nsmallest(KEEP + 1, kept))
            largest = max(kept)
    return set(heapq.nsmallest(KEEP + 1, kept))


def _compared(any_look: set[str], every_look: set[str]) -> dict[str, Any]:
    rows = sorted(any_look)
    up_to = None
    if len(rows) > KEEP:
        rows, up_to = rows[:KEEP], rows[KEEP - 1]
    return {"rows": "".join(rows), "unsteady": "".join(sorted(set(rows) - every_look)), "up_to": up_to}


def hashes_in(text: str) -> set[str]:
    """The hashes of a table, which are one text: as a list Ansible would mark and copy each of them, for minutes in all."""
    return {text[start : start + _SHORT] for start in range(0, len(text), _SHORT)}


def only_in(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, int]:
    """By table, how many rows `one` has steadily and `other` does not have."""
    found = {}
    for name, table in one.items():
        there = other.get(name) or {"rows": "", "up_to": None}
        limits = [limit for limit in (table["up_to"], there["up_to"]) if limit is not None]
        missing = hashes_in(table["rows"]) - hashes_in(table["unsteady"]) - hashes_in(there["rows"])
        count = sum(1 for row in missing if not limits or row <= min(limits))
        if count:
            found[name] = count
    return found


def differ(databases: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of these has a row steadily that another one does not have.

    Where clients write meanwhile, a `True` is a suspicion, unless a look at each falls between two looks at every other one.
    """
    return any(only_in(here, there) for here, there in itertools.permutations(databases, 2))

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""By how many rows one table differs in two databases. Writes no file, and takes memory that does not depend on the table.

A Pi has neither memory nor room on its card for the hashes of all rows. So the rows are first only added up, by their hashes, in
buckets. Rows are looked at one by one only in buckets whose sums differ, and as many buckets at a time as fit into memory: where few
rows differ, which is the common case, the tables are read twice, and where none differs, once.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .rows import Row, Table, batches

BUCKETS = 1 << 16
# Bytes for the rows that are looked at in one turn, and what SQLite takes for one of them.
MEMORY = 16 << 20
ROW_BYTES = 32
ROWS = MEMORY // ROW_BYTES
# A number as SQLite stores it.
_NUMBER = struct.Struct(">q")
_INSERT = "INSERT INTO side VALUES (?, ?, ?) ON CONFLICT (key, row) DO UPDATE SET weight = weight + excluded.weight"
# What does not cancel out is the difference, duplicates included. In the order of the primary key: nothing is sorted.
_COUNT = """
SELECT coalesce(sum(here), 0), coalesce(sum(there), 0), coalesce(sum(here AND there), 0) FROM (
    SELECT sum(max(weight, 0)) AS here, sum(max(-weight, 0)) AS there FROM side WHERE weight <> 0 GROUP BY key
)
"""


class _Hashed(NamedTuple):
    bucket: int
    # SHA-256 of its values.
    row: bytes
    # The values of its key as text; empty where the table has none.
    key: bytes
    # 1 in the first database, -1 in the second.
    weight: int


class Sides:
    """One table in both databases. Only the values of the columns `kept` count.

    Each database is inside a read transaction, or no process writes to it: it is read more than once.
    """

    def __init__(
        self,
        here: tuple[sqlite3.Connection, Table],
        there: tuple[sqlite3.Connection, Table],
        exclude: frozenset[str],
        kept: Sequence[int],
    ) -> None:
        self._sides = ((*here, 1), (*there, -1))
        self._exclude, self._kept = exclude, kept
        columns = here[1].columns
        # Rows that are equal have one key. One that the daemon changes by itself is left out of both.
        self._key = [number for number in map(columns.index, here[1].key) if number in kept]

    def rows(self) -> Iterator[_Hashed]:
        for connection, table, weight in self._sides:
            for batch in batches(connection, table, self._exclude):
                for values in batch:
                    row = hashlib.sha256(_text(values, self._kept)).digest()
                    key = _text(values, self._key) if self._key else b""
                    # Rows of one key are in one bucket, so that a change is seen in one turn.
                    yield _Hashed(zlib.crc32(key or row) % BUCKETS, row, key, weight)

    def turns(self) -> tuple[int, list[int]]:
        """How many turns it takes, and by bucket the turn in which its rows are looked at; 0 where they are equal."""
        sums, counts = [0] * BUCKETS, Counter[int]()
        for bucket, row, _key, weight in self.rows():
            sums[bucket] += weight * int.from_bytes(row, "big")
            counts[bucket] += 1
        turns, turn, left = [0] * BUCKETS, 0, 0
        for bucket in (bucket for bucket, total in enumerate(sums) if total):
            if not turn or counts[bucket] > left:
                turn, left = turn + 1, ROWS
            turns[bucket] = turn
            left -= counts[bucket]
        return turn, turns

    def differing(self, turn: int, turns: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        """(key, row, weight) of the rows of this turn, the first two as numbers."""
        for bucket, row, key, weight in self.rows():
            if turns[bucket] == turn:
                # Without a key each row is its own: 16 bytes of its hash are more than enough to tell it from the others.
                own = hashlib.sha256(key).digest() if key else row[8:]
                yield *_NUMBER.unpack_from(own), *_NUMBER.unpack_from(row), weight


def _text(values: Row, numbers: Sequence[int]) -> bytes:
    return ascii(tuple([values[number] for number in numbers])).encode()


def row_difference(sides: Sides) -> dict[str, int]:
    """How many rows are `added` (only in the first database), `changed` (the same key, other values) and `removed`."""
    count, turns = sides.turns()
    added = changed = removed = 0
    for turn in range(1, count + 1):
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as hashes:
            hashes.execute(
                "CREATE TABLE side (key INTEGER, row INTEGER, weight INTEGER, PRIMARY KEY (key, row)) WITHOUT ROWID"
            )
            hashes.execute("BEGIN")
            hashes.executemany(_INSERT, sides.differing(turn, turns))
            here, there, both = hashes.execute(_COUNT).fetchone()
        added, changed, removed = added + here - both, changed + both, removed + there - both
    return {"added": added, "changed": changed, "removed": removed}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a comparison of large tables takes of a Pi: no room on its card, and little memory."""

from __future__ import annotations

import contextlib
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import import_plugin
from databases import make, session

difference = import_plugin("module_utils._sqlite.difference")
digests = import_plugin("module_utils._sqlite.digest")

ROWS = 20_000
EQUAL = {"added": 0, "changed": 0, "removed": 0, "same_columns": True}


@contextlib.contextmanager
def without_writing() -> Iterator[None]:
    """Every write to a file fails, also to one that has no name; Python ignores the signal that comes with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module", params=["(id INTEGER PRIMARY KEY, v)", "(id TEXT PRIMARY KEY, v)", "(id, v)"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two equal databases of many short rows."""
    folder = tmp_path_factory.mktemp("pair")
    one, two = make(folder / "one.db", wal=False), folder / "two.db"
    with session(one) as connection:
        connection.execute(f"CREATE TABLE large {request.param}")
        connection.executemany("INSERT INTO large VALUES (?, ?)", ((number, f"v{number}") for number in range(ROWS)))
    shutil.copyfile(one, two)
    return one, two


def compared(pair: tuple[Path, Path], *statements: str) -> dict[str, object]:
    """The large table after these statements in the first database, which are rolled back."""
    with contextlib.ExitStack() as stack:
        here, there = (stack.enter_context(session(path)) for path in pair)
        here.execute("BEGIN")
        for statement in statements:
            here.execute(statement)
        with without_writing():
            found = digests.compare(here, there)["large"]
        here.rollback()
    return found


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, int, int]]]:
    """The rows that are looked at one by one, in each turn."""
    seen: list[list[tuple[int, int, int]]] = []
    differing = difference.Sides.differing

    def recorded(sides, *arguments):
        rows = list(differing(sides, *arguments))
        seen.append(rows)
        return iter(rows)

    monkeypatch.setattr(difference.Sides, "differing", recorded)
    return seen


def test_p10_equal_tables_are_read_once_and_nothing_is_written(pair, turns):
    assert compared(pair) == EQUAL
    assert turns == []


@pytest.mark.parametrize(
    ("statement", "keyed", "unkeyed"),
    [
        ("UPDATE large SET v = 'x' WHERE id = 7", (0, 1, 0), (1, 0, 1)),
        ("DELETE FROM large WHERE id = 7", (0, 0, 1), (0, 0, 1)),
        ("INSERT INTO large VALUES (-1, 'x')", (1, 0, 0), (1, 0, 0)),
    ],
)
def test_p10_of_one_row_that_differs_few_others_are_looked_at(pair, turns, statement, keyed, unkeyed):
    found = compared(pair, statement)
    wanted = keyed if has_key(pair[0]) else unkeyed
    assert found == dict(zip(EQUAL, (*wanted, True), strict=True))
    (rows,) = turns
    assert len(rows) <= 40, "a bucket holds one or two rows of either side"


def has_key(path: Path) -> bool:
    with session(path) as connection:
        return any(row[5] for row in connection.execute("PRAGMA table_info(large)"))


def test_p10_rows_that_all_differ_are_looked_at_in_turns(pair, turns, monkeypatch):
    monkeypatch.setattr(difference, "ROWS", ROWS // 2)
    found = compared(
        pair,
        "UPDATE large SET v = v || 'x' WHERE CAST(id AS INT) < 19990",
        "DELETE FROM large WHERE CAST(id AS INT) >= 19995",
    )
    changed = {"added": 0, "changed": 19_990, "removed": 5}
    assert found == {
        **(changed if has_key(pair[0]) else {"added": 19_990, "changed": 0, "removed": 19_995}),
        "same_columns": True,
    }
    assert len(turns) >= 4
    assert max(map(len, turns)) <= ROWS // 2


def test_a_row_that_is_looked_at_takes_no_more_memory_than_counted(monkeypatch, pair):
    """Or the rows of one turn take more than they may."""
    sizes: list[float] = []
    connect = difference.sqlite3.connect

    class Measured(difference.sqlite3.Connection):
        def executemany(self, *arguments):
            done = super().executemany(*arguments)
            pages, size, rows = (self.execute(sql).fetchone()[0] for sql in MEASURES)
            sizes.append(pages * size / rows)
            return done

    monkeypatch.setattr(
        difference.sqlite3, "connect", lambda *given, **named: connect(*given, factory=Measured, **named)
    )
    with contextlib.ExitStack() as stack:
        here, there = (stack.enter_context(session(path)) for path in pair)
        here.execute("BEGIN")
        here.execute("UPDATE large SET v = 'x'")
        digests.compare(here, there)
        here.rollback()
    assert sizes
    assert max(sizes) <= difference.ROW_BYTES


MEASURES = ("PRAGMA page_count", "PRAGMA page_size", "SELECT count(*) FROM side")


def test_a_key_that_the_daemon_changes_makes_no_difference(tmp_path):
    one, two = (make(tmp_path / f"{number}.db") for number in (1, 2))
    for path, key in ((one, 1), (two, 2)):
        with session(path) as connection:
            connection.execute("CREATE TABLE t (k PRIMARY KEY, v)")
            connection.execute("INSERT INTO t VALUES (?, 'x')", (key,))
    with session(one) as here, session(two) as there:
        assert digests.compare(here, there, volatile=["t.K"])["t"] == EQUAL

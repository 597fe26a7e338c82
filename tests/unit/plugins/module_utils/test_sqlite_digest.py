# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes two databases equal, and what does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import import_plugin
from databases import session

digests = import_plugin("module_utils._sqlite.digest")


@pytest.fixture
def database(tmp_path: Path) -> Callable[..., Path]:
    made = 0

    def make(*statements: str) -> Path:
        nonlocal made
        made += 1
        path = tmp_path / f"{made}.db"
        with session(path) as connection:
            for statement in statements:
                connection.execute(statement)
        return path

    return make


def content(path: Path, *exclude: str):
    with session(path) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        return digests.content_of(connection, exclude)


def compared(here: Path, there: Path, *exclude: str):
    with session(here) as ours, session(there) as theirs:
        return digests.compare(ours, theirs, exclude)


TABLE = "CREATE TABLE t (a, b)"


def test_the_order_rows_came_in_does_not_matter(database):
    one = database(TABLE, "INSERT INTO t VALUES (1, 'x'), (2, 'y'), (NULL, NULL)")
    two = database(TABLE, "INSERT INTO t VALUES (NULL, NULL), (2, 'y'), (1, 'x')")

    assert one.read_bytes() != two.read_bytes()
    assert content(one).equals(content(two))


def test_the_order_tables_were_made_in_does_not_matter(database):
    one = database("CREATE TABLE a (x)", "CREATE TABLE b (x)", "INSERT INTO a VALUES (1)")
    two = database("CREATE TABLE b (x)", "CREATE TABLE a (x)", "INSERT INTO a VALUES (1)")

    assert content(one).equals(content(two))


def test_free_pages_do_not_matter(database):
    one = database(TABLE, "INSERT INTO t VALUES (1, 2)")
    two = database(TABLE, "INSERT INTO t VALUES (1, zeroblob(50000))", "UPDATE t SET b = 2")

    assert one.stat().st_size != two.stat().st_size
    assert content(one).equals(content(two))


@pytest.mark.parametrize(
    ("this", "that"),
    [
        ("(1, 2)", "(2, 1)"),
        ("(1, 2)", "(1, '2')"),
        ("(1, 2)", "(1, 2.0)"),
        ("('a', 1)", "(x'61', 1)"),
        ("(NULL, 1)", "('', 1)"),
        ("('a', 'b'',''c')", "('a'',''b', 'c')"),
        ("('a', 'b')", "('a', 'B')"),
        ("(1, 2), (1, 2)", "(1, 2)"),
        ("(9007199254740993, 1)", "(9007199254740992.0, 1)"),
        ("(0.1, 1)", "(0.10000000000000002, 1)"),
        ("(CAST(x'ff' AS TEXT), 1)", "(CAST(x'fe' AS TEXT), 1)"),
        ("(CAST(x'ff' AS TEXT), 1)", "('\u00ff', 1)"),
        ("('\u00e9', 1)", "('e\u0301', 1)"),
    ],
)
def test_other_values_are_other_content(database, this, that):
    one, two = (database(TABLE, f"INSERT INTO t VALUES {values}") for values in (this, that))

    assert content(one).digest != content(two).digest
    assert content(one).digest == content(one).digest
    assert content(one).schema_digest == content(two).schema_digest
    difference = compared(one, two)["t"]
    assert difference["added"] + difference["removed"] > 0


def test_a_column_of_another_name_is_other_content(database):
    one = database(TABLE, "INSERT INTO t VALUES (1, 2)")
    two = database("CREATE TABLE t (a, c)", "INSERT INTO t VALUES (1, 2)")

    assert content(one).digest != content(two).digest
    assert compared(one, two)["t"] == {"added": 1, "changed": 0, "removed": 1, "same_columns": False}


def test_a_row_moved_to_another_table_is_other_content(database):
    tables = ("CREATE TABLE a (x)", "CREATE TABLE b (x)")
    one = database(*tables, "INSERT INTO a VALUES (1)")
    two = database(*tables, "INSERT INTO b VALUES (1)")

    assert content(one).digest != content(two).digest


def test_an_empty_table_counts(database):
    one, two = database(TABLE), database(TABLE, "CREATE TABLE u (a)")

    assert content(one).digest != content(two).digest
    assert compared(two, one)["u"] == {"added": 0, "changed": 0, "removed": 0, "same_columns": False}


@pytest.mark.parametrize(
    "declared",
    [
        "(k TEXT COLLATE NOCASE PRIMARY KEY, v) WITHOUT ROWID",
        "(k INTEGER PRIMARY KEY DESC, v)",
        "(k, v, PRIMARY KEY (v, k))",
        "(k, v, twice GENERATED ALWAYS AS (v || v))",
        '("k ""quoted""" TEXT, "select" INT)',
    ],
)
def test_every_kind_of_table_is_read_and_compared(database, declared):
    rows = "('b', 2), ('a', 1), ('c', 3)" if "INTEGER" not in declared else "(2, 'b'), (1, 'a'), (3, 'c')"
    columns = '("k ""quoted""", "select")' if "quoted" in declared else "(k, v)"
    forth = database(f"CREATE TABLE t {declared}", f"INSERT INTO t {columns} VALUES {rows}")
    back = database(f"CREATE TABLE t {declared}")
    with session(forth) as source, session(back) as target:
        select = f"SELECT {columns[1:-1]} FROM t ORDER BY 2 DESC"
        target.executemany(f"INSERT INTO t {columns} VALUES (?, ?)", source.execute(select).fetchall())

    assert content(forth).rows() == {"t": 3}
    assert content(forth).equals(content(back))
    assert compared(forth, back)["t"] == {"added": 0, "changed": 0, "removed": 0, "same_columns": True}


def test_a_key_that_differs_in_case_only_is_another_row(database):
    table = "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v) WITHOUT ROWID"
    one = database(table, "INSERT INTO t VALUES ('a', 1)")
    two = database(table, "INSERT INTO t VALUES ('A', 1)")

    assert content(one).digest != content(two).digest
    assert compared(one, two)["t"] == {"added": 1, "changed": 0, "removed": 1, "same_columns": True}


def test_a_collation_this_python_does_not_know_is_no_obstacle(tmp_path):
    path = tmp_path / "own.db"
    with session(path) as connection:
        connection.create_collation("own", lambda a, b: (a < b) - (a > b))
        connection.execute("CREATE TABLE t (a TEXT COLLATE own)")
        connection.execute("INSERT INTO t VALUES ('x'), ('y')")

    assert content(path).rows() == {"t": 2}
    assert compared(path, path)["t"]["added"] == 0


def test_virtual_tables_are_named_and_their_rows_count(database):
    try:
        one = database("CREATE VIRTUAL TABLE words USING fts5(text)", "INSERT INTO words VALUES ('hello')")
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no fts5")
    two = database("CREATE VIRTUAL TABLE words USING fts5(text)", "INSERT INTO words VALUES ('other')")

    assert content(one).virtual_tables == ["words"]
    assert content(one).rows()["words_content"] == 1
    assert content(one).digest != content(two).digest


def test_an_excluded_table_takes_its_indexes_and_counter_with_it(database):
    own = "CREATE TABLE Own (id INTEGER PRIMARY KEY AUTOINCREMENT, x)"
    other = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)"
    one = database(other, own, "CREATE INDEX i ON own (x)", "INSERT INTO own (x) VALUES (1), (2)")
    two = database(other, own, "INSERT INTO own (x) VALUES (3)")

    assert not content(one).equals(content(two))
    assert content(one, "OWN").equals(content(two, "own"))
    assert content(one, "own").tables["sqlite_sequence"]["rows"] == 0
    assert compared(one, two, "own").keys() == {"t", "sqlite_sequence"}
    assert compared(one, two, "own")["sqlite_sequence"]["changed"] == 0


def test_statistics_are_not_content(database):
    rows = (TABLE, "CREATE INDEX i ON t (a)", "INSERT INTO t VALUES (1, 2)")

    assert content(database(*rows)).equals(content(database(*rows, "ANALYZE")))


def test_duplicates_are_counted_one_by_one(database):
    one = database(TABLE, "INSERT INTO t VALUES (1, 1), (1, 1), (1, 1), (2, 2)")
    two = database(TABLE, "INSERT INTO t VALUES (1, 1), (2, 2), (2, 2)")

    assert compared(one, two)["t"] == {"added": 2, "changed": 0, "removed": 1, "same_columns": True}


def test_changed_means_the_same_key(database):
    table = "CREATE TABLE t (a, b, c, PRIMARY KEY (a, b))"
    one = database(table, "INSERT INTO t VALUES (1, 1, 'x'), (1, 2, 'y'), (2, 1, 'z')")
    two = database(table, "INSERT INTO t VALUES (1, 1, 'X'), (1, 2, 'y'), (3, 1, 'z')")

    assert compared(one, two)["t"] == {"added": 1, "changed": 1, "removed": 1, "same_columns": True}

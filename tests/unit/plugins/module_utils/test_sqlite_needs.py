# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases whose application brings more than SQLite on the Pi has."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import preflight_world as world
import pytest
from conftest import import_plugin
from databases import make, session

needs_of = import_plugin("module_utils._sqlite.needs").needs
host_findings = import_plugin("module_utils._preflight.host")._database

Build = Callable[[sqlite3.Connection], Any]


def declared(*statements: str) -> Build:
    """By a daemon that has registered a collation and a function."""

    def build(connection: sqlite3.Connection) -> None:
        connection.create_collation("own", lambda left, other: (left > other) - (left < other))
        connection.create_function("own_function", 1, lambda value: value, deterministic=True)
        for statement in statements:
            connection.execute(statement)

    return build


def rewritten(name: bytes, sql: str | bytes) -> Build:
    """As another SQLite would have declared it: this one refuses the statement."""

    def build(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE strange (a)")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = CAST(? AS TEXT), name = CAST(? AS TEXT), tbl_name = CAST(? AS TEXT)"
            " WHERE name = 'strange'",
            (sql.encode() if isinstance(sql, str) else sql, name, name),
        )

    return build


@pytest.fixture
def database(tmp_path: Path) -> Callable[[Build], Path]:
    def create(build: Build) -> Path:
        path = make(tmp_path / "pi-controller.db", wal=False)
        with session(path) as connection:
            build(connection)
        return path

    return create


def wide(columns: int) -> str:
    return f"CREATE TABLE t ({', '.join(f'c{number}' for number in range(columns))})"


CASES: dict[str, tuple[Build, str, str]] = {
    "a collation of a column": (declared("CREATE TABLE t (a TEXT COLLATE own)"), "t", "the collation own"),
    "a collation of an index": (
        declared("CREATE TABLE t (a)", "CREATE INDEX i ON t (a COLLATE own)", "INSERT INTO t VALUES ('x'), ('y')"),
        "t",
        "the collation own",
    ),
    "a function in CHECK": (
        declared("CREATE TABLE t (a CHECK (own_function(a)))", "INSERT INTO t VALUES (1)"),
        "t",
        "the function own_function",
    ),
    "a function in a generated column": (
        declared("CREATE TABLE t (a, b AS (own_function(a)) STORED)", "INSERT INTO t VALUES (1)"),
        "t",
        "the function own_function",
    ),
    "a function in an index": (
        declared("CREATE TABLE t (a)", "CREATE INDEX i ON t (own_function(a))", "INSERT INTO t VALUES (1)"),
        "t",
        "the function own_function",
    ),
    "a newer table option": (rewritten(b"t", "CREATE TABLE t (a) FUTURE"), "t", "newer syntax"),
    "a newer expression": (rewritten(b"t", "CREATE TABLE t (a DEFAULT FUTURE (1))"), "t", "newer syntax"),
    "a module": (rewritten(b"t", "CREATE VIRTUAL TABLE t USING future(a)"), "t", "the module future"),
    "more columns than fit": (rewritten(b"t", wide(2001)), "t", "more columns"),
    "a table's name": (rewritten(b"t\xff", b'CREATE TABLE "t\xff" (a)'), "t\\xff", "names that are UTF-8"),
    "a column's name": (rewritten(b"t", b'CREATE TABLE t (a, "b\xff")'), "t", "names that are UTF-8"),
}


@pytest.mark.parametrize("case", CASES)
def test_s3_what_a_table_needs_is_named(database, case):
    build, table, need = CASES[case]
    found = needs_of(database(build), 5)
    assert [entry["table"] for entry in found] == [table]
    assert need in found[0]["need"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("module", ["sqlite_info", "sqlite_backup"])
def test_s3_no_module_ends_in_a_traceback(run_module, database, tmp_path, case, module):
    """It works, or the message says what is in the way; never that the file is damaged or may not be read."""
    path = database(CASES[case][0])
    args = {
        "path": str(path),
        **({"integrity": True} if module == "sqlite_info" else {"dest": str(tmp_path / "copy.db")}),
    }
    result = run_module(module, args)
    if result.get("failed"):
        assert any(words in result["failure"]["next_step"] for words in ("preflight", "rename it")), result
        assert "copy.db:" not in result["msg"], "the copy is ours; the owner knows the database"


def preflight_host(run_module, folder: Path, path: Path) -> dict[str, Any]:
    """What pre-flight reads of this database, once: a comparison with other Pis is not what this is about."""
    given = {"paths": {"data_dir": str(folder), "database": str(path)}, "unit": "none.service", "ports": []}
    result: dict[str, Any] = run_module(
        "preflight_host", {**given, "address": "127.0.0.1", "urls": [], "compare": False}
    )
    return result


@pytest.mark.parametrize("wal", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_s3_what_preflight_passes_can_be_backed_up_and_restored(run_module, tmp_path, case, wal):
    path = make(tmp_path / "pi-controller.db", wal=wal)
    with session(path) as connection:
        CASES[case][0](connection)
    seen = preflight_host(run_module, tmp_path, path)
    taken = run_module("sqlite_backup", {"path": str(path), "dest": str(tmp_path / "copy.db")})
    assert bool(taken.get("failed")) is (seen["database"]["integrity"] != "ok"), taken
    if not taken.get("failed"):
        for live in (path, tmp_path / "new.db"):
            args = {"state": "restored", "path": str(live), "src": str(tmp_path / "copy.db")}
            assert not run_module("sqlite_backup", args).get("failed")


def test_s3_1101_columns_are_no_obstacle(run_module, database, tmp_path):
    path = database(declared(wide(1101), f"INSERT INTO t VALUES ({', '.join(['1'] * 1101)})"))
    assert needs_of(path, 5) == []
    taken = run_module("sqlite_backup", {"path": str(path), "dest": str(tmp_path / "copy.db")})
    assert taken["tables"]["t"]["rows"] == 1
    compared = run_module("sqlite_info", {"path": str(path), "against": str(tmp_path / "copy.db"), "integrity": True})
    assert compared["comparison"]["equal"] is True


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE VIRTUAL TABLE words USING fts5(text)"],
        ["CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)", "INSERT INTO t VALUES (1)", "ANALYZE"],
        ["CREATE VIEW v AS SELECT own_function(name) FROM nodes"],
        ["CREATE TRIGGER after AFTER INSERT ON nodes BEGIN SELECT own_function(1); END"],
        ["CREATE TABLE t AS SELECT 1 AS a", "CREATE UNIQUE INDEX i ON t (a) WHERE a > 0"],
    ],
)
def test_s3_what_every_sqlite_has_is_no_need(database, statements):
    assert needs_of(database(declared(*statements)), 5) == []


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH '/etc/passwd' AS other",
        "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i FROM n",
    ],
)
def test_s3_a_schema_that_was_tampered_with_does_nothing(database, sql):
    (entry,) = needs_of(database(rewritten(b"t", sql)), 5)
    assert entry["table"] == "t"


# --- the findings


def findings(**changes: Any) -> list[Any]:
    seen = world.host("pi-1")
    seen["database"] = {
        "integrity": "ok",
        "seconds": 0.01,
        "sqlite": "3.34.1",
        "needs": [],
        "writes_waited": None,
        **changes,
    }
    return list(host_findings("pi-1", seen))


NEED = {"table": "nodes", "need": "the collation own, which its application registers"}


def test_s3_an_unreadable_database_stops_the_migration():
    (finding,) = findings(needs=[NEED], integrity="no such collation sequence: own")
    assert finding.level == "error"
    assert "nodes" in finding.check
    assert "collation own" in finding.seen
    assert "3.34.1" in finding.wanted


def test_s3_a_need_is_a_warning_where_it_can():
    (finding,) = findings(needs=[NEED])
    assert finding.level == "warning"


def test_s3_damage_is_still_an_error():
    (finding,) = findings(integrity="row 3 missing from index i")
    assert (finding.level, finding.check) == ("error", "database")


def test_a_database_without_a_place_for_a_copy_is_not_damaged(run_module, tmp_path, monkeypatch):
    """What there is to be done is not to be done to the database."""
    path = make(tmp_path / "pi-controller.db", wal=False)
    monkeypatch.setattr(import_plugin("module_utils._sqlite.copies"), "free_bytes", lambda _folder: 0)
    seen = preflight_host(run_module, tmp_path, path)["database"]
    (finding,) = findings(**seen)
    assert "bytes free, wanted are" in finding.seen
    assert finding.fix == seen["next_step"]
    assert "free " in finding.fix


def test_s1_preflight_says_how_long_writes_will_wait():
    (finding,) = findings(writes_waited=0.213)
    assert finding.level == "warning"
    assert "writes wait 0.21 s" in finding.seen
    assert findings(writes_waited=None) == []


@pytest.mark.parametrize("wal", [True, False])
def test_s1_preflight_measures_the_wait_in_this_journal_mode(run_module, tmp_path, wal):
    path = make(tmp_path / "pi-controller.db", wal=wal)
    result = preflight_host(run_module, tmp_path, path)
    seen = result["database"]
    assert seen["integrity"] == "ok"
    assert (seen["writes_waited"] is None) is wal
    assert seen["needs"] == []
    assert seen["digest_seconds"] >= 0


def test_s3_preflight_names_the_table_of_a_database_it_cannot_read(run_module, database, tmp_path):
    path = database(CASES["a newer table option"][0])
    result = preflight_host(run_module, tmp_path, path)
    assert result["database"]["needs"][0]["table"] == "t"
    assert result["database"]["integrity"] != "ok"

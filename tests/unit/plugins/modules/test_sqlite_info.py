# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from pathlib import Path

import pytest
from databases import APPLIED, PAIR, Writer, execute, make, session


@pytest.fixture
def live(tmp_path: Path) -> Path:
    return make(tmp_path / "live.db")


def info(run_module, path, **args):
    return run_module("sqlite_info", {"path": str(path), **args})


def test_it_reads_a_database_in_use(run_module, live):
    with Writer(live, *PAIR) as writer:
        seen = [info(run_module, live, integrity=True)["tables"]["nodes"]["rows"] for _attempt in range(5)]

    assert all(rows % 2 == 1 for rows in seen), "3 rows and pairs of two"
    assert seen == sorted(seen)
    assert writer.nodes == 3 + 2 * writer.transactions


def test_says_how_the_file_is_made(run_module, live):
    result = info(run_module, live)

    assert result["changed"] is False
    assert (result["journal_mode"], result["page_size"], result["user_version"]) == ("wal", 4096, 7)
    assert {name: table["rows"] for name, table in result["tables"].items()} == {
        "gpio": 1,
        "nodes": 3,
        "raft_applied": 1,
        "sqlite_sequence": 1,
    }


def test_an_unused_database_keeps_its_bytes(run_module, live):
    before = live.read_bytes()
    info(run_module, live)

    assert live.read_bytes() == before


@pytest.mark.parametrize("which", ["path", "against"])
def test_never_creates_a_database(run_module, live, tmp_path, which):
    missing = tmp_path / "gone.db"
    result = run_module("sqlite_info", {"path": str(live), "against": str(live), which: str(missing)})

    assert "gone.db does not exist" in result["msg"]
    assert not missing.exists()


def test_something_else_than_a_database_is_named(run_module, tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("not a database at all, but long enough to have a header " * 20)

    assert "notes.txt: file is not a database" in info(run_module, other)["msg"]


def test_what_the_daemon_writes_for_itself_is_no_difference(run_module, live):
    before = info(run_module, live, exclude_tables=["raft_applied"])
    with Writer(live, *APPLIED):
        pass
    after = info(run_module, live, exclude_tables=["raft_applied"])

    assert (before["digest"], before["schema_digest"]) == (after["digest"], after["schema_digest"])
    assert info(run_module, live)["digest"] != before["digest"]


def test_compares_with_another_database(run_module, live, tmp_path):
    other = make(tmp_path / "other.db")
    equal = info(run_module, live, against=str(other))["comparison"]
    assert (equal["equal"], equal["rows"]) == (True, 0)
    schema = info(run_module, other)["schema_digest"]
    assert equal["schema_digest"] == schema

    execute(live, "CREATE INDEX by_name ON nodes (name)")
    indexed = info(run_module, live, against=str(other))
    assert indexed["comparison"]["schema_digest"] == schema != indexed["schema_digest"]
    execute(live, "DROP INDEX by_name")
    execute(live, "INSERT INTO nodes (name) VALUES ('new'), ('newer')")
    execute(live, "UPDATE nodes SET name = 'renamed' WHERE id = 1")
    execute(live, "DELETE FROM nodes WHERE id = 2")
    execute(live, "UPDATE raft_applied SET idx = 2")
    comparison = info(run_module, live, against=str(other), exclude_tables=["raft_applied"])["comparison"]

    assert (comparison["equal"], comparison["rows"]) == (False, 4)
    assert comparison["tables"]["nodes"] == {"added": 2, "changed": 1, "removed": 1, "same_columns": True}
    assert comparison["tables"]["gpio"] == {"added": 0, "changed": 0, "removed": 0, "same_columns": True}
    assert comparison["tables"]["sqlite_sequence"]["changed"] == 1, "the next id moved, but that is no row of a client"
    assert "raft_applied" not in comparison["tables"]


def test_a_deleted_last_row_leaves_a_difference(run_module, live, tmp_path):
    """Equal rows and another next id: the two would hand out different ids, so they are not equal."""
    other = make(tmp_path / "other.db")
    execute(live, "INSERT INTO nodes (name) VALUES ('gone')")
    execute(live, "DELETE FROM nodes WHERE name = 'gone'")
    comparison = info(run_module, live, against=str(other))["comparison"]

    assert (comparison["equal"], comparison["rows"]) == (False, 0)


@pytest.mark.slow
def test_ten_times_the_rows_cost_about_ten_times_the_work(run_module, tmp_path):
    def work(rows: int) -> float:
        path, other = (make(tmp_path / f"{rows}-{which}.db", rows=rows) for which in ("one", "other"))
        with session(path) as connection:
            connection.execute("UPDATE nodes SET data = 'x' WHERE id % 100 = 0")
        began = time.process_time()
        result = info(run_module, path, against=str(other))
        assert result["comparison"]["tables"]["nodes"]["changed"] == rows // 100
        return time.process_time() - began

    few = work(10_000)
    # A look-up per row that reads the table would make it a hundred times.
    assert work(100_000) < 30 * few


def test_expected_content_may_differ_in_volatile_columns_alone(run_module, live, tmp_path):
    backup = make(tmp_path / "backup.db")
    digest = info(run_module, live)["digest"]
    expected = {"digest": digest, "next_step": "take another image"}
    same = info(run_module, live, against=str(backup), expected=expected)
    assert "failed" not in same
    assert "comparison" not in same, "what is equal is not compared"
    execute(live, "UPDATE nodes SET name = 'renamed' WHERE id = (SELECT MIN(id) FROM nodes)")
    volatile = {"against": str(backup), "volatile_columns": ["nodes.name"], "expected": expected}
    assert info(run_module, live, **volatile)["comparison"]["equal"] is True
    failed = info(run_module, live, against=str(backup), expected=expected)
    assert f"live.db holds content {failed['digest']}, wanted {digest} (1 rows differ)" in failed["msg"]
    assert failed["msg"].endswith("Next: take another image")
    assert f"wanted {digest}. Next" in info(run_module, live, expected=expected)["msg"]


def test_the_second_database_is_looked_at_first(run_module, live, tmp_path):
    backup = make(tmp_path / "backup.db")
    digest = info(run_module, live)["digest"]
    both = {"expected": {"digest": digest, "next_step": "take another image"},
            "expected_against": {"digest": digest, "next_step": "start over"}}  # fmt: skip
    assert "failed" not in info(run_module, live, against=str(backup), **both)
    for path in (live, backup):
        execute(path, "UPDATE nodes SET name = 'renamed' WHERE id = (SELECT MIN(id) FROM nodes)")
    failed = info(run_module, live, against=str(backup), **both)
    assert failed["msg"].startswith(f"{backup} holds content ")
    assert failed["msg"].endswith(f"wanted {digest}. Next: start over")
    assert "expected_against" in info(run_module, live, **both)["msg"], "without it there is nothing to look at"

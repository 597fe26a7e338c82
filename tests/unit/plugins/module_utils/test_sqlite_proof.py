# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests that are made beside other work, and the log that is copied into the database beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from pathlib import Path

import databases
import pytest
from conftest import import_plugin

checkpoint = import_plugin("module_utils._sqlite.checkpoint")
proof = import_plugin("module_utils._sqlite.proof")
database_errors = import_plugin("module_utils._sqlite.database")
EXCLUDE = ["raft_applied"]
# pytest-xdist has a thread of its own; on a Pi the module has none.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(autouse=True)
def _even_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "WORTH_A_PROCESS", 0)
    monkeypatch.setattr(checkpoint, "WORTH_A_PROCESS", 0)


@pytest.fixture(params=[True, False], ids=["wal", "journal"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return databases.make(tmp_path / "pi-controller.db", wal=request.param)


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def test_a_digest_made_aside_is_that_of_the_database(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = proof.digest_of(database, EXCLUDE)
    with proof.digesting(database, EXCLUDE) as digest:
        monkeypatch.setattr(proof, "digest_of", lambda *_: pytest.fail("read once more, and nothing has changed"))
        assert digest() == wanted


@pytest.mark.parametrize("when", [0.0, 0.3], ids=["at the start", "once it was read"])
def test_a_write_in_the_meantime_is_in_the_digest(database: Path, when: float) -> None:
    before = proof.digest_of(database, EXCLUDE)
    with proof.digesting(database, EXCLUDE) as digest:
        time.sleep(when)
        databases.execute(database, "INSERT INTO gpio VALUES ('late', 1)")
        seen = digest()
    assert seen == proof.digest_of(database, EXCLUDE) != before


def test_a_small_database_is_read_without_a_process(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("takes longer than the digest"))
    with proof.digesting(database, EXCLUDE) as digest:
        assert digest() == proof.digest_of(database, EXCLUDE)
    checkpoint.checkpoint_aside([database])


def test_a_process_that_ends_without_an_answer_costs_its_time_alone(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "_read_aside", lambda *_: os._exit(1))
    with proof.digesting(database, EXCLUDE) as digest:
        assert digest() == proof.digest_of(database, EXCLUDE)


def test_what_cannot_be_read_aside_fails_with_its_reason(tmp_path: Path) -> None:
    with (
        proof.digesting(tmp_path / "missing.db", EXCLUDE) as digest,
        pytest.raises(database_errors.SqliteError, match="does not exist"),
    ):
        digest()


def test_no_process_is_left_where_the_body_fails(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_read_aside", lambda *_: signal.pause())
    with contextlib.suppress(KeyError), proof.digesting(database, EXCLUDE):
        assert children()
        raise KeyError
    assert children() == ""


def test_all_databases_have_to_hold_the_content(tmp_path: Path) -> None:
    same = [databases.make(tmp_path / f"{number}.db") for number in range(3)]
    digest = proof.digest_of(same[0], EXCLUDE)
    proof.prove(same, digest, EXCLUDE)
    databases.execute(same[2], "UPDATE gpio SET level = 2")
    with pytest.raises(database_errors.SqliteError, match=f"{same[2]} holds .*, wanted {digest}"):
        proof.prove(same, digest, EXCLUDE)


def test_the_log_is_in_the_database_before_the_first_write(tmp_path: Path) -> None:
    path = databases.make(tmp_path / "pi-controller.db")
    with contextlib.closing(sqlite3.connect(path)) as daemon:
        daemon.execute("PRAGMA wal_autocheckpoint=0")
        daemon.execute("CREATE TABLE large (v)")
        daemon.execute("INSERT INTO large VALUES (randomblob(1000000))")
        daemon.commit()
        digest, size = proof.digest_of(path, EXCLUDE), path.stat().st_size
        checkpoint.checkpoint_aside([path])
        deadline = time.monotonic() + 10
        while path.stat().st_size < size + 1_000_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.wait()
        assert proof.digest_of(path, EXCLUDE) == digest


def test_a_database_that_cannot_be_opened_stops_nothing(tmp_path: Path) -> None:
    checkpoint.checkpoint_aside([tmp_path / "missing.db"])
    assert os.wait()[1] == 0
    assert list(tmp_path.iterdir()) == []

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases that are in use, were left by a crash, or were replaced by something that is not a database."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin
from databases import TimedWriter, execute, interrupt_a_write, make, session

copies = import_plugin("module_utils._sqlite.copies")
database = import_plugin("module_utils._sqlite.database")
mounts = import_plugin("module_utils._core.mounts")


def backup(run_module, live: Path, dest: Path, **args: Any) -> dict[str, Any]:
    return run_module("sqlite_backup", {"path": str(live), "dest": str(dest), **args})


def restore(run_module, live: Path, src: Path, **args: Any) -> dict[str, Any]:
    return run_module("sqlite_backup", {"state": "restored", "path": str(live), "src": str(src), **args})


def info(run_module, path: Path, **args: Any) -> dict[str, Any]:
    return run_module("sqlite_info", {"path": str(path), **args})


# --- S1: writers of a database that is not in WAL mode


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    """25 MiB in journal mode delete, which the published daemon has."""
    path = make(tmp_path / "busy.db", wal=False)
    with session(path) as connection:
        connection.executemany(
            "INSERT INTO nodes (name, data) VALUES (?, ?)", ((f"n{i}", f"{i:0200}") for i in range(108_000))
        )
    assert path.stat().st_size > 25 << 20
    return path


@pytest.mark.slow
@pytest.mark.parametrize("what", ["backup", "info"])
def test_s1_a_writer_waits_for_the_copy_alone(run_module, busy, tmp_path, what):
    """And not for checks and digests, which take most of the time: that is what the ratio shows."""

    def run(number: int) -> dict[str, Any]:
        if what == "info":
            return info(run_module, busy, integrity=True, exclude_tables=["raft_applied"])
        return backup(run_module, busy, tmp_path / f"{number}.db")

    ratios, seen = [], []
    for number in range(3):
        with TimedWriter(busy, timeout=1) as writer:
            result = run(number)
        assert not result.get("failed"), result
        assert writer.locked == 0
        assert result["writes_waited"] > 0
        ratios.append((writer.longest - writer.idle) / result["elapsed"])
        seen.append(f"longest write {writer.longest:.3f} s, idle {writer.idle:.3f} s, {result['elapsed']} s in all")
    # The best of three: a machine that is busy with something else makes a writer wait as well.
    assert min(ratios) < 0.4, seen


def test_s1_no_writer_waits_in_wal_mode(run_module, tmp_path):
    live = make(tmp_path / "live.db", rows=10_000)
    with TimedWriter(live, timeout=0) as writer:
        assert backup(run_module, live, tmp_path / "copy.db")["writes_waited"] == 0
        assert info(run_module, live)["writes_waited"] == 0
    assert writer.locked == 0


def test_s1_a_copy_under_the_lock_is_consistent(run_module, busy, tmp_path):
    first = backup(run_module, busy, tmp_path / "copy.db", exclude_tables=["raft_applied"])
    again = info(run_module, busy, exclude_tables=["raft_applied"])
    assert (first["digest"], first["schema_digest"]) == (again["digest"], again["schema_digest"])
    assert execute(tmp_path / "copy.db", "PRAGMA integrity_check") == [("ok",)]
    assert backup(run_module, busy, tmp_path / "copy.db")["changed"] is False


def test_s1_the_lock_is_kept_while_the_file_is_copied(busy, tmp_path, monkeypatch):
    """Closing any other descriptor of the file would drop it without a word."""
    copied = tmp_path / "copied.db"
    copied.touch()
    fill = copies._Target.fill
    attempts: list[str] = []

    def tried(target, source, size):
        fill(target, source, size)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            _in_another_process(busy)
        attempts.append("refused")

    monkeypatch.setattr(copies._Target, "fill", tried)
    copies.copy_live(busy, copied, 5)
    assert attempts == ["refused"]
    _in_another_process(busy)


def _in_another_process(path: Path) -> None:
    """Locks are the process's, so that another connection of this one would prove nothing."""
    child = os.fork()
    if not child:
        status = 1
        try:
            with sqlite3.connect(path, timeout=0) as connection:
                connection.execute("UPDATE raft_applied SET idx = idx + 1")
            status = 0
        finally:
            os._exit(status)
    _pid, status = os.waitpid(child, 0)
    if status:
        raise sqlite3.OperationalError("locked")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders for a private copy, in place of those of the system, which other tests use meanwhile. Both are on a disk, unless
    `memory` says otherwise."""
    found = tmp_path / "var-tmp", tmp_path / "var-lib"
    for path in found:
        path.mkdir()
    monkeypatch.setattr(copies, "SCRATCH", found)
    memory(monkeypatch)
    return found


def memory(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    known = mounts.parse("".join(f"43 23 0:40 / {folder} rw - tmpfs tmpfs rw\n" for folder in folders))
    monkeypatch.setattr(mounts, "read", lambda: known)


@pytest.mark.parametrize("state", ["check mode", "info"])
def test_s1_a_private_copy_has_no_name_that_stays(run_module, busy, places, monkeypatch, state):
    seen: list[list[str]] = []

    def looked(connection, *_args):
        seen.append([path.name for path in places[0].iterdir()])

    monkeypatch.setattr(import_plugin("module_utils._sqlite.look"), "check_integrity", looked)
    if state == "info":
        info(run_module, busy, integrity=True)
        assert seen == [[]]
    else:
        run_module("sqlite_backup", {"path": str(busy), "dest": str(busy.with_name("no.db"))}, check_mode=True)
    assert not [*places[0].iterdir()]


@pytest.mark.parametrize("in_memory", [0, 1])
def test_s1_a_private_copy_goes_to_a_disk(run_module, tmp_path, places, monkeypatch, in_memory):
    live = make(tmp_path / "live.db", wal=False)
    memory(monkeypatch, places[in_memory])
    seen: list[str] = []
    copy_live = copies.copy_live

    def recorded(path, new, busy_timeout):
        seen.append(new.parents[1].name)
        return copy_live(path, new, busy_timeout)

    monkeypatch.setattr(copies, "copy_live", recorded)
    assert info(run_module, live)["tables"]["nodes"]["rows"] == 3
    assert seen == [places[1 - in_memory].name]
    assert not [*places[0].iterdir(), *places[1].iterdir()]


def test_s1_without_a_place_on_a_disk_nothing_is_copied(run_module, tmp_path, places, monkeypatch):
    live = make(tmp_path / "live.db", wal=False)
    memory(monkeypatch, *places)
    monkeypatch.setattr(copies, "copy_live", pytest.fail)
    result = info(run_module, live)
    assert result["failed"] is True
    assert f"{places[0]} is on tmpfs, which is memory; {places[1]} is on tmpfs" in result["msg"]
    assert f"findmnt -T {places[0]}" in result["failure"]["next_step"]


def test_s1_without_room_for_a_private_copy_nothing_is_copied(run_module, tmp_path, places, monkeypatch):
    live = make(tmp_path / "live.db", wal=False)
    wanted = 2 * live.stat().st_size
    monkeypatch.setattr(copies, "free_bytes", lambda _folder: wanted - 1)
    monkeypatch.setattr(copies, "copy_live", pytest.fail)
    result = info(run_module, live)
    assert result["failed"] is True
    assert f"{places[0]} has {wanted - 1} bytes free, wanted are {wanted} for a copy" in result["msg"]
    assert result["failure"]["next_step"] == f"free 1 bytes in {places[0]}"


# --- S2: what a crash left beside a database


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    path = make(tmp_path / "crashed.db", rows=5000, wal=False)
    interrupt_a_write(path)
    return path


def test_s2_a_copy_with_a_hot_journal_is_not_restored(run_module, crashed, tmp_path):
    live = make(tmp_path / "live.db")
    result = restore(run_module, live, crashed)

    assert result["failed"] is True
    assert "crashed.db-journal beside it" in result["msg"]
    assert execute(live, "SELECT count(*) FROM nodes") == [(3,)]


def test_s2_a_hot_journal_is_not_read_past(run_module, crashed):
    result = info(run_module, crashed)
    assert result["failed"] is True
    assert "a write was interrupted" in result["failure"]["next_step"]


def test_s2_a_journal_that_is_done_with_is_no_obstacle(run_module, tmp_path):
    """journal_mode=persist leaves it, its header overwritten; truncate leaves it empty."""
    src = make(tmp_path / "src.db", rows=9, wal=False)
    with session(src) as connection:
        connection.execute("PRAGMA journal_mode=PERSIST")
        connection.execute("INSERT INTO nodes (name) VALUES ('more')")
        connection.commit()
    assert src.with_name("src.db-journal").stat().st_size > 0

    live = make(tmp_path / "live.db")
    assert restore(run_module, live, src)["tables"]["nodes"]["rows"] == 10


def test_s2_a_crashed_database_is_rolled_back_before_replacing(run_module, crashed, tmp_path):
    src = make(tmp_path / "src.db", rows=9, wal=False)
    result = restore(run_module, crashed, src)

    assert not result.get("failed"), result
    assert result["diff"]["before"]["rows"]["nodes"] == 5000
    assert execute(crashed, "SELECT count(*) FROM nodes WHERE name = 'half-written'") == [(0,)]
    assert execute(crashed, "SELECT count(*) FROM nodes") == [(9,)]


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_s2_leftovers_of_a_backup_do_not_reach_the_new_one(run_module, tmp_path, suffix):
    live = make(tmp_path / "live.db")
    folder = tmp_path / "backups"
    folder.mkdir()
    dest = make(folder / "copy.db", rows=5000, wal=False)
    interrupt_a_write(dest)
    if suffix == "-wal":
        dest.with_name("copy.db-journal").replace(dest.with_name("copy.db-wal"))

    assert backup(run_module, live, dest)["changed"] is True
    assert {path.name for path in folder.iterdir()} == {"copy.db"}
    assert execute(dest, "SELECT count(*) FROM nodes") == [(3,)]


# --- M2: a pod that replaces its database


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A database of the host that no pod may have."""
    folder = tmp_path / "host"
    folder.mkdir()
    return make(folder / "state.db", rows=7, wal=False)


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    folder = tmp_path / "pod"
    folder.mkdir()
    return folder


def links(secret: Path, pod: Path) -> Path:
    database_path = pod / "pi-controller.db"
    database_path.symlink_to(secret)
    return database_path


def folder_links(secret: Path, pod: Path) -> Path:
    (pod / "data").symlink_to(secret.parent)
    return pod / "data" / secret.name


def journal_links(secret: Path, pod: Path) -> Path:
    path = make(pod / "pi-controller.db", wal=False)
    (pod / "pi-controller.db-journal").symlink_to(secret)
    return path


def wal_links(secret: Path, pod: Path) -> Path:
    path = make(pod / "pi-controller.db", wal=False)
    (pod / "pi-controller.db-wal").symlink_to(secret)
    return path


def is_a_fifo(_secret: Path, pod: Path) -> Path:
    os.mkfifo(pod / "pi-controller.db")
    return pod / "pi-controller.db"


def is_a_folder(_secret: Path, pod: Path) -> Path:
    (pod / "pi-controller.db").mkdir()
    return pod / "pi-controller.db"


TRICKS = [links, folder_links, journal_links, wal_links, is_a_fifo, is_a_folder]


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("action", ["info", "against", "backup", "backup in check mode", "restore"])
def test_m2_only_a_regular_file_reached_without_links_is_a_database(run_module, tmp_path, secret, pod, trick, action):
    path, before = trick(secret, pod), secret.read_bytes()
    good = make(tmp_path / "good.db", rows=1, wal=False)
    if action == "info":
        result = info(run_module, path)
    elif action == "against":
        result = info(run_module, good, against=str(path))
    elif action == "backup":
        result = backup(run_module, path, tmp_path / "taken.db")
    elif action == "restore":
        result = restore(run_module, path, good)
    else:
        args = {"path": str(path), "dest": str(tmp_path / "taken.db")}
        result = run_module("sqlite_backup", args, check_mode=True)

    assert result["failed"] is True
    assert any(kind in result["msg"] for kind in ("is a symbolic link", "is a FIFO", "is a directory")), result["msg"]
    assert result["failure"]["next_step"]
    assert secret.read_bytes() == before
    assert not (tmp_path / "taken.db").exists()


@pytest.mark.parametrize("trick", [links, journal_links, wal_links, is_a_fifo])
def test_m2_a_backup_to_restore_from_is_a_regular_file_as_well(run_module, tmp_path, secret, pod, trick):
    path = trick(secret, pod)
    live = make(tmp_path / "live.db")
    assert restore(run_module, live, path)["failed"] is True
    assert execute(live, "SELECT count(*) FROM nodes") == [(3,)]


def test_m2_a_database_replaced_between_look_and_open_is_noticed(run_module, secret, pod, monkeypatch):
    path = make(pod / "pi-controller.db", wal=False)
    connect = sqlite3.connect

    def raced(*args: Any, **options: Any) -> sqlite3.Connection:
        if path.is_file() and not path.is_symlink():
            path.unlink()
            path.symlink_to(secret)
        return connect(*args, **options)

    monkeypatch.setattr(database.sqlite3, "connect", raced)
    result = info(run_module, path)
    assert result["failed"] is True
    assert "was replaced while it was opened" in result["msg"]
    assert result["failure"]["seen"] == str(secret)


def test_m2_a_link_to_a_missing_database_is_not_followed(run_module, secret, pod, tmp_path):
    path = pod / "pi-controller.db"
    path.symlink_to(secret.with_name("new.db"))
    src = make(tmp_path / "src.db", wal=False)
    assert restore(run_module, path, src)["failed"] is True
    assert not secret.with_name("new.db").exists()

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest
from conftest import import_plugin
from databases import APPLIED, PAIR, Writer, execute, make, session

sqlite_utils = import_plugin("module_utils._sqlite.copies")

SQLITE3_WAITS = 5.0  # seconds, where no timeout is given


@pytest.fixture
def live(tmp_path: Path) -> Path:
    return make(tmp_path / "live.db")


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "prepare" / "pi.db"


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A backup with other content than `live`."""
    path = make(tmp_path / "src.db", rows=5, wal=False)
    execute(path, "UPDATE raft_applied SET incarnation = 'other'")
    return path


def backup(run_module, live, dest, **options):
    return run_module("sqlite_backup", {"path": str(live), "dest": str(dest), **options.pop("args", {})}, **options)


def restore(run_module, live, src, *, check_mode=False, **args):
    return run_module(
        "sqlite_backup",
        {"state": "restored", "path": str(live), "src": str(src), "exclude_tables": ["raft_applied"], **args},
        check_mode=check_mode,
    )


def flip_byte(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0xFF]))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- present


def test_a_backup_is_one_whole_file_only_root_reads(run_module, live, dest):
    result = backup(run_module, live, dest)

    assert result["changed"] is True
    assert result["size"] == dest.stat().st_size == result["page_count"] * result["page_size"]
    assert result["sha256"] == sqlite_utils.sha256_of(dest)
    assert result["tables"]["nodes"]["rows"] == 3
    assert result["user_version"] == 7
    assert files(dest.parent) == {"pi.db"}, "neither -wal nor .tmp"
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    assert stat.S_IMODE(dest.parent.stat().st_mode) == 0o700
    assert dest.read_bytes()[18:20] == b"\x01\x01", "its header must not ask for a WAL"
    assert execute(dest, "SELECT count(*) FROM nodes") == [(3,)]


def test_folders_that_are_made_for_a_backup_are_roots_alone(run_module, live, dest):
    """Whatever the umask is: who may enter the upper one could look for names in it."""
    before = os.umask(0o022)
    try:
        assert backup(run_module, live, dest)["changed"] is True
    finally:
        os.umask(before)
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (dest.parent.parent, dest.parent)] == [0o700, 0o700]


def test_a_backup_has_what_is_still_in_the_wal(run_module, live, dest):
    with session(live) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("INSERT INTO nodes (name) VALUES ('late')")
        connection.commit()
        assert live.with_name("live.db-wal").stat().st_size > 0

        result = backup(run_module, live, dest)

    assert result["tables"]["nodes"]["rows"] == 4


def test_equal_content_is_left_alone_and_other_content_is_not(run_module, live, dest):
    first = backup(run_module, live, dest)
    inode = dest.stat().st_ino

    again = backup(run_module, live, dest)
    assert again["changed"] is False
    assert (again["sha256"], again["size"], dest.stat().st_ino) == (first["sha256"], first["size"], inode)

    execute(live, "UPDATE nodes SET name = 'renamed' WHERE id = 1")
    changed = backup(run_module, live, dest, diff=True)
    assert changed["changed"] is True
    assert changed["digest"] != first["digest"]
    assert changed["diff"]["before"]["digest"] == first["digest"]
    assert changed["diff"]["after"]["rows"]["nodes"] == 3


@pytest.mark.parametrize("change", ["CREATE INDEX another ON nodes (data)", "PRAGMA user_version=8"])
def test_a_new_schema_or_version_is_other_content(run_module, live, dest, change):
    backup(run_module, live, dest)
    execute(live, change)

    assert backup(run_module, live, dest)["changed"] is True
    assert backup(run_module, live, dest)["changed"] is False


def test_excluded_tables_do_not_count_but_are_copied(run_module, live, dest):
    args = {"exclude_tables": ["RAFT_applied"]}
    first = backup(run_module, live, dest, args=args)
    execute(live, "UPDATE raft_applied SET idx = 99")

    assert "raft_applied" not in first["tables"]
    assert backup(run_module, live, dest, args=args)["changed"] is False
    assert backup(run_module, live, dest)["changed"] is True
    assert execute(dest, "SELECT idx FROM raft_applied") == [(99,)]


def test_a_damaged_backup_is_written_anew(run_module, live, dest):
    backup(run_module, live, dest)
    flip_byte(dest, 100)

    assert backup(run_module, live, dest)["changed"] is True
    assert backup(run_module, live, dest)["changed"] is False


def test_what_a_killed_run_left_is_cleared_away(run_module, live, dest):
    dest.parent.mkdir(parents=True)
    dest.with_name("pi.db.tmp").write_bytes(b"half a database")
    dest.with_name("pi.db.tmp-journal").write_bytes(b"and its journal")

    backup(run_module, live, dest)

    assert files(dest.parent) == {"pi.db"}


def test_check_mode_writes_nothing(run_module, live, dest):
    result = backup(run_module, live, dest, check_mode=True)

    assert result["changed"] is True
    assert "sha256" not in result
    assert not dest.parent.exists()


def test_a_backup_during_writes_is_consistent(run_module, live, dest):
    with Writer(live, *PAIR) as writer:
        for _attempt in range(5):
            result = backup(run_module, live, dest)
            assert result["tables"]["nodes"]["rows"] % 2 == 1, "3 rows and pairs of two"
    assert writer.transactions > 20
    assert writer.nodes == 3 + 2 * writer.transactions, "no write of the daemon was refused or lost"


def test_a_missing_database_is_not_created(run_module, tmp_path, dest):
    result = backup(run_module, tmp_path / "gone.db", dest)

    assert result["failed"] is True
    assert "gone.db does not exist" in result["msg"]
    assert result["failure"]["next_step"]
    assert not (tmp_path / "gone.db").exists()


@pytest.mark.parametrize(("spare", "failed"), [(0, False), (-4096, True)])
def test_twice_the_size_must_be_free(run_module, live, dest, monkeypatch, spare, failed):
    wanted = 2 * execute(live, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")[0][0]

    class Filesystem:
        f_bavail, f_frsize = (wanted + spare) // 4096, 4096

    monkeypatch.setattr(sqlite_utils.os, "statvfs", lambda _folder: Filesystem)
    result = backup(run_module, live, dest)

    assert bool(result.get("failed")) is failed
    if failed:
        assert f"{wanted - 4096} bytes free, wanted are {wanted}" in result["msg"]
        assert files(dest.parent) == set()


def test_a_disk_that_fills_up_leaves_the_old_backup(run_module, live, tmp_path, monkeypatch):
    if os.geteuid():
        pytest.skip("mounting needs root")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        backup(run_module, live, small / "pi.db")
        before = (small / "pi.db").read_bytes()
        execute(live, "INSERT INTO nodes (name, data) VALUES ('big', zeroblob(200000))")

        refused = backup(run_module, live, small / "pi.db")
        assert "bytes free, wanted are" in refused["msg"]

        # Another client takes the space after it was counted.
        monkeypatch.setattr(import_plugin("module_utils._sqlite.backup"), "check_space", lambda *_: None)
        failed = backup(run_module, live, small / "pi.db")
        assert failed["failed"] is True
        assert "full" in failed["msg"]
        assert (small / "pi.db").read_bytes() == before
        assert files(small) == {"pi.db"}
    finally:
        subprocess.run(["umount", str(small)], check=True)


# --- restored


def test_restoring_replaces_the_content(run_module, live, src):
    before = src.read_bytes()
    result = restore(run_module, live, src, expected_sha256=sqlite_utils.sha256_of(src).upper())

    assert result["changed"] is True
    assert result["diff"]["before"]["rows"]["nodes"] == 3
    assert result["diff"]["after"]["rows"]["nodes"] == 5
    assert execute(live, "SELECT count(*) FROM nodes") == [(5,)]
    assert execute(live, "SELECT incarnation FROM raft_applied") == [("other",)]
    assert execute(live, "PRAGMA journal_mode") == [("wal",)]
    assert src.read_bytes() == before
    assert {name for name in files(src.parent) if name.startswith("src.db")} == {"src.db"}

    assert restore(run_module, live, src)["changed"] is False


def test_nothing_appears_beside_a_src_in_wal_mode(run_module, live, tmp_path):
    """Such as a database copied after its daemon had been stopped."""
    folder = tmp_path / "copied"
    folder.mkdir()
    src = make(folder / "src.db", rows=9)
    before = src.read_bytes()

    assert restore(run_module, live, src)["tables"]["nodes"]["rows"] == 9
    assert files(folder) == {"src.db"}
    assert src.read_bytes() == before


def test_the_daemons_own_position_is_kept_when_the_content_is_equal(run_module, live, src):
    restore(run_module, live, src)
    execute(live, "UPDATE raft_applied SET incarnation = 'own', idx = 42")

    assert restore(run_module, live, src)["changed"] is False
    assert execute(live, "SELECT * FROM raft_applied") == [("own", 42)]


def test_the_next_id_is_restored_too(run_module, live, src):
    """Else a deleted row's id would be given out a second time."""
    execute(src, "DELETE FROM nodes WHERE id = 5")
    restore(run_module, live, src)

    execute(live, "INSERT INTO nodes (name) VALUES ('next')")
    assert execute(live, "SELECT max(id) FROM nodes") == [(6,)]


def test_restoring_into_a_database_another_process_writes_to(run_module, live, src):
    """It has the file open, sees the new content on its connection at once, and none of its writes fails."""
    with Writer(live, *APPLIED) as writer:
        result = restore(run_module, live, src)

    assert result["changed"] is True
    assert writer.transactions > 20
    assert writer.nodes == 5, "seen on the connection it had all the time"
    assert execute(live, "PRAGMA integrity_check") == [("ok",)]
    assert execute(live, "SELECT idx > 1 FROM raft_applied") == [(1,)]


def test_a_reader_keeps_its_moment_and_then_sees_the_new_content(run_module, live, src):
    with session(live) as reader:
        reader.execute("BEGIN")
        count = "SELECT count(*) FROM nodes"
        assert reader.execute(count).fetchone() == (3,)
        assert restore(run_module, live, src)["changed"] is True
        assert reader.execute(count).fetchone() == (3,)
        reader.execute("COMMIT")
        assert reader.execute(count).fetchone() == (5,)


def test_writes_that_were_not_fenced_off_are_noticed(run_module, live, src, monkeypatch):
    module = import_plugin("module_utils._sqlite.backup")

    def copied_and_written(*arguments):
        sqlite_utils.copy_online(*arguments)
        execute(live, "INSERT INTO nodes (name) VALUES ('stray')")

    monkeypatch.setattr(module, "copy_online", copied_and_written)
    result = restore(run_module, live, src)

    assert result["failed"] is True
    assert "holds other content than it was given" in result["msg"]
    assert "fence" in result["failure"]["next_step"]


def test_waiting_for_a_lock_is_bounded(run_module, live, src):
    with session(live) as holder:
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        result = restore(run_module, live, src, busy_timeout=0.3)

    assert 0.3 <= time.monotonic() - began < SQLITE3_WAITS
    assert result["failed"] is True
    assert "locked" in result["msg"]
    assert "busy_timeout" in result["failure"]["next_step"]
    assert execute(live, "SELECT count(*) FROM nodes") == [(3,)]
    assert restore(run_module, live, src)["changed"] is True


def test_another_file_than_was_sent_is_refused(run_module, live, src):
    wanted = sqlite_utils.sha256_of(src)
    flip_byte(src, src.stat().st_size - 1)
    result = restore(run_module, live, src, expected_sha256=wanted)

    assert "is not the file that was sent" in result["msg"]
    assert result["failure"]["wanted"] == wanted
    assert execute(live, "SELECT count(*) FROM nodes") == [(3,)]


@pytest.mark.parametrize("offset", [0, 100, 4096, 4099])
def test_a_flipped_byte_is_refused_without_a_checksum_too(run_module, live, src, offset):
    """In the file's header, in that of the first page and in the head of another page."""
    flip_byte(src, offset)
    result = restore(run_module, live, src)

    assert result["failed"] is True
    assert "damaged" in result["failure"]["next_step"]
    assert execute(live, "SELECT count(*) FROM nodes") == [(3,)]


def test_a_live_database_is_no_backup(run_module, live, tmp_path):
    other = make(tmp_path / "other.db")
    with session(other) as connection:
        connection.execute("INSERT INTO nodes (name) VALUES ('in the wal')")
        connection.commit()
        result = restore(run_module, live, other)

    assert "other.db-wal beside it" in result["msg"]


def test_other_page_sizes_are_refused_in_wal_mode(run_module, live, tmp_path):
    small = tmp_path / "small.db"
    with session(small) as connection:
        connection.execute("PRAGMA page_size=1024")
        connection.execute("CREATE TABLE nodes (id INTEGER PRIMARY KEY)")
    result = restore(run_module, live, small)

    assert (result["failure"]["seen"], result["failure"]["wanted"]) == (4096, 1024)
    assert execute(live, "SELECT count(*) FROM nodes") == [(3,)]


def test_a_missing_database_is_made_in_its_folder(run_module, tmp_path, src):
    new = tmp_path / "volume" / "pi.db"
    missing = restore(run_module, new, src)
    assert f"{new.parent} does not exist" in missing["msg"]

    new.parent.mkdir()
    assert restore(run_module, new, src, check_mode=True)["changed"] is True
    assert files(new.parent) == set()

    assert restore(run_module, new, src)["changed"] is True
    assert files(new.parent) == {"pi.db"}
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert restore(run_module, new, src)["changed"] is False


def test_mode_and_owner_of_a_live_database_are_kept(run_module, live, src):
    live.chmod(0o644)
    if not os.geteuid():
        os.chown(live, 12345, 12345)
    restore(run_module, live, src)

    assert stat.S_IMODE(live.stat().st_mode) == 0o644
    assert live.stat().st_uid == (os.geteuid() or 12345)


def test_a_wal_without_its_database_is_not_played_into_a_new_one(run_module, tmp_path, src):
    (tmp_path / "lost.db-wal").write_bytes(b"frames of an earlier life")
    result = restore(run_module, tmp_path / "lost.db", src)

    assert "lost.db-wal of an earlier database" in result["msg"]
    assert not (tmp_path / "lost.db").exists()


def test_check_mode_restores_nothing(run_module, live, src):
    assert restore(run_module, live, src, check_mode=True)["changed"] is True
    assert execute(live, "SELECT count(*) FROM nodes") == [(3,)]


def test_a_database_is_not_restored_from_itself(run_module, live):
    assert "the same file" in restore(run_module, live, live)["msg"]


def test_a_new_folder_is_empty_and_belongs_to_its_user(run_module, live: Path, dest: Path) -> None:
    dest.parent.mkdir(parents=True)
    (dest.parent / "pi.db-wal").write_text("of an earlier pod")
    wanted = {"new_folder": {"owner": 1500, "group": 1501}}

    result = backup(run_module, live, dest, args=wanted)

    assert result["changed"]
    assert files(dest.parent) == {"pi.db"}
    for path, mode in ((dest.parent, 0o700), (dest, 0o600)):
        assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (1500, 1501, mode)


def test_a_new_folder_in_check_mode_leaves_the_old_one(run_module, live: Path, dest: Path) -> None:
    dest.parent.mkdir(parents=True)
    (dest.parent / "kept").touch()

    result = backup(run_module, live, dest, args={"new_folder": {}}, check_mode=True)

    assert result["changed"]
    assert files(dest.parent) == {"kept"}


def test_a_new_folder_is_not_made_of_a_link(run_module, live: Path, dest: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").touch()
    dest.parent.parent.mkdir(parents=True)
    dest.parent.symlink_to(other)

    result = backup(run_module, live, dest, args={"new_folder": {}})

    assert result["failed"]
    assert str(dest.parent) in result["msg"]
    assert files(other) == {"kept"}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.failures import MigrationError
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.interface import Member
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._raft import crc64, snapshots

# Written by HashiCorp Raft's own FileSnapshotStore: three members (one without a vote), 1003 bytes.
REAL = Path(__file__).parent / "fixtures" / "filesnapshotstore"
REAL_ID = "7-1234-1795591827688"
REAL_SHA256 = "5468a18b887b0e3898c8c95adfd12ac5e4b7ef24130bf094e762fabfff5a0643"


@pytest.fixture
def raft_dir(tmp_path: Path) -> Path:
    """A copy of the real folder that a test may damage."""
    shutil.copytree(REAL, tmp_path / "raft")
    return tmp_path / "raft"


def another(raft_dir: Path, name: str, **changes) -> Path:
    """One more snapshot, made of the real one."""
    folder = raft_dir / "snapshots" / name
    shutil.copytree(raft_dir / "snapshots" / REAL_ID, folder)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "ID": name, **changes}))
    return folder


def test_reads_what_raft_wrote():
    (found,) = snapshots.list_snapshots(REAL)
    assert (found.id, found.term, found.index, found.size) == (REAL_ID, 7, 1234, 1003)
    assert found.members == (
        Member("pi-1", "10.77.0.11:9091", True),
        Member("pi-2", "10.77.0.12:9091", True),
        Member("pi-3", "10.77.0.13:9091", False),
    )
    assert snapshots.verify(found) == REAL_SHA256


@pytest.fixture(params=["liblzma", "python"])
def check_of(request, monkeypatch):
    """The check of a checksum, also as it is made where Python was built without liblzma."""
    crc64._has_liblzma.cache_clear()
    if request.param == "python":
        monkeypatch.setattr(crc64, "lzma", None)
    yield crc64.check_of
    crc64._has_liblzma.cache_clear()


def test_liblzma_is_used_where_python_has_it():
    assert crc64._has_liblzma() == (importlib.util.find_spec("_lzma") is not None)


def test_crc64_check_value(check_of):
    # The catalogue's check value of CRC-64/XZ, which is Go's ECMA table.
    for wanted, data in (("995dc9bbdf1939fa", b"123456789"), ("0" * 16, b"")):
        check = check_of(bytes.fromhex(wanted))
        check.update(data)
        assert check.holds()


@pytest.mark.parametrize("size", [0, 1, 7, 8, 65535, 65536, 65537, 200_000])
@pytest.mark.parametrize("damage", ["none", "bit", "short", "long"])
def test_crc64_holds_for_what_it_was_computed_from_alone(check_of, size, damage):
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    crc = crc64.Crc64()
    crc.update(data)
    check = check_of(crc.digest())
    changed = {
        "none": data,
        "bit": data[:-1] + bytes([data[-1] ^ 1]) if data else b"x",
        "short": data[:-1],
        "long": data + b"\0",
    }
    check.update(changed[damage])
    assert check.holds() == (changed[damage] == data)


@pytest.mark.parametrize("step", [1, 3, 8, 13, 1000])
def test_crc64_does_not_depend_on_the_chunks(check_of, step):
    state = (REAL / "snapshots" / REAL_ID / "state.bin").read_bytes()
    check = check_of(snapshots.list_snapshots(REAL)[0].crc)
    for start in range(0, len(state), step):
        check.update(state[start : start + step])
    assert check.holds()


def test_the_newest_snapshot_has_the_highest_term_then_index(raft_dir):
    another(raft_dir, "7-999-1", Index=999)
    another(raft_dir, "8-2-1", Index=2, Term=8)
    another(raft_dir, "9-9999-1.tmp", Index=9999, Term=9)
    unfinished = another(raft_dir, "9-9998-1", Index=9998, Term=9, CRC=None)
    (raft_dir / "snapshots" / "stray").write_text("")
    empty = raft_dir / "snapshots" / "9-9997-1"
    empty.mkdir()

    assert [snapshot.id for snapshot in snapshots.list_snapshots(raft_dir)] == ["8-2-1", REAL_ID, "7-999-1"]
    for folder in (unfinished, empty):
        with pytest.raises(MigrationError):
            snapshots.read_snapshot(folder)


def test_a_daemon_that_never_took_one_has_none(tmp_path):
    assert snapshots.list_snapshots(tmp_path) == []


@pytest.mark.parametrize("damage", ["bit", "short", "long", "gone"])
def test_damage_is_found(raft_dir, tmp_path, damage):
    (found,) = snapshots.list_snapshots(raft_dir)
    state = found.state.read_bytes()
    if damage == "gone":
        found.state.unlink()
    else:
        changed = {"bit": bytes([state[0] ^ 1]) + state[1:], "short": state[:-1], "long": state + b"x"}
        found.state.write_bytes(changed[damage])

    with pytest.raises(MigrationError):
        snapshots.verify(found)
    with pytest.raises(MigrationError):
        snapshots.copy(found, tmp_path / "dest")
    assert list((tmp_path / "dest").iterdir()) == [], "nothing unverified gets a name"


def test_a_copy_is_the_same_snapshot_and_private(raft_dir, tmp_path):
    (found,) = snapshots.list_snapshots(raft_dir)
    dest = tmp_path / "backup" / "raft"
    assert snapshots.copy(found, dest) == REAL_SHA256
    assert snapshots.verify(snapshots.read_snapshot(dest)) == REAL_SHA256
    modes = {path.name: path.stat().st_mode & 0o777 for path in [dest.parent, dest, *dest.iterdir()]}
    assert modes == {"backup": 0o700, "raft": 0o700, "state.bin": 0o600, "meta.json": 0o600}


def test_a_copy_replaces_an_older_one(raft_dir, tmp_path):
    (found,) = snapshots.list_snapshots(raft_dir)
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / "state.bin").write_bytes(b"older")
    snapshots.copy(found, tmp_path / "dest")
    assert (tmp_path / "dest" / "state.bin").read_bytes() == found.state.read_bytes()


def test_a_dest_that_cannot_be_written_is_named(raft_dir, tmp_path):
    (found,) = snapshots.list_snapshots(raft_dir)
    (tmp_path / "file").write_text("")
    with pytest.raises(MigrationError, match="cannot copy"):
        snapshots.copy(found, tmp_path / "file")


def of_root_alone(raft_dir):
    """The snapshot, with a mode that lets it be linked."""
    (found,) = snapshots.list_snapshots(raft_dir)
    found.state.chmod(0o600)
    return found


@pytest.mark.parametrize(("owner", "mode"), [(0, 0o644), (0, 0o640), (1500, 0o600)])
def test_a_file_of_others_is_copied_and_the_copy_is_private(raft_dir, tmp_path, owner, mode):
    found = of_root_alone(raft_dir)
    found.state.chmod(mode)
    os.chown(found.state, owner, owner)
    assert snapshots.copy(found, tmp_path / "dest", link=True) == REAL_SHA256
    kept = (tmp_path / "dest" / "state.bin").stat()
    assert (kept.st_uid, stat.S_IMODE(kept.st_mode), kept.st_nlink) == (0, 0o600, 1)
    assert stat.S_IMODE(found.state.stat().st_mode) == mode


def test_a_link_keeps_what_the_daemon_removes(raft_dir, tmp_path):
    found = of_root_alone(raft_dir)
    dest = tmp_path / "dest"
    assert snapshots.copy(found, dest, link=True) == REAL_SHA256
    assert (dest / "state.bin").samefile(found.state)
    shutil.rmtree(found.folder)
    assert snapshots.verify(snapshots.read_snapshot(dest)) == REAL_SHA256


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EPERM, errno.EMLINK], ids=["mount", "no links", "too many"])
def test_where_there_can_be_no_link_it_is_a_copy(raft_dir, tmp_path, monkeypatch, error):
    def refuses(*_args, **_options):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(snapshots.os, "link", refuses)
    found = of_root_alone(raft_dir)
    assert snapshots.copy(found, tmp_path / "dest", link=True) == REAL_SHA256
    assert not (tmp_path / "dest" / "state.bin").samefile(found.state)


def test_a_snapshot_that_is_removed_meanwhile_is_copied(raft_dir, tmp_path, monkeypatch):
    """The daemon keeps two, and takes one every half an hour by itself."""
    found = of_root_alone(raft_dir)
    link = os.link

    def removed(*args, **options):
        shutil.rmtree(found.folder)
        link(*args, **options)

    monkeypatch.setattr(snapshots.os, "link", removed)
    assert snapshots.copy(found, tmp_path / "dest", link=True) == REAL_SHA256


def test_a_damaged_state_is_not_linked(raft_dir, tmp_path):
    found = of_root_alone(raft_dir)
    state = found.state.read_bytes()
    found.state.write_bytes(bytes([state[0] ^ 1]) + state[1:])
    with pytest.raises(MigrationError):
        snapshots.copy(found, tmp_path / "dest", link=True)
    assert list((tmp_path / "dest").iterdir()) == []
    assert found.state.stat().st_nlink == 1


def test_a_link_that_a_killed_run_left_is_not_written_to(raft_dir, tmp_path):
    """It is the daemon's own file under the name of a part."""
    found = of_root_alone(raft_dir)
    dest = tmp_path / "dest"
    dest.mkdir()
    os.link(found.state, dest / ".state.bin.part")
    os.link(found.folder / "meta.json", dest / ".meta.json.part")
    assert snapshots.copy(found, dest) == REAL_SHA256
    assert snapshots.verify(found) == REAL_SHA256
    assert (found.state.stat().st_nlink, (found.folder / "meta.json").stat().st_nlink) == (1, 1)


def test_what_is_linked_is_the_file_that_was_opened(raft_dir, tmp_path, monkeypatch):
    """A daemon's user can put a link to any file in its place meanwhile."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 1003)
    found = of_root_alone(raft_dir)
    link = os.link

    def replaced(*args, **options):
        found.state.rename(found.state.with_name("kept"))
        found.state.symlink_to(secret)
        link(*args, **options)

    monkeypatch.setattr(snapshots.os, "link", replaced)
    assert snapshots.copy(found, tmp_path / "dest", link=True) == REAL_SHA256
    assert (tmp_path / "dest" / "state.bin").read_bytes() != secret.read_bytes()


@pytest.mark.parametrize("size", [1, 100, 1003, 1 << 16])
def test_the_last_bytes_are_held_back_until_all_are_checked(raft_dir, size):
    found = of_root_alone(raft_dir)
    whole = found.state.read_bytes()
    with snapshots.opened(found) as state:
        for _again in range(2):
            state.rewind()
            assert b"".join(iter(lambda: state.read(size), b"")) == whole
            assert state.verified() == REAL_SHA256
    found.state.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    given: list[bytes] = []
    with snapshots.opened(found) as state, pytest.raises(MigrationError, match="is not what"):
        given.extend(iter(lambda: state.read(size), b""))
    assert len(b"".join(given)) < len(whole)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in pieces: whole or not there, private, through no link, and never mixed of two."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import import_plugin

pieces = import_plugin("module_utils._core.pieces")
room = import_plugin("module_utils._core.room")
failures = import_plugin("module_utils._core.failures")
TEXT = b"0123456789"
SUM = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "LONGEST", 4)
    monkeypatch.setattr(pieces, "CHUNK", 4)


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return Path(tmp_path / "there/state")


def test_a_file_is_read_in_pieces_and_not_at_all_where_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(TEXT)
    sent = [pieces.read(path, offset) for offset in (0, 4, 8)]
    assert [b"".join(pieces.unpack(piece.packed, piece.length)) for piece in sent] == [b"0123", b"4567", b"89"]
    assert (pieces.read(path, 0).sha256, pieces.read(path, 0, summed=False).sha256) == (SUM, "")
    assert pieces.read(path, 0, known=SUM) == pieces.Piece(len(TEXT), SUM)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(failures.MigrationError, match="is a symbolic link"):
        pieces.read(tmp_path / "link", 0)


def test_it_appears_with_the_last_piece_and_is_private(dest: Path) -> None:
    dest.write_text("before")
    arrival = pieces.Arrival(dest, len(TEXT), SUM)
    assert not arrival.present()
    for offset in (0, 4):
        assert arrival.take([TEXT[offset : offset + 2], TEXT[offset + 2 : offset + 4]], offset) is False
        assert dest.read_text() == "before"
        assert {oct(path.stat().st_mode & 0o777) for path in dest.parent.glob(".*")} == {"0o600"}
    assert arrival.take([TEXT[8:]], 8) is True
    assert (dest.read_bytes(), oct(dest.stat().st_mode & 0o777)) == (TEXT, "0o600")
    assert arrival.present()
    assert [path.name for path in dest.parent.iterdir()] == ["state"]
    dest.chmod(0o644)
    assert not arrival.present()


@pytest.mark.parametrize(
    "sent",
    [[(b"987654", 4)], [(b"4567", 4), (b"4567", 4)], [(b"89", 8)]],
    ids=["other-content", "a-piece-twice", "a-piece-left-out"],
)
def test_what_is_not_what_was_sent_is_not_kept(dest: Path, sent: list[tuple[bytes, int]]) -> None:
    arrival = pieces.Arrival(dest, len(TEXT), SUM)
    *before, (last, at) = [(TEXT[:4], 0), *sent]
    for content, offset in before:
        arrival.take([content], offset)
    with pytest.raises(failures.MigrationError):
        arrival.take([last], at)
    assert list(dest.parent.iterdir()) == []


def test_an_attempt_that_was_cut_off_is_forgotten(dest: Path) -> None:
    pieces.Arrival(dest, 99, "0" * 64).take([b"left"], 0)
    arrival = pieces.Arrival(dest, 4, hashlib.sha256(b"good").hexdigest())
    assert arrival.take([b"good"], 0) is True
    assert [path.name for path in dest.parent.iterdir()] == ["state"]


def test_no_link_leads_elsewhere(dest: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    dest.parent.rmdir()
    dest.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(failures.MigrationError, match="is a symbolic link"):
        pieces.Arrival(dest, len(TEXT), SUM).take([TEXT], 0)
    dest.parent.unlink()
    dest.parent.mkdir()
    (tmp_path / "target").write_text("kept")
    (dest.parent / ".state.part").symlink_to(tmp_path / "target")
    assert pieces.Arrival(dest, len(TEXT), SUM).take([TEXT], 0) is True
    assert (tmp_path / "target").read_text() == "kept"


def test_p11_without_room_for_all_of_it_nothing_is_written(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon is alive on the same disk: a copy that ends with a full one takes its room as well."""
    wanted = len(TEXT) + room.SPARE_BYTES
    monkeypatch.setattr(room.os, "statvfs", lambda _folder: SimpleNamespace(f_bavail=wanted - 1, f_frsize=1))
    arrival = pieces.Arrival(dest, len(TEXT), SUM)
    with pytest.raises(failures.MigrationError) as refused:
        arrival.take([TEXT[:4]], 0)
    assert (refused.value.failure["seen"], refused.value.failure["wanted"]) == (wanted - 1, wanted)
    assert f"{dest.parent} has {wanted - 1} bytes free, {dest} needs {wanted}" in str(refused.value)
    assert "free 1 bytes there" in refused.value.full_message
    assert list(dest.parent.iterdir()) == []
    monkeypatch.setattr(room.os, "statvfs", lambda _folder: SimpleNamespace(f_bavail=wanted, f_frsize=1))
    assert arrival.take([TEXT[:4]], 0) is False
    # What has arrived takes of the room; it is not asked for twice.
    monkeypatch.setattr(room.os, "statvfs", lambda _folder: SimpleNamespace(f_bavail=wanted - 4, f_frsize=1))
    assert [arrival.take([TEXT[offset : offset + 4]], offset) for offset in (4, 8)] == [False, True]


def test_what_an_attempt_has_left_gives_its_room_first(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces.Arrival(dest, len(TEXT), SUM).take([TEXT[:4]], 0)
    wanted = len(TEXT) + room.SPARE_BYTES
    free = {True: wanted - 4, False: wanted}
    part = dest.parent / ".state.part"
    monkeypatch.setattr(room.os, "statvfs", lambda _folder: SimpleNamespace(f_bavail=free[part.exists()], f_frsize=1))
    assert pieces.Arrival(dest, len(TEXT), SUM).take([TEXT[:4]], 0) is False


def test_a_piece_is_bounded_packed_and_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 1_000_000)
    monkeypatch.setattr(pieces, "LONGEST", 5_000_000)
    monkeypatch.setattr(pieces, "CHUNK", 100_000)
    chunks = [os.urandom(100_000) for _ in range(20)]
    length, packed = pieces.pack(iter(chunks))
    assert 1_000_000 <= len(packed) < 1_500_000, "random bytes take what they are"
    assert b"".join(pieces.unpack(packed, length)) == b"".join(chunks)[:length]
    length, packed = pieces.pack(iter([b"0" * 100_000] * 60))
    assert (length, len(packed) < 50_000) == (5_000_000, True)
    parts = list(pieces.unpack(packed, length))
    assert (b"".join(parts), max(map(len, parts))) == (b"0" * 5_000_000, 100_000)


@pytest.mark.parametrize("damage", [lambda packed: packed[:-8], lambda packed: b"", lambda packed: b"?" + packed[1:]])
def test_a_piece_that_arrives_damaged_is_refused(damage: Callable[[bytes], bytes]) -> None:
    length, packed = pieces.pack([os.urandom(64)])
    with pytest.raises(failures.MigrationError, match="of a piece of 64 bytes"):
        list(pieces.unpack(damage(packed), length))

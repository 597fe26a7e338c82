# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import import_plugin

safe_open = import_plugin("module_utils._core.safe_open")


def test_m2_a_regular_file_is_opened_and_read(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    assert safe_open.read_bytes(tmp_path / "file", 7) == b"content"


def test_m2_a_file_is_found_from_a_relative_path(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"content")
    monkeypatch.chdir(tmp_path)
    assert safe_open.read_bytes(Path("file"), 7) == b"content"


def test_m8_a_file_larger_than_allowed_is_refused(tmp_path):
    os.truncate(os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY, 0o600), 1 << 40)
    with pytest.raises(safe_open.UnsafePath, match="more than 100 bytes"):
        safe_open.read_bytes(tmp_path / "file", 100)


OTHERS: dict[str, Callable[[Path], object]] = {
    "a symbolic link": lambda path: path.symlink_to("/etc/passwd"),
    "a FIFO": os.mkfifo,
    "a directory": Path.mkdir,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_m2_anything_else_is_named_and_refused_at_once(tmp_path, kind):
    OTHERS[kind](tmp_path / "other")
    with pytest.raises(safe_open.UnsafePath, match=f"other is {kind}"):
        safe_open.open_file(tmp_path / "other")


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_m2_a_link_in_any_part_of_the_path_is_refused(tmp_path, depth):
    parts = ["one", "two", "three"]
    (tmp_path / "real" / "two" / "three").mkdir(parents=True)
    whole = tmp_path.joinpath(*parts)
    at = tmp_path.joinpath(*parts[: depth + 1])
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(tmp_path / "real")
    with pytest.raises(safe_open.UnsafePath, match=f"{at} is a symbolic link"):
        safe_open.open_file(whole / "file")


def test_m2_a_missing_file_is_missing_and_not_unsafe(tmp_path):
    with pytest.raises(FileNotFoundError):
        safe_open.open_file(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        safe_open.open_file(tmp_path / "gone" / "file")


def test_m2_dots_are_refused(tmp_path):
    with pytest.raises(safe_open.UnsafePath):
        safe_open.open_file(tmp_path / "x" / ".." / "file")


def test_m2_no_descriptor_stays_open(tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("link", "gone", "gone/file"):
        with pytest.raises((safe_open.UnsafePath, FileNotFoundError)):
            safe_open.open_file(tmp_path / name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("/a/b/c", True),
        ("/a/b", False),
        ("/a/bc/d", False),
        ("/a/b/../c", False),
        ("/elsewhere", False),
        ("b/c", False),
        ("", False),
        ("/a/b/\0", False),
    ],
)
def test_m2_a_path_is_held_inside_its_folder(path, held):
    assert (safe_open.held_inside(Path("/a/b"), path) is not None) is held

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Raft folder that a pod writes to: what is in it, and what its daemon says of it, is not believed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin

failures = import_plugin("module_utils._core.failures")
snapshots = import_plugin("module_utils._raft.snapshots")

REAL = Path(__file__).parent / "fixtures" / "filesnapshotstore"
REAL_ID = "7-1234-1795591827688"
GIANT = 1 << 42


@pytest.fixture
def folder(raft_dir: Path) -> Path:
    return raft_dir / "snapshots" / REAL_ID


def declare(folder: Path, size: int) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "Size": size}))


def replace_state(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def trick(folder: Path) -> None:
        (folder / "state.bin").unlink()
        make(folder / "state.bin")

    return trick


def sparse(folder: Path) -> None:
    os.truncate(folder / "state.bin", GIANT)


def sparse_and_declared(folder: Path) -> None:
    sparse(folder)
    declare(folder, GIANT)


def whole_folder_is_a_link(folder: Path) -> None:
    real = folder.rename(folder.parents[2] / "elsewhere")
    folder.symlink_to(real)


def meta_is_endless(folder: Path) -> None:
    (folder / "meta.json").unlink()
    (folder / "meta.json").symlink_to("/dev/zero")


def meta_is_large(folder: Path) -> None:
    os.truncate(folder / "meta.json", GIANT)


def meta_is_a_fifo(folder: Path) -> None:
    (folder / "meta.json").unlink()
    os.mkfifo(folder / "meta.json")


def meta_is_deep(folder: Path) -> None:
    (folder / "meta.json").write_text("[" * 200_000)


def declares_nonsense(size: Any) -> Callable[[Path], None]:
    return lambda folder: declare(folder, size)


STATES: dict[str, Callable[[Path], None]] = {
    "/dev/zero": replace_state(lambda path: path.symlink_to("/dev/zero")),
    "a device": replace_state(lambda path: os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))),
    "a FIFO": replace_state(os.mkfifo),
    "a directory": replace_state(Path.mkdir),
    "a secret of the host": replace_state(lambda path: path.symlink_to("/etc/passwd")),
    "sparse": sparse,
    "sparse and declared": sparse_and_declared,
    "a linked folder": whole_folder_is_a_link,
    "declared shorter": declares_nonsense(1002),
    "declared longer": declares_nonsense(GIANT),
    "declared negative": declares_nonsense(-1),
}
METAS = {
    "endless": meta_is_endless,
    "large": meta_is_large,
    "a FIFO": meta_is_a_fifo,
    "deep": meta_is_deep,
    "declares a word": declares_nonsense("much"),
    "declares a list": declares_nonsense([1003]),
}


@pytest.fixture
def bounded() -> Iterator[None]:
    """A read that does not end, or takes all memory, fails here rather than with the machine."""
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, before[1]))

    def ended(*_: Any) -> None:
        raise AssertionError("still reading")

    handler = signal.signal(signal.SIGALRM, ended)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("trick", STATES)
@pytest.mark.parametrize("action", ["verify", "copy"])
def test_m8_a_state_is_a_regular_file_of_the_declared_size(folder, tmp_path, trick, action):
    if trick == "a device" and os.geteuid():
        pytest.skip("making a device needs root")
    declared_before = snapshots.read_snapshot(folder)
    STATES[trick](folder)

    def act() -> None:
        # What was a folder when its meta was read is a link when its state is.
        found = declared_before if trick == "a linked folder" else snapshots.read_snapshot(folder)
        if action == "verify":
            snapshots.verify(found)
        else:
            snapshots.copy(found, tmp_path / "dest")

    with pytest.raises(failures.MigrationError) as refused:
        act()
    assert refused.value.failure["next_step"]
    dest = tmp_path / "dest"
    assert not dest.exists() or list(dest.iterdir()) == []


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("trick", METAS)
def test_m8_a_meta_that_no_daemon_writes_is_no_snapshot(raft_dir, folder, trick):
    METAS[trick](folder)
    with pytest.raises(failures.MigrationError):
        snapshots.read_snapshot(folder)
    assert snapshots.list_snapshots(raft_dir) == []


def test_m8_a_state_that_grows_while_it_is_read_is_read_no_further(folder, tmp_path, monkeypatch):
    """The size is looked at first; what a pod appends then is not copied."""
    read: list[int] = []
    open_state = snapshots.open_state

    def grows(snapshot: Any, path: Path | None) -> Any:
        source = open_state(snapshot, path)
        with snapshot.state.open("ab") as file:
            file.write(b"x" * (1 << 20))
        whole = source.read

        def counted(size: int) -> bytes:
            chunk = whole(size)
            read.append(len(chunk))
            return chunk

        source_read = type(
            "Counted",
            (),
            {"read": staticmethod(counted), "__enter__": lambda self: self, "__exit__": lambda *_: source.close()},
        )
        return source_read()

    monkeypatch.setattr(snapshots, "open_state", grows)
    with pytest.raises(failures.MigrationError, match="is not what meta.json says"):
        snapshots.copy(snapshots.read_snapshot(folder), tmp_path / "dest")
    assert sum(read) == 1004


def test_m8_a_disk_without_room_is_noticed_before_the_first_byte(folder, tmp_path, monkeypatch):
    import types

    monkeypatch.setattr(snapshots.os, "statvfs", lambda _path: types.SimpleNamespace(f_bavail=1, f_frsize=4096))
    with pytest.raises(failures.MigrationError, match="bytes free"):
        snapshots.copy(snapshots.read_snapshot(folder), tmp_path / "dest")


# --- M2: where the daemon says that its snapshot is


def answers(raft_dir: Path, name: Any, path: Any) -> Callable[..., Any]:
    return lambda _node, _method, call: (
        (200, {"id": name, "index": 9, "term": 7, "size": 1003, "path": path}) if call == "snapshot" else None
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A good snapshot, but of another daemon."""
    return shutil.copytree(REAL / "snapshots" / REAL_ID, tmp_path / "elsewhere" / "snapshots" / "7-1-1")


@pytest.mark.parametrize("named", ["path", "climbing path", "id", "absolute id", "linked", "not a text", "below"])
def test_m2_a_snapshot_is_taken_from_the_raft_folder_alone(run_module, cluster, raft_dir, elsewhere, tmp_path, named):
    name, path = "7-1-1", None
    base = raft_dir / "snapshots"
    if named == "path":
        path = str(elsewhere)
    elif named == "climbing path":
        path = f"{base}/../../elsewhere/snapshots/7-1-1"
    elif named == "id":
        name = "../../elsewhere/snapshots/7-1-1"
    elif named == "absolute id":
        name = str(elsewhere)
    elif named == "linked":
        (base / name).symlink_to(elsewhere)
    elif named == "below":
        shutil.copytree(elsewhere, base / REAL_ID / "deeper")
        name, path = "deeper", f"{base}/{REAL_ID}/deeper"
    else:
        name, path = ["7-1-1"], {"/": elsewhere.name}  # type: ignore[assignment]
    cluster.before_change = answers(raft_dir, name, path)
    args = {"url": cluster.urls[0], "raft_dir": str(raft_dir), "dest": str(tmp_path / "dest")}
    result = run_module("raft_snapshot", args)

    assert result["failed"] is True
    assert result["failure"]["next_step"]
    assert not (tmp_path / "dest" / "state.bin").exists()


def test_m2_a_state_to_restore_is_a_regular_file(run_module, cluster, tmp_path):
    link = tmp_path / "state.bin"
    link.symlink_to(REAL / "snapshots" / REAL_ID / "state.bin")
    os.mkfifo(tmp_path / "fifo")
    for src in (link, tmp_path / "fifo"):
        result = run_module(
            "raft_snapshot", {"state": "restored", "urls": cluster.urls, "src": str(src), "wait_leader": 1}
        )
        assert result["failed"] is True
        assert "is a " in result["msg"]
    assert cluster.changes == []

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT, COLLECTION


@pytest.fixture
def src(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "state").write_text("kept")
    return folder


@pytest.fixture
def move(run_module, src, tmp_path):
    def run(check_mode: bool = False, **args):
        given = {"src": str(src), "dest": str(tmp_path / "archive"), **args}
        return run_module("folder_move", given, check_mode=check_mode, diff=True)

    return run


def test_check_mode_predicts_the_move(move, src, tmp_path):
    predicted = move(check_mode=True)
    assert src.exists()
    done = move()
    assert predicted == done
    assert done["changed"] is True
    assert done["diff"] == {"before": {"path": str(src)}, "after": {"path": str(tmp_path / "archive")}}
    assert not src.exists()
    assert (tmp_path / "archive" / "state").read_text() == "kept"
    assert (tmp_path / "archive").stat().st_mode & 0o777 == 0o700


def test_a_second_time_changes_nothing(move):
    move()
    again = move()
    assert (again["changed"], again["found"]) == (False, True)


def test_two_folders_are_never_merged(move, src, tmp_path):
    (tmp_path / "archive").mkdir()
    result = move()
    assert result["failed"] is True
    assert "both exist" in result["msg"]
    assert (src / "state").exists()


def test_no_folder_at_all(move, src, tmp_path):
    (src / "state").unlink()
    src.rmdir()
    assert "neither" in move()["msg"]
    assert move(required=False)["found"] is False


@pytest.mark.parametrize("name", ["../elsewhere", "missing/archive"])
def test_an_invalid_path(move, src, tmp_path, name):
    result = move(dest=f"{tmp_path}/{name}")
    assert result["failed"] is True
    assert (src / "state").exists()


def test_a_link_is_not_followed(move, src, tmp_path):
    real = tmp_path / "real"
    src.rename(real)
    src.symlink_to(real)
    assert "symbolic link" in move()["msg"]
    assert (real / "state").exists()


def test_another_file_system_is_refused(move, src):
    other = Path("/dev/shm")
    if other.stat().st_dev == src.stat().st_dev:
        pytest.fail("this test needs /dev/shm to be a file system of its own")
    result = move(dest=str(other / "pi-controller-folder-move-test"))
    assert "different file systems" in result["msg"]
    assert (src / "state").exists()


@pytest.mark.parametrize("end", ["src", "dest"])
def test_m2_a_link_in_any_part_of_a_path_is_not_followed(move, src, tmp_path, end):
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "linked").symlink_to(real)
    if end == "src":
        inside = src.rename(real / "data")
        result = move(src=str(tmp_path / "linked" / "data"))
    else:
        inside = src
        result = move(dest=str(tmp_path / "linked" / "archive"))
    assert result["failed"] is True
    assert "linked is a symbolic link" in result["msg"]
    assert (inside / "state").exists()


# A bind mount of the same file system: its device number gives nothing away.
BIND = (
    'mkdir -p "$1/elsewhere" "$1/data/inner" && mount --bind "$1/elsewhere" "$1/{}" && exec "$2" -m "$3" "$1/args.json"'
)


@pytest.fixture
def move_mounted(src, tmp_path):
    """The module in a mount namespace of its own, with something mounted on the folder, in it, or beside it."""

    def run(where, **args):
        given = {"src": str(src), "dest": str(tmp_path / "archive"), **args}
        (tmp_path / "args.json").write_text(json.dumps({"ANSIBLE_MODULE_ARGS": given}))
        (tmp_path / "parent").mkdir(exist_ok=True)
        script = [
            "sh",
            "-c",
            BIND.format(where),
            "sh",
            str(tmp_path),
            sys.executable,
            f"{COLLECTION}.plugins.modules.folder_move",
        ]
        command = ["unshare", "--mount", "--propagation", "private", *script]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / ".collections")}
        done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=60, check=False)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize(
    ("where", "seen"), [("data", "data is a mount point"), ("data/inner", "contains the mount point")]
)
def test_p6_a_mounted_folder_is_refused_or_kept_where_it_is(move_mounted, src, where, seen):
    refused = move_mounted(where)
    assert refused["failed"] is True
    assert seen in refused["msg"]
    assert "findmnt" in refused["msg"]
    kept = move_mounted(where, keep_mounted=True)
    assert (kept["changed"], kept["found"], kept["folder"]) == (False, True, str(src))
    assert seen in kept["kept"]
    assert (src / "state").read_text() == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_p6_a_rename_into_a_bind_mount_is_refused(move_mounted, src, tmp_path):
    result = move_mounted("parent", dest=str(tmp_path / "parent/archive"))
    assert result["failed"] is True
    assert "different file systems" in result["msg"]
    assert (src / "state").exists()


def test_p6_a_folder_without_mounts_is_moved_as_ever(move, src):
    result = move(keep_mounted=True)
    assert (result["changed"], result["kept"]) == (True, None)
    assert not src.exists()

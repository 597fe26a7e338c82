# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is removed, and what is never removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin

removal = import_plugin("module_utils._core.removal")
ASIDE = ("pods.rolled-back.20260102T030405Z", "archive.rolled-back.20260102T030405Z")
COPIES = tuple(f"backup/{name}" for name in ("prepare", "trial", "transfer", "cutover", "cleanup", "rollback"))
KEPT = ("data", "backup/journal.m-1.json", "backup/pi-controller.service")


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """A Pi whose migration was rolled back."""
    root = tmp_path / "pi"
    for name in ("data", *ASIDE, *COPIES):
        (root / name).mkdir(parents=True)
        (root / name / "pi-controller.db").write_bytes(b"x" * 10000)
    for name in (
        "backup/journal.m-1.json",
        "backup/pi-controller.service",
        "backup/rollback.state",
        "backup/cutover.pi-controller.db",
    ):
        (root / name).write_text("{}")
    return root


@pytest.fixture
def clean(run_module: Any, pi: Path) -> Callable[..., dict[str, Any]]:
    def run(check_mode: bool = False) -> dict[str, Any]:
        names = {"data_dir": "data", "pod_data_dir": "pods", "backup_path": "backup", "archive_path": "archive"}
        names["database"] = "data/pi-controller.db"
        return run_module(
            "migration_leftovers", {option: str(pi / name) for option, name in names.items()}, check_mode=check_mode
        )

    return run


def journal(pi: Path, **phases: str) -> None:
    entries: dict[str, Any] = {
        name: {"state": state, "started": None, "finished": None, "facts": {}} for name, state in phases.items()
    }
    (pi / "backup/journal.json").write_text(
        json.dumps({"format": 1, "migration_id": "m-2", "phases": entries, "events": []})
    )


def test_a_run_that_begins_meanwhile_keeps_what_is_its_own(clean, pi, monkeypatch) -> None:
    """Each removal may take seconds, and no lock keeps a run out."""
    remove, removed = removal.remove, []

    def begins(path: Path) -> None:
        removed.append(path)
        remove(path)
        journal(pi, prepare="started")

    monkeypatch.setattr(removal, "remove", begins)
    result = clean()
    assert result["failed"] is True
    assert "a migration has begun on this Pi meanwhile" in result["msg"]
    assert len(removed) == 1
    assert (pi / "backup/prepare").exists()


def everything(pi: Path) -> list[str]:
    return sorted(str(path.relative_to(pi)) for path in pi.rglob("*"))


def test_p11_what_a_rolled_back_run_left_is_listed_and_then_removed(clean, pi):
    before = everything(pi)
    listed = clean(check_mode=True)
    assert everything(pi) == before
    names = {str(Path(entry["path"]).relative_to(pi)) for entry in listed["removed"]}
    assert names == {*ASIDE, *COPIES, "backup/rollback.state", "backup/cutover.pi-controller.db"}
    assert listed["bytes"] >= 6 * 10000

    assert clean()["removed"] == listed["removed"]
    assert all((pi / name).exists() for name in KEPT)
    assert not any((pi / name).exists() for name in names)
    assert clean()["changed"] is False


def test_d1_configuration_files_go_with_the_run_and_not_before(clean, pi):
    (pi / "pods.config").mkdir()
    (pi / "pods.config" / "standard.yaml").write_text("{}")
    journal(pi, prepare="done")
    assert str(pi / "pods.config") not in {entry["path"] for entry in clean()["removed"]}
    (pi / "backup/journal.json").unlink()
    assert str(pi / "pods.config") in {entry["path"] for entry in clean()["removed"]}
    assert not (pi / "pods.config").exists()


@pytest.mark.parametrize("state", ["started", "failed", "done"])
def test_p11_nothing_is_removed_in_a_rollback(clean, pi, state):
    journal(pi, cutover="done", rollback=state)
    before = everything(pi)
    result = clean()
    assert result["failed"] is True
    assert "finish it first with the playbook rollback" in result["msg"]
    assert everything(pi) == before


@pytest.mark.parametrize("phases", [{"prepare": "started"}, {"prepare": "done", "cleanup": "done"}])
def test_p11_what_a_rollback_needs_stays(clean, pi, phases):
    journal(pi, **phases)
    (pi / "archive").mkdir()
    (pi / "pods").mkdir()
    removed = {str(Path(entry["path"]).relative_to(pi)) for entry in clean()["removed"]}
    assert removed == set(ASIDE)
    assert all((pi / name).exists() for name in (*KEPT, *COPIES, "archive", "pods"))


def test_p11_without_the_units_data_nothing_is_removed(clean, pi):
    (pi / "data").rename(pi / "elsewhere")
    before = everything(pi)
    assert "may be the only copy" in clean()["msg"]
    assert everything(pi) == before


@pytest.mark.parametrize("check_mode", [True, False])
def test_without_the_units_database_nothing_is_removed(clean, pi, check_mode):
    """A mount point is a folder, too, while its disk is not mounted."""
    (pi / "data/pi-controller.db").unlink()
    before = everything(pi)
    result = clean(check_mode=check_mode)
    assert result["failed"] is True
    assert "may be the only copy" in result["msg"]
    assert f"mount what belongs at {pi / 'data'}" in result["failure"]["next_step"]
    assert everything(pi) == before


def test_p11_links_are_not_followed(clean, pi, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    (pi / ASIDE[0] / "link").symlink_to(outside)
    (pi / "archive.rolled-back.2").symlink_to(outside)
    before = everything(pi)
    # A link in the place of a folder is the work of others: all is left as it is.
    assert clean()["failed"] is True
    assert everything(pi) == before
    (pi / "archive.rolled-back.2").unlink()
    clean()
    assert (outside / "file").read_text() == "kept"
    assert not (pi / ASIDE[0]).exists()


@pytest.fixture
def remove(run_module: Any) -> Callable[..., dict[str, Any]]:
    def run(path: Path, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return run_module("folder_remove", {"path": str(path), **options}, check_mode=check_mode, diff=True)

    return run


def test_a7_an_archive_is_emptied_and_keeps_its_owner(remove, pi):
    archive = pi / ASIDE[1]
    archive.chmod(0o750)
    predicted = remove(archive, check_mode=True, keep_folder=True)
    assert (archive / "pi-controller.db").exists()
    assert remove(archive, keep_folder=True) == predicted
    assert predicted["bytes"] >= 10000
    assert list(archive.iterdir()) == []
    assert archive.stat().st_mode & 0o777 == 0o750
    assert remove(archive, keep_folder=True)["changed"] is False
    assert remove(archive)["changed"] is True
    assert not archive.exists()
    assert remove(archive)["changed"] is False


@pytest.mark.parametrize("path", ["/", "/var", "relative"])
def test_a7_no_folder_of_the_system_is_removed(remove, path):
    # In check mode: this must not be what finds out.
    assert remove(Path(path), check_mode=True)["failed"] is True

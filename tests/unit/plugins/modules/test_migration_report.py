# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import report_inputs as given
from conftest import import_plugin

status_of = import_plugin("module_utils._report.status")
RunModule = Callable[..., dict[str, Any]]


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    watch = tmp_path / "watch"
    watch.mkdir()
    looks = given.samples()
    # The watch moves the samples of an earlier run aside; a migration run tag by tag has several.
    (watch / "samples-20260921T141500Z.jsonl").write_text("".join(json.dumps(one) + "\n" for one in looks[:100]))
    (watch / "samples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in looks[100:]) + '{"at": 17900')
    (watch / "alerts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in given.alert()))
    hosts = given.migrated()
    status = status_of.assemble_status(hosts, given.kube(mode="pods"), given.CONFIG, given.BEGAN + 140)
    return {"status": status, "hosts": hosts, "config": given.CONFIG, "watch_dir": str(watch), "dest": str(tmp_path / "state" / "reports")}


def test_report_and_json_are_private_and_say_the_same(run_module: RunModule, arguments: dict[str, Any]) -> None:
    result = run_module("migration_report", arguments)
    assert result["changed"]
    folder = Path(result["path"])
    assert folder.name.endswith("Z-migrated")
    assert [oct(path.stat().st_mode & 0o777) for path in (folder.parent.parent, folder.parent, folder)] == ["0o700"] * 3
    files = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}
    assert files == {"migration-report.html": "0o600", "migration-report.json": "0o600"}
    report = json.loads((folder / "migration-report.json").read_text())
    assert report["figures"] == result["figures"]
    assert report["figures"]["quorum_samples"] == sum(look["quorum"] is not None for look in given.samples())
    assert report["figures"]["alerts"] == 1
    assert result["verdict"]["headline"] in (folder / "migration-report.html").read_text()


def test_a_second_report_of_the_same_second_takes_no_ones_place(
    run_module: RunModule, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: given.BEGAN + 150)
    first, second = (run_module("migration_report", arguments)["path"] for _attempt in range(2))
    assert first != second
    assert Path(first).is_dir()
    assert Path(second).is_dir()


def test_check_mode_writes_nothing(run_module: RunModule, arguments: dict[str, Any]) -> None:
    result = run_module("migration_report", arguments, check_mode=True)
    assert result["changed"]
    assert not Path(arguments["dest"]).exists()


def test_junit_and_metrics_on_demand(run_module: RunModule, arguments: dict[str, Any], tmp_path: Path) -> None:
    extra = {"junit": str(tmp_path / "ci" / "checks.xml"), "prometheus": str(tmp_path / "textfile" / "migration.prom")}
    run_module("migration_report", {**arguments, **extra})
    assert "<testsuites" in Path(extra["junit"]).read_text()
    assert "pi_controller_migration_info" in Path(extra["prometheus"]).read_text()
    assert Path(extra["prometheus"]).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("migrated", "migrated"),
        ("rolled_back", "rolled_back"),
        ("failed", "failed"),
        ("interrupted", "failed"),
        ("paused", "paused"),
        ("running", "paused"),
    ],
)
def test_the_outcome_follows_the_status(run_module: RunModule, arguments: dict[str, Any], state: str, outcome: str) -> None:
    arguments["status"]["state"] = state
    assert run_module("migration_report", arguments)["outcome"] == outcome


def test_a_verdict_that_is_none_is_refused(run_module: RunModule, arguments: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text("[]")
    result = run_module("migration_report", {**arguments, "witness_verdict": str(tmp_path / "verdict.json")})
    assert result["failed"]
    assert "no verdict of a witness" in result["msg"]
    assert not Path(arguments["dest"]).exists()

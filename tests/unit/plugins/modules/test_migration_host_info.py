# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import report_inputs as given
from conftest import import_plugin
from hostile import HostileDaemon, echo_token

RunModule = Callable[..., dict[str, Any]]
TOOLS = {
    "systemctl": "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nMainPID=7\nNRestarts=0\n",
}


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, str, str]]:
    """What the programs of the Pi say; a test may change it, or take a program away."""
    reported = {name: (0, out, "") for name, out in TOOLS.items()}
    reported["nft"] = (1, "", "Error: No such file or directory")
    basic = "ansible.module_utils.basic.AnsibleModule"
    monkeypatch.setattr(
        f"{basic}.get_bin_path", lambda _self, name, *_args, **_more: f"/sbin/{name}" if name in reported else None
    )
    monkeypatch.setattr(f"{basic}.run_command", lambda _self, command, **_more: reported[Path(command[0]).name])
    return reported


@pytest.fixture(autouse=True)
def held_by(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Whose the fake daemon's port is: it is this very process, which no unit and no pod has started."""
    reported = {"owner": "unit"}
    procfs = import_plugin("module_utils._core.procfs")
    monkeypatch.setattr(procfs, "owner_of", lambda *_args: reported["owner"])
    return reported


@pytest.fixture
def arguments(tmp_path: Path, cluster: Any) -> dict[str, Any]:
    return {
        "urls": cluster.urls[:1],
        "backup_path": str(tmp_path / "backups"),
        "paths": {"here": str(tmp_path), "gone": "/nowhere"},
    }


@pytest.mark.usefixtures("tools")
def test_an_untouched_pi(run_module: RunModule, arguments: dict[str, Any]) -> None:
    result = run_module("migration_host_info", arguments)
    assert not result["changed"]
    assert result["faults"] == []
    assert (result["journal"], result["last_journal"], result["manifest"], result["backups"]) == (None, None, None, [])
    assert result["gate"] == {"state": "open", "forward_to": None}
    assert result["unit"]["active"] == "active"
    assert result["paths"] == {"here": True, "gone": False}
    daemon = result["daemons"][0]
    assert daemon["answers"]
    assert [member["ID"] for member in daemon["status"]["members"]] == ["n1", "n2", "n3"]
    assert daemon["held_by"] == "unit"


@pytest.mark.usefixtures("tools")
def test_the_content_of_each_database_that_is_there(
    run_module: RunModule, arguments: dict[str, Any], tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "pods.db") as database:
        database.execute("CREATE TABLE nodes (name TEXT)")
        database.execute("INSERT INTO nodes VALUES ('n1')")
        database.execute("CREATE TABLE applied (idx INTEGER)")
    (tmp_path / "broken.db").write_text("no database at all, and long enough to be taken for one")
    paths = {name: str(tmp_path / f"{name}.db") for name in ("pods", "broken", "gone")}
    result = run_module("migration_host_info", {**arguments, "databases": paths, "exclude_tables": ["applied"]})
    contents = result["contents"]
    assert set(contents) == {"pods", "broken"}
    assert {name: table["rows"] for name, table in contents["pods"]["tables"].items()} == {"nodes": 1}
    assert (
        contents["pods"]["digest"]
        == run_module("sqlite_info", {"path": paths["pods"], "exclude_tables": ["applied"]})["digest"]
    )
    assert set(contents["broken"]) == {"error"}


@pytest.mark.usefixtures("tools")
def test_h1_the_token_goes_to_the_unit_and_to_a_pod_only(
    run_module: RunModule, arguments: dict[str, Any], held_by: dict[str, Any]
) -> None:
    for owner in ("other", "unit", "pod"):
        held_by["owner"] = owner
        with HostileDaemon(echo_token) as stranger:
            result = run_module("migration_host_info", {**arguments, "urls": [stranger.url], "token": "pl4nted-token"})
        assert bool(stranger.requests) == (owner != "other")
        assert "pl4nted" not in json.dumps(result["daemons"])
        if owner == "other":
            assert f"not asked: port {stranger.port} is held by" in result["daemons"][0]["error"]
            assert result["listeners"][str(stranger.port)]["held_by"] == "other"


@pytest.mark.usefixtures("tools")
def test_journal_backups_and_the_journal_put_aside(run_module: RunModule, arguments: dict[str, Any]) -> None:
    folder = Path(arguments["backup_path"])
    (folder / "prepare").mkdir(parents=True)
    (folder / "journal.json").write_text(json.dumps(given.journal("transfer")))
    (folder / "journal.m0.json").write_text(json.dumps({**given.journal("cutover"), "migration_id": "m0"}))
    (folder / "prepare/pi-controller.db").write_text("x")
    (folder / "prepare/manifest.json").write_text('{"host": "pi-1"}')
    result = run_module("migration_host_info", arguments)
    assert result["journal"]["migration_id"] == "m1"
    assert result["last_journal"]["migration_id"] == "m0"
    assert result["manifest"] == {"host": "pi-1"}
    assert {Path(backup["path"]).name for backup in result["backups"]} == {"pi-controller.db", "manifest.json"}


@pytest.mark.usefixtures("tools")
def test_what_cannot_be_read_is_named_and_hides_nothing_else(run_module: RunModule, arguments: dict[str, Any]) -> None:
    folder = Path(arguments["backup_path"])
    folder.mkdir()
    (folder / "journal.json").write_text("{")
    result = run_module("migration_host_info", {**arguments, "urls": ["http://127.0.0.1:1"]})
    assert len(result["faults"]) == 1
    assert "journal.json cannot be used" in result["faults"][0]
    assert (result["daemons"][0]["answers"], result["daemons"][0]["held_by"]) == (False, None)
    assert "not asked: port 1 is free" in result["daemons"][0]["error"]
    assert result["unit"]["active"] == "active"


def test_a_gate_that_cannot_be_read_is_unknown_and_not_open(
    run_module: RunModule, arguments: dict[str, Any], tools: dict[str, Any]
) -> None:
    tools["nft"] = (1, "", "Operation not permitted (you must be root)")
    assert run_module("migration_host_info", arguments)["gate"]["state"] == "unknown"
    del tools["nft"]
    result = run_module("migration_host_info", arguments)
    assert result["gate"]["state"] == "unknown"
    assert "nft is not installed on this Pi, the gate cannot be read or set" in result["faults"]


def test_an_invalid_url_is_refused(run_module: RunModule, arguments: dict[str, Any]) -> None:
    assert run_module("migration_host_info", {**arguments, "urls": ["8080"]})["failed"]

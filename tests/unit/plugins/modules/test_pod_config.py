# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic

SECRET = "planted-secret"
SOURCE = f"""\
api:
  host: 0.0.0.0
  port: 8080
auth:
  token: {SECRET}
cluster:
  enabled: true
  bind_addr: 10.0.0.1:9091
websocket:
  port: 8081
"""
VARIABLES = {
    "PI_CONTROLLER_WEBSOCKET_PORT": "8084",
    "PI_CONTROLLER_AUTH_PASSWORD": "another-secret",
    "PI_CONTROLLER_WEBUI_ENABLED": "false",
}


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "config.yaml").write_text(SOURCE)
    return {
        "src": str(tmp_path / "config.yaml"),
        "dest": str(tmp_path / "pods.config"),
        "address": "10.0.0.1",
        "data_dir": "/var/lib/pi-controller",
        "temporary_ports": {"rest": 8082, "grpc": 9093, "raft": 9092},
        "standard_ports": {"rest": 8080, "grpc": 9090, "raft": 9091},
        "environments": json.dumps({"temporary": VARIABLES, "standard": {}}),
    }


def test_d1_each_state_has_a_whole_file(run_module: Callable[..., dict[str, Any]], options: dict[str, Any]) -> None:
    result = run_module("pod_config", options)
    assert result["changed"] is True
    found = {path.stem: yaml.safe_load(path.read_text()) for path in map(Path, result["files"])}
    assert set(found) == {"temporary", "standard"}
    for name, (rest, raft, websocket) in {"temporary": (8082, 9092, 8084), "standard": (8080, 9091, 8081)}.items():
        tree = found[name]
        assert (tree["api"]["port"], tree["websocket"]["port"]) == (rest, websocket)
        assert (tree["cluster"]["bind_addr"], tree["cluster"]["bootstrap"]) == (f"10.0.0.1:{raft}", False)
        assert tree["cluster"]["data_dir"] == "/var/lib/pi-controller/raft"
        assert (tree["api"]["host"], tree["auth"]["token"], tree["cluster"]["enabled"]) == ("0.0.0.0", SECRET, True)
    assert found["temporary"]["webui"] == {"enabled": False}
    assert run_module("pod_config", options)["changed"] is False


def test_d1_only_a_first_start_beside_the_unit_starts_a_cluster(
    run_module: Callable[..., dict[str, Any]], options: dict[str, Any]
) -> None:
    for bootstrap in (True, False):
        result = run_module("pod_config", {**options, "bootstrap": bootstrap})
        found = [yaml.safe_load(Path(file).read_text())["cluster"]["bootstrap"] for file in sorted(result["files"])]
        assert found == [False, bootstrap], "standard.yaml, temporary.yaml"


def test_d1_the_files_are_private_and_shown_without_secrets(
    run_module: Callable[..., dict[str, Any]], options: dict[str, Any]
) -> None:
    predicted = run_module("pod_config", options, check_mode=True)
    assert predicted["changed"] is True
    assert not Path(options["dest"]).exists()
    result = run_module("pod_config", options)
    assert Path(options["dest"]).stat().st_mode & 0o7777 == 0o700
    assert {path.stat().st_mode & 0o7777 for path in Path(options["dest"]).iterdir()} == {0o600}
    assert predicted["diff"] == result["diff"]
    shown = json.dumps(result)
    assert "api.port: 8082" in shown
    assert "auth.password: (set)" in shown
    assert SECRET not in shown
    assert "another-secret" not in shown


def test_d1_a_file_that_others_can_read_is_written_again(
    run_module: Callable[..., dict[str, Any]], options: dict[str, Any]
) -> None:
    path = Path(run_module("pod_config", options)["files"][0])
    path.chmod(0o644)
    assert run_module("pod_config", options)["changed"] is True
    assert path.stat().st_mode & 0o7777 == 0o600


def test_d10_an_address_of_ipv6_is_bracketed(
    run_module: Callable[..., dict[str, Any]], options: dict[str, Any]
) -> None:
    path = Path(run_module("pod_config", {**options, "address": "fd00::1"})["files"][0])
    assert yaml.safe_load(path.read_text())["cluster"]["bind_addr"] == "[fd00::1]:9092"


def test_d1_a_file_that_cannot_be_changed_is_refused_unseen(
    run_module: Callable[..., dict[str, Any]], options: dict[str, Any]
) -> None:
    Path(options["src"]).write_text(f"api: {{port: 1, key: {SECRET}}}\n")
    result = run_module("pod_config", options)
    assert result["failed"] is True
    assert "line 1" in result["msg"]
    assert SECRET not in json.dumps(result)


def test_d7_the_files_are_the_pods_users_and_the_folder_is_roots(
    run_module: Callable[..., dict[str, Any]], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may put files into a folder that root writes to could have it write through a link."""
    given: list[tuple[str, int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        os, "chown", lambda path, user, group, follow_symlinks: given.append((Path(path).name, user, group))
    )
    run_module("pod_config", {**options, "owner": 4711, "group": 4712})
    assert given[0] == ("pods.config", 0, 4712)
    assert given[1:] == [("temporary.yaml.tmp", 4711, 4712), ("standard.yaml.tmp", 4711, 4712)]
    assert Path(options["dest"]).stat().st_mode & 0o7777 == 0o710


def test_values_of_variables_are_not_logged_on_the_pi(
    run_module: Callable[..., dict[str, Any]], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are they in what -vvv shows. Nothing else is left out of it: a port and a `false` are in many places."""
    logged: list[str] = []
    monkeypatch.setattr(basic, "has_journal", False)
    monkeypatch.setattr(basic.AnsibleModule, "_log_to_syslog", lambda _module, text: logged.append(text))
    variables = {**VARIABLES, "PI_CONTROLLER_LOG_LEVEL": "8082", "PI_CONTROLLER_GPIO_ENABLED": "true"}
    given = {**options, "environments": json.dumps({"temporary": variables}), "_ansible_inject_invocation": True}
    result = run_module("pod_config", given)
    assert options["address"] in "".join(logged), "the parameters are logged"
    assert "another-secret" not in "".join(logged)
    assert "another-secret" not in json.dumps(result)
    assert "********" not in json.dumps(result)
    assert "websocket.port: (set)" in result["diff"][0]["after"]
    assert "api.port: 8082" in result["diff"][0]["after"]
    assert result["invocation"]["module_args"]["bootstrap"] is False
    assert yaml.safe_load(Path(result["files"][0]).read_text())["auth"]["password"] == "another-secret"


@pytest.mark.parametrize(
    "text", ["another-secret", '["another-secret"]', '{"other": {}}', '{"standard": "another-secret"}']
)
def test_variables_in_another_form_are_refused_unseen(
    run_module: Callable[..., dict[str, Any]], options: dict[str, Any], text: str
) -> None:
    result = run_module("pod_config", {**options, "environments": text})
    assert result["failed"] is True
    assert "to_json" in result["msg"]
    assert "another-secret" not in json.dumps(result)
    assert not Path(options["dest"]).exists()


@pytest.mark.parametrize("above", ["", "above/"])
def test_the_pods_folder_is_made_for_the_pods_user(
    run_module: Callable[..., dict[str, Any]], options: dict[str, Any], tmp_path: Path, above: str
) -> None:
    folder = tmp_path / f"{above}pods"
    user, group = tmp_path.stat().st_uid, tmp_path.stat().st_gid
    given = {**options, "pods_folder": {"path": str(folder), "owner": user, "group": group}}
    assert run_module("pod_config", given, check_mode=True)["changed"] is True
    assert not folder.exists()
    assert run_module("pod_config", given)["changed"] is True
    assert (folder.stat().st_mode & 0o777, folder.stat().st_uid, folder.stat().st_gid) == (0o700, user, group)
    assert run_module("pod_config", given)["changed"] is False
    (folder / "pi-controller.db").write_text("kept")
    folder.chmod(0o755)
    assert run_module("pod_config", given, check_mode=True)["changed"] is True
    assert run_module("pod_config", given)["changed"] is True
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "pi-controller.db").read_text() == "kept"


def test_folders_above_the_pods_stay_roots(
    run_module: Callable[..., dict[str, Any]],
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its user could put others in the place of what root has there. It can enter them, whatever the umask is."""
    given: list[tuple[str, int, int]] = []
    monkeypatch.setattr(os, "lchown", lambda path, user, group: given.append((os.fsdecode(path), user, group)))
    folder = tmp_path / "root/above/pods"
    before = os.umask(0o077)
    try:
        run_module("pod_config", {**options, "pods_folder": {"path": str(folder), "owner": 4711, "group": 4712}})
    finally:
        os.umask(before)
    assert given == [(str(folder), 4711, -1), (str(folder), -1, 4712)]
    assert {path.stat().st_mode & 0o777 for path in folder.parents[:2]} == {0o755}
    assert folder.stat().st_mode & 0o777 == 0o700

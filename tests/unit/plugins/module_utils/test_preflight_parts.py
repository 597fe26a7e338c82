# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One module reads the Pi, its daemon's data and the cluster; each part fails on its own, with the row that it always had."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT, import_plugin
from preflight_world import HOSTS, healthy, owner, settings

module = import_plugin("modules.preflight_host")
failures = import_plugin("module_utils._core.failures")
read_host = import_plugin("module_utils._preflight.read_host")
read_data = import_plugin("module_utils._preflight.read_data")
judge = import_plugin("module_utils._preflight.judge")

HOST, DATA, CLUSTER = "paths", "tables", "capabilities"
"""What a part has in its result once it was read to its end."""


@pytest.fixture
def given(tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Parameters for a Pi that has all there is to read, in a cluster of three."""
    with closing(sqlite3.connect(tmp_path / "pi.db")) as connection:
        connection.execute("CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("INSERT INTO nodes VALUES (1, 'n')")
        connection.commit()
    (tmp_path / "config.yaml").write_text("api:\n  port: 8080\n")
    (tmp_path / "raft").mkdir()
    # As on a Pi without K3s: what is asked there has tests of its own.
    monkeypatch.setattr(module.AnsibleModule, "get_bin_path", lambda *_args, **_options: None)
    files = {"data_dir": "", "database": "pi.db", "config_file": "config.yaml"}
    return {
        "paths": {name: str(tmp_path / path) for name, path in files.items()},
        "unit": "pi-controller.service",
        "ports": [],
        "address": "127.0.0.1",
        "raft_dir": str(tmp_path / "raft"),
        "urls": cluster.urls,
        "wait_for": {"leader": True, "voters": 3, "caught_up": True},
        "wait_timeout": 0.2,
        "timeout": 1,
        "pause": 0,
    }


def ended(result: dict[str, Any]) -> dict[str, bool]:
    """Which parts were read to their end."""
    return {"host": HOST in result, "data": DATA in result["data"], "cluster": CLUSTER in result["cluster"]}


ALL = {"host": True, "data": True, "cluster": True}


def test_one_run_reads_all_three_parts(run_module, given) -> None:
    result = run_module("preflight_host", given)
    assert (result["changed"], ended(result)) == (False, ALL)
    assert (result["cluster"]["quorate"], result["cluster"]["voters"]) == (True, 3)
    assert len(result["data"]["tables"]["nodes"]["rows"]) == len("of sixteen chars")
    assert not any("msg" in part for part in (result, result["data"], result["cluster"]))


def test_the_pi_is_read_between_the_looks_and_the_cluster_last(run_module, given, monkeypatch) -> None:
    """A look at the rows may block the daemon's writes, and a late first look may miss what another Pi has."""
    order: list[str] = []

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            order.append(name)
            return call(*arguments)

        return called

    monkeypatch.setattr(read_data.RowLooks, "first", noted("first", read_data.RowLooks.first))
    monkeypatch.setattr(read_data.RowLooks, "others", noted("others", read_data.RowLooks.others))
    monkeypatch.setattr(read_host.HostReading, "read", noted("host", read_host.HostReading.read))
    monkeypatch.setattr(module, "await_cluster", noted("cluster", module.await_cluster))
    assert ended(run_module("preflight_host", given)) == ALL
    assert order == ["first", "host", "others", "cluster"]


# By part, what is broken there: the first look at the rows and the later ones are one part.
PLACES = {
    "host": (read_host, "memory_available", "host"),
    "first look": (read_data.RowLooks, "first", "data"),
    "later looks": (read_data.RowLooks, "others", "data"),
    "CA": (read_data, "ca_digest", "data"),
    "cluster": (module, "await_cluster", "cluster"),
}
ERRORS = {
    "an error of the system": (
        OSError(errno.EIO, os.strerror(errno.EIO)),
        "{doing}: [Errno 5] Input/output error. Next: fix the problem above and run the same command again",
    ),
    "a failure": (failures.MigrationError("it is away", next_step="look for it"), "it is away. Next: look for it"),
    "a defect": (ValueError("odd\nand more"), "ValueError: odd\nand more"),
    "too little memory": (MemoryError(), "MemoryError: "),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("place", PLACES)
def test_a_part_that_fails_takes_no_other_with_it(run_module, given, monkeypatch, place: str, error: str) -> None:
    where, name, part = PLACES[place]
    raised, words = ERRORS[error]

    def fail(*_arguments: Any, **_named: Any) -> Any:
        raise raised

    monkeypatch.setattr(where, name, fail)
    result = run_module("preflight_host", given)
    assert ended(result) == {**ALL, part: False}
    found = result if part == "host" else result[part]
    doing = {"host": "looking at this Pi", "data": f"reading {given['paths']['database']}"}
    assert found["msg"] == words.format(doing=doing.get(part, "looking at the cluster"))
    assert ("Traceback" in found.get("module_stderr", "")) is (error in ("a defect", "too little memory"))
    # What the Pi itself could not give is a failure of the module, which Ansible shows.
    assert bool(result.get("failed")) is (part == "host")


@pytest.mark.parametrize(
    ("part", "check", "seen"),
    [
        ("host", "check of this Pi", "ValueError: odd"),
        ("data", "database content", "ValueError: odd"),
        ("cluster", "cluster", "ValueError: odd"),
    ],
)
def test_a_part_that_failed_is_the_one_row_it_always_was(
    run_module, given, monkeypatch, part: str, check: str, seen: str
) -> None:
    place = {"host": "host", "data": "later looks", "cluster": "cluster"}[part]
    where, name, _part = PLACES[place]

    def fail(*_arguments: Any, **_named: Any) -> Any:
        raise ValueError("odd")

    monkeypatch.setattr(where, name, fail)
    result = run_module("preflight_host", given)
    world = healthy()
    world["data"] = {host: {"tables": {}, "ca": None, "program": None} for host in HOSTS}
    # No Pi can read the cluster; the others are single ones.
    for host in HOSTS if part == "cluster" else ("pi-2",):
        world[part][host] = result if part == "host" else result[part]
    (found,) = judge.evaluate(world, settings(), owner())
    assert (found.check, found.seen) == (check, seen)
    assert "-vvv" in found.fix or part == "cluster"


def test_rows_that_cannot_be_read_leave_what_else_the_daemon_holds(run_module, given, tmp_path: Path) -> None:
    given["paths"]["database"] = str(tmp_path / "none.db")
    result = run_module("preflight_host", {**given, "raft_dir": str(tmp_path / "gone")})
    assert ended(result) == {**ALL, "data": False}
    assert result["data"]["msg"].startswith(f"{tmp_path}/none.db does not exist. Next: ")
    assert (result["data"]["config"]["error"], result["data"]["raft_dir_found"]) == (None, False)
    assert "does not exist" in result["database"]["integrity"]


def test_a_cluster_that_is_not_well_is_reported_as_it_is(run_module, given, cluster) -> None:
    result = run_module("preflight_host", {**given, "urls": [*cluster.urls, "http://127.0.2.9:1"]})
    assert ended(result) == ALL
    result = run_module("preflight_host", {**given, "wait_for": {"voters": 5}})
    assert ended(result) == {**ALL, "cluster": False}
    assert "voters: 3, wanted 5" in result["cluster"]["msg"]
    assert result["cluster"]["quorate"] is True


def test_a_command_that_cannot_be_started_does_not_end_the_module(run_module, given, tmp_path, monkeypatch) -> None:
    """`run_command` of Ansible would, with all that was read by then."""
    broken = tmp_path / "systemctl"
    broken.write_bytes(b"\x7fELF of another machine")
    broken.chmod(0o755)
    monkeypatch.setattr(module.AnsibleModule, "get_bin_path", lambda *_args, **_options: str(broken))
    result = run_module("preflight_host", given)
    # Which program runs is not known either.
    assert ended(result) == {"host": False, "data": False, "cluster": True}
    assert result["msg"].startswith("looking at this Pi: [Errno 8] Exec format error")


@pytest.mark.parametrize("secret", ["token", "password"])
def test_secrets_are_hidden_and_a_pis_own_paths_are_not(run_module, given, cluster, tmp_path, secret: str) -> None:
    """A password may be a word of a path; that path is the one that pre-flight compares."""
    word = tmp_path.name
    result = run_module("preflight_host", {**given, "urls": [f"http://127.0.2.9:1/{word}"], secret: word})
    assert result["paths"]["database"]["path"] == given["paths"]["database"]
    assert word not in json.dumps(result["cluster"])
    assert "********" in json.dumps(result["cluster"])
    shown = result.get("invocation", {"module_args": {}})["module_args"]
    assert word not in json.dumps(shown)


def test_the_first_rows_are_read_once(run_module, given, monkeypatch) -> None:
    monkeypatch.setattr(read_data.RowLooks, "_look", lambda _self: pytest.fail("all rows were read"))
    data = run_module("preflight_host", {**given, "compare": False})["data"]
    assert (data["tables"], len(data["first_rows"]["nodes"])) == ({}, 1)


# --- the role ------------------------------------------------------------------------------------


def test_the_role_hands_each_part_to_the_judge(keep, tmp_path: Path, ansible_playbook: str) -> None:
    """A Pi that answered, one whose look crashed as a whole, one that is lost, and one that was skipped."""
    read = {"paths": {}, "cluster": {"members": []}, "data": {"tables": {}}}
    seen: dict[str, dict[str, Any]] = {
        "good": read,
        "half": {"msg": "odd", "cluster": {"msg": "none"}, "data": {"ca": None, "msg": "none"}},
        "crashed": {"msg": "MODULE FAILURE", "module_stderr": "Killed"},
        "lost": {"unreachable": True, "msg": "no route"},
        "skipped": {"skipped": True},
    }
    for host, result in seen.items():
        (tmp_path / "host_vars").mkdir(exist_ok=True)
        values = {"raft_migration_seen_host": result, "raft_migration_address": host}
        (tmp_path / f"host_vars/{host}.yml").write_text(yaml.safe_dump(values))
    empty: dict[str, Any] = {f"raft_migration_{name}": {} for name in ("journal_read", "seen_ports", "seen_kubernetes")}
    variables = {**empty, "raft_migration_peers": list(seen)}
    wanted = "{{ [raft_migration_preflight_seen, raft_migration_preflight_peers] | to_json }}"
    play = {
        "hosts": "good",
        "gather_facts": False,
        "connection": "local",
        "vars": variables,
        "vars_files": [str(CHECKOUT / "roles/preflight/vars/main.yml")],
        "tasks": [keep(wanted, tmp_path / "found.json")],
    }
    everywhere = {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.set_fact": empty}]}
    (tmp_path / "play.json").write_text(json.dumps([{**everywhere, "connection": "local"}, play]))
    run_play(ansible_playbook, tmp_path, ",".join(seen))
    found, peers = json.loads((tmp_path / "found.json").read_text())
    assert found["cluster"] == {
        "good": {"members": []}, "half": {"msg": "none"}, "crashed": {}, "lost": {}, "skipped": {}
    }  # fmt: skip
    assert found["data"] == {
        "good": {"tables": {}}, "half": {"ca": None, "msg": "none"}, "crashed": {}, "lost": {}, "skipped": {}
    }  # fmt: skip
    assert found["host"] == seen
    assert [peer["name"] for peer in peers] == ["good"]


def run_play(command: str, folder: Path, inventory: str) -> None:
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections")}
    arguments = [command, "play.json", "-i", inventory, "-e", f"ansible_python_interpreter={sys.executable}"]
    done = subprocess.run(
        arguments, cwd=folder, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

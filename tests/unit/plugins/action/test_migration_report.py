# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import report_inputs as given
import yaml
from ansible.playbook.task import Task
from conftest import CHECKOUT, import_plugin

action = import_plugin("action.migration_report")
reported = import_plugin("module_utils._report.reported")
status_of = import_plugin("module_utils._report.status")
files = import_plugin("module_utils._watch.files")
Write = Callable[..., dict[str, Any]]
# What Ansible keeps of a connection that is never made.
UNUSED = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))


@pytest.fixture
def write() -> Write:
    def run(args: dict[str, Any], *, check_mode: bool = False) -> dict[str, Any]:
        task = Task()
        task.args, task.check_mode = args, check_mode
        result: dict[str, Any] = action.ActionModule(task, UNUSED, None, None, None, None).run(task_vars={})
        return json.loads(json.dumps(result))

    return run


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    watch = tmp_path / "watch"
    watch.mkdir()
    looks = given.samples()
    # The watch moves the samples of an earlier run aside; a migration run tag by tag has several.
    (watch / "samples-20260921T141500Z.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in looks[:100]))
    (watch / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in looks[100:]) + '{"at": 17900')
    (watch / "alerts.jsonl").write_text("".join(json.dumps(alert) + "\n" for alert in given.alert()))
    hosts = given.migrated()
    status = status_of.assemble_status(hosts, given.kube(mode="pods"), given.CONFIG, given.BEGAN + 140)
    return {
        "status": status,
        "hosts": hosts,
        "config": given.CONFIG,
        "watch_dir": str(watch),
        "dest": str(tmp_path / "state" / "reports"),
    }


def test_report_and_json_are_private_and_say_the_same(write: Write, arguments: dict[str, Any]) -> None:
    result = write(arguments)
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


def test_samples_of_an_earlier_migration_are_not_read(
    write: Write, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, read = Path(arguments["watch_dir"]), []
    known = sorted(path.name for path in watch.iterdir())
    lines_of = action.lines_of

    def noted(path: Path) -> Any:
        read.append(path.name)
        return lines_of(path)

    monkeypatch.setattr(action, "lines_of", noted)
    for kind in ("samples", "alerts"):
        for seconds in (-3600, -5.5, -4.5, 20):
            written = datetime.fromtimestamp(given.BEGAN + seconds, timezone.utc)
            (watch / f"{kind}-{written:{files.LAST_LINE}}.jsonl").write_text("")
    write(arguments)
    assert sorted(set(known) - set(read)) == []
    assert len(read) == len(known) + 4, "the last two of each kind"


def test_the_watch_names_a_file_by_its_last_line(tmp_path: Path) -> None:
    (tmp_path / files.SAMPLES).write_text("{}\n")
    os.utime(tmp_path / files.SAMPLES, (given.BEGAN, given.BEGAN))
    files.WatchFolder(tmp_path).begin_run()
    (moved,) = tmp_path.glob("samples-*.jsonl")
    assert files.ended_before(moved, given.BEGAN + 0.5)
    assert not files.ended_before(moved, given.BEGAN)
    for name in (files.SAMPLES, "samples-20260921T141500Z.jsonl", "samples-copy.jsonl"):
        assert not files.ended_before(tmp_path / name, given.BEGAN + 1e6), "what it does not know is read"


def test_a_second_report_of_the_same_second_takes_no_ones_place(
    write: Write, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: given.BEGAN + 150)
    first, second = (write(arguments)["path"] for _attempt in range(2))
    assert first != second
    assert Path(first).is_dir()
    assert Path(second).is_dir()


def test_check_mode_writes_nothing(write: Write, arguments: dict[str, Any]) -> None:
    result = write(arguments, check_mode=True)
    assert result["changed"]
    assert not Path(arguments["dest"]).exists()


def test_the_runs_own_rollback_failure_is_in_the_report(write: Write, arguments: dict[str, Any]) -> None:
    for info in arguments["hosts"].values():
        info["journal"]["phases"]["rollback"] = {"state": "started", "started": given.iso(130), "facts": {}}
    hosts, config = arguments["hosts"], arguments["config"]
    arguments["status"] = status_of.assemble_status(hosts, given.kube(mode="pods"), config, given.BEGAN + 140)
    stopped = write({**arguments, "outcome": "failed", "rollback": "Pods | Stop all: no answer"})
    assert "A rollback began and stopped: Pods | Stop all: no answer." in stopped["verdict"]["happened"]
    unknown = write({**arguments, "outcome": "failed", "rollback": "none"})
    assert "A rollback began and did not finish" in unknown["verdict"]["happened"]


def test_junit_and_metrics_on_demand(write: Write, arguments: dict[str, Any], tmp_path: Path) -> None:
    extra = {"junit": str(tmp_path / "ci" / "checks.xml"), "prometheus": str(tmp_path / "textfile" / "migration.prom")}
    write({**arguments, **extra})
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
def test_the_outcome_follows_the_status(write: Write, arguments: dict[str, Any], state: str, outcome: str) -> None:
    arguments["status"]["state"] = state
    assert write(arguments)["outcome"] == outcome


def test_an_invalid_verdict_is_refused(write: Write, arguments: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text("[]")
    result = write({**arguments, "witness_verdict": str(tmp_path / "verdict.json")})
    assert result["failed"]
    assert "not a verdict of the witness" in result["msg"]
    assert not Path(arguments["dest"]).exists()


def test_a_report_that_cannot_be_written_says_where_and_what_to_do(
    write: Write, arguments: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    result = write({**arguments, "dest": str(tmp_path / "file" / "reports")})
    assert result["failed"]
    assert str(tmp_path / "file") in result["msg"]
    assert "run the same command again" in result["msg"]


def test_ansible_runs_it_on_the_control_node_without_a_connection(
    arguments: dict[str, Any], tmp_path: Path, ansible_playbook: str
) -> None:
    task = {"pi_controller.raft_migration.migration_report": {**arguments, "versions": {"a": "<b>{{ 1 + 1 }}</b>"}}}
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "pi-1", "gather_facts": False, "tasks": [task]}]))
    command = [ansible_playbook, "play.json", "-i", "pi-1,", "-e", "ansible_host=192.0.2.1"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = Path(arguments["dest"]).iterdir()
    assert "&lt;b&gt;2&lt;/b&gt;" in (folder / "migration-report.html").read_text()


def test_the_task_of_the_role_writes_it_from_what_each_pi_says(
    arguments: dict[str, Any], tmp_path: Path, ansible_playbook: str
) -> None:
    write = yaml.safe_load((CHECKOUT / "roles/run/tasks/report.yml").read_text())
    (task,) = [task for task in write[0]["block"] if task["name"] == "Report | Write the report"]
    play = {"hosts": "all", "gather_facts": False, "vars": write[0]["vars"], "tasks": [task]}
    (tmp_path / "play.json").write_text(json.dumps([play]))
    # A Pi's answer does not say its address; that is known before.
    hosts = {}
    for name, info in given.migrated().items():
        looked = {key: value for key, value in info.items() if key != "address"}
        looked["contents"] = {"serving": {"digest": "9a", "tables": {"nodes": 3}}}
        hosts[name] = {
            "raft_migration_looked": looked,
            "raft_migration_placed": {"address": info["address"]},
            "raft_migration_report_again": {},
        }
    known = yaml.safe_load((CHECKOUT / "roles/run/vars/main.yml").read_text())
    variables = {
        "raft_migration_seen": known["raft_migration_seen"],
        "raft_migration_status": known["raft_migration_status"],
        "raft_migration_rollback_result": known["raft_migration_rollback_result"],
        "ansible_host": "192.0.2.1",
        "raft_migration": given.CONFIG,
        "raft_migration_peers": list(given.NAMES),
        "raft_migration_kube": {
            **given.kube(mode="pods"),
            "status": reported.reported_status(given.migrated(), given.kube(mode="pods"), given.CONFIG),
        },
        "raft_migration_failures": [],
        "raft_migration_silent": False,
        "raft_migration_recorded": {"opening": True, "done": ["cutover"]},
        "raft_migration_pod_database": "/pods/pi-controller.db",
        "raft_migration_database": "/unit/pi-controller.db",
        "raft_migration_watch_dir": arguments["watch_dir"],
        "raft_migration_control_path": str(tmp_path / "control"),
        "pi_controller_image": "pi-controller:lab",
        "pi_controller_namespace": "default",
    }
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections")}
    command = [ansible_playbook, "play.json", "-i", "hosts.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (tmp_path / "control" / "reports").iterdir()
    report = json.loads((folder / "migration-report.json").read_text())
    assert report["outcome"] == "migrated"
    assert [row["rows_after"] for row in report["content"]] == [3, 3, 3]
    assert report["versions"]["hosts"]["pi-2"]["os"] == "Debian GNU/Linux 12"
    page = (folder / "migration-report.html").read_text()
    assert "Migrated to Kubernetes" in page
    assert "hunter2" not in page

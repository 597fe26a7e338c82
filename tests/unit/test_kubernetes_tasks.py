# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of the roles in a real ansible-playbook, with the real Kubernetes client, against an API server in memory."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT, import_plugin
from fake_kube import APPS, CORE, NAME, FakeKube, add_pod, pod
from kube_server import served
from preflight_world import settings

Play = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def play(tmp_path: Path, ansible_playbook: str) -> Play:
    """Runs tasks with what the role `run` has made known by then; the API server is at `port`."""

    def run(port: int, tasks: list[dict[str, Any]], *words: str) -> subprocess.CompletedProcess[str]:
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
        (tmp_path / "config.yaml").write_text(json.dumps({"api": {"port": 8080}, "cluster": {"enabled": True}}))
        (tmp_path / "data").mkdir(exist_ok=True)
        variables = {
            "raft_migration": settings(),
            "raft_migration_address": "127.0.0.1",
            "raft_migration_node": "pi-1",
            "pi_controller_image": "pi-controller:1.4.0",
            "pi_controller_config_file": str(tmp_path / "config.yaml"),
            "pi_controller_data_dir": str(tmp_path / "data"),
            "pi_controller_pod_data_dir": str(tmp_path / "pods"),
            "ansible_python_interpreter": sys.executable,
        }
        (tmp_path / "hosts.json").write_text(json.dumps({"k3s_cluster": {"hosts": {"pi-1": {}}, "vars": variables}}))
        defaults = {"group/pi_controller.raft_migration.kubernetes": {"kubeconfig": str(tmp_path / "kubeconfig")}}
        whole = [{"hosts": "all", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}]
        (tmp_path / "play.json").write_text(json.dumps(whole))
        command = [ansible_playbook, "play.json", "-i", "hosts.json", "-c", "local", *words]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "ANSIBLE_NOCOLOR": "1",
        }
        return subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
        )

    return run


def role(name: str, tasks_from: str, **variables: Any) -> dict[str, Any]:
    return {
        "include_role": {"name": f"pi_controller.raft_migration.{name}", "tasks_from": tasks_from},
        "vars": variables,
    }


def test_k8_the_daemonset_is_made_once_from_its_template(play):
    kube = FakeKube(lag=0)
    with served(kube) as port:
        first = play(port, [role("cluster", "daemonset", raft_migration_port_set="temporary")], "--diff")
        second = play(port, [role("cluster", "daemonset", raft_migration_port_set="temporary")])
        moved = play(port, [role("cluster", "daemonset", raft_migration_port_set="standard")], "--check")

    assert first.returncode == second.returncode == moved.returncode == 0, first.stdout + second.stdout + moved.stdout
    # The first time the pod's configuration is written, too.
    assert [re.search(r"changed=(\d)", done.stdout)[1] for done in (first, second, moved)] == ["2", "0", "1"]
    spec = kube.objects[f"{APPS}/daemonsets/{NAME}"]["spec"]["template"]["spec"]
    assert spec["priorityClassName"] == "system-node-critical"
    # What check mode showed was not made.
    assert {port["hostPort"] for port in spec["containers"][0]["ports"]} == {8082, 9092, 9093}


def test_values_of_variables_are_not_shown(play, tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_INJECT_INVOCATION", "1")
    given = {"raft_migration": settings(temporary_env={"PI_CONTROLLER_AUTH_PASSWORD": "SECRET-value"})}
    with served(FakeKube(lag=0)) as port:
        tasks = [role("cluster", "daemonset", raft_migration_port_set="temporary")]
        done = play(port, tasks, "-vvv", "--diff", "-e", json.dumps(given))
    assert done.returncode == 0, done.stdout
    (file,) = tmp_path.rglob("temporary.yaml")
    assert "SECRET-value" in file.read_text()
    assert "auth.password: (set)" in done.stdout
    assert "module_args" in done.stdout
    assert "SECRET" not in done.stdout + done.stderr


def test_k6_pre_flight_tries_the_very_pod_that_prepare_makes(play, keep, tmp_path):
    kube = FakeKube(lag=0)
    kube.objects["/version"] = {"gitVersion": "v1.35.2+k3s1"}
    kube.objects[CORE] = {"metadata": {"name": NAME, "labels": {}}, "status": {"phase": "Active"}}
    for path in ("/api/v1/nodes", "/api/v1/services", "/apis/networking.k8s.io/v1/ingresses"):
        kube.objects[path] = {"items": []}
    posted = []
    kube._post = lambda path, body, params: posted.append((path, body, params)) or body
    with served(kube) as port:
        made = play(port, [role("cluster", "daemonset", raft_migration_port_set="temporary")])
        tried = play(
            port,
            [
                {
                    "import_role": {"name": "pi_controller.raft_migration.preflight", "tasks_from": "look"},
                    "vars": {
                        "raft_migration_journal_read": {"unreachable": True},
                        "raft_migration_lock_namespace": "default",
                    },
                },
                keep("{{ raft_migration_seen_kubernetes | to_json }}", tmp_path / "found.json"),
            ],
        )

    assert made.returncode == 0, made.stdout
    assert tried.returncode == 0, tried.stdout
    (_path, daemonset, _params), (path, dry, params) = posted
    assert (path, params["dry_run"]) == (f"{CORE}/pods", "All")
    assert dry["spec"] == daemonset["spec"]["template"]["spec"]


def test_k11_a_pod_leaves_the_service_by_its_label(play):
    kube = FakeKube(lag=0)
    add_pod(kube, pod(1))
    task = {
        "pi_controller.raft_migration.k8s_object": {
            "state": "patched",
            "definition": {
                "kind": "Pod",
                "metadata": {"namespace": NAME, "name": f"{NAME}-1a", "labels": {"raft-migration/serving": "false"}},
            },
        },
        "delegate_to": "localhost",
    }
    with served(kube) as port:
        done = play(port, [task])

    assert done.returncode == 0, done.stdout
    assert kube.objects[f"{CORE}/pods/{NAME}-1a"]["metadata"]["labels"]["raft-migration/serving"] == "false"


def after_failure(folder: Path, keep: Callable[[str, Path], dict[str, Any]]) -> list[dict[str, Any]]:
    """What the last play does after a phase that stopped, with a file in place of the rollback."""
    (folder / "rollback.yml").write_text(yaml.safe_dump([keep("", folder / "began")]))
    failure = {"phase": "port_migration", "host": "pi-1", "task": "Ports", "message": "it stopped"}
    known = {
        "raft_migration_failures": [failure],
        "raft_migration_failure": failure,
        "pi_controller_kubeconfig": str(folder / "kubeconfig"),
        "pi_controller_namespace": NAME,
        "pi_controller_daemonset": NAME,
    }
    return [{"set_fact": known}, *yaml.safe_load((CHECKOUT / "roles/run/tasks/after_failure.yml").read_text())]


@pytest.mark.timed
def test_k11_an_unreachable_api_is_one_sentence_and_a_pause(play, keep, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        reading = {
            "pi_controller.raft_migration.k8s_object_info": {"kind": "Service", "namespace": NAME, "name": NAME},
            "delegate_to": "localhost",
        }
        reported = {"debug": {"msg": "{{ ansible_failed_result.msg }}"}}
        began = time.monotonic()
        done = play(
            port,
            [
                {"block": [{**reading, "name": "First"}], "rescue": [reported]},
                {"block": [role("cluster", "daemonset", raft_migration_port_set="temporary")], "rescue": [reported]},
                *after_failure(tmp_path, keep),
            ],
        )
        seconds = time.monotonic() - began

    assert done.returncode == 0, done.stdout
    assert f"the Kubernetes API at http://127.0.0.1:{port} is unreachable (connection refused)" in done.stdout
    assert not any(
        words in done.stdout + done.stderr for words in ("urllib3", "HTTPConnection", "<class", "Max retries")
    )
    # One patience for all three of them together.
    patience = import_plugin("module_utils._kube.api").READ_PATIENCE
    assert patience <= seconds < 2 * patience
    assert not (tmp_path / "began").exists()


def test_k11_where_kubernetes_answers_a_rollback_begins(play, keep, tmp_path):
    with served(FakeKube(lag=0)) as port:
        done = play(port, after_failure(tmp_path, keep))

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "began").exists()


LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/raft-migration"


def test_a_run_asks_for_its_own_lock_and_learns_of_a_takeover(play, keep, tmp_path):
    watch = str(tmp_path / "watch")
    known = {
        "raft_migration_watch_dir": watch,
        "raft_migration_lock_namespace": "default",
        "raft_migration_lock_name": "raft-migration",
    }
    options = {"state": "started", "path": watch, "lock": {"namespace": "default", "name": "raft-migration"}}
    started = {"pi_controller.raft_migration.quorum_watch": options, "delegate_to": "localhost", "run_once": True}
    seen = f"lookup('pi_controller.raft_migration.quorum_alert', '{watch}', kinds=['lock_lost'], lock=true) is mapping"
    commits = {"debug": {"msg": "it commits"}, "when": ["inventory_hostname == 'pi-1'", seen]}
    taken = keep("", tmp_path / "taken")
    kube = FakeKube(lag=0)

    def forced(method: str, path: str) -> None:
        if (tmp_path / "taken").exists():
            kube.objects[LEASE]["spec"]["holderIdentity"] = "bert@desk:7"

    kube.on_request = forced
    asks = role("cluster", "lock_held", **known)
    with served(kube) as port:
        done = play(port, [started, asks, commits, taken, asks, {"debug": {"msg": "never"}}])
    assert "it commits" in done.stdout, done.stdout + done.stderr
    assert done.returncode != 0
    assert "it belongs to bert@desk:7" in done.stdout
    assert '"msg": "never"' not in done.stdout
    alerts = (tmp_path / "watch/alerts.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in alerts] == ["lock_lost"]

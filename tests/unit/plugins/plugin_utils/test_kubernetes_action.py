# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the work of a Kubernetes module is done, in real runs with the real client against an API server in memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.plugins.action import ActionBase
from conftest import CHECKOUT, import_plugin
from fake_kube import CORE, FakeKube, with_client_key
from kube_server import served

api = import_plugin("module_utils._kube.api")
kubernetes_action = import_plugin("plugin_utils.kubernetes_action")

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pi-controller"}}
MAKE = {"pi_controller.raft_migration.k8s_object": {"state": "created", "definition": NAMESPACE}}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path, ansible_playbook: str) -> Run:
    """Runs one task with the address of an API server and the token SECRET; its result comes as JSON."""

    def play(port: int, task: dict[str, Any], *words: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        (module, options), *keywords = task.items()
        given = {**options, "host": f"http://127.0.0.1:{port}", "api_key": "SECRET-token"}
        tasks = [{module: given, **dict(keywords), "register": "found"}, {"debug": {"var": "found"}}]
        (tmp_path / "play.json").write_text(
            json.dumps([{"hosts": "pi-1", "gather_facts": False, "vars": variables, "tasks": tasks}])
        )
        command = [ansible_playbook, "-vvv", "play.json", "-i", "pi-1,", "-c", "local", *words]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"), "ANSIBLE_NOCOLOR": "1"}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
        )

    return play


def started_a_module(done: subprocess.CompletedProcess[str]) -> bool:
    return "EXEC /bin/sh" in done.stdout


def test_the_work_is_done_without_another_python(run: Run):
    kube = FakeKube(lag=0)
    with served(kube) as port:
        done = run(port, MAKE, "--diff")
    assert done.returncode == 0, done.stdout
    assert kube.objects[CORE]["metadata"]["name"] == "pi-controller"
    assert "changed=1" in done.stdout
    assert not started_a_module(done)
    assert "SECRET" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "different",
    [
        {"environment": {"K8S_AUTH_CONTEXT": "other"}},
        {"vars": {"ansible_python_interpreter": "/nowhere/bin/python3"}},
        {"become": True},
    ],
    ids=str,
)
def test_where_it_could_make_a_difference_the_module_runs(run: Run, different: dict[str, Any]):
    with served(FakeKube(lag=0)) as port:
        assert started_a_module(run(port, {**MAKE, **different}))


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_pods_variables_are_shown_by_no_module(run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: bool):
    """Nor are they logged where it runs: Ansible does both with a module's parameters."""
    monkeypatch.setenv("ANSIBLE_INJECT_INVOCATION", "1")
    container = {"name": "c", "image": "i", "env": [{"name": "PASSWORD", "value": "SECRET-value"}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    definition = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "pi-controller", "namespace": "pi-controller"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    kube = FakeKube(lag=0)
    kube.objects[CORE] = {"metadata": {"name": "pi-controller"}}
    where = {"environment": {"K8S_AUTH_CONTEXT": ""}} if elsewhere else {}
    with served(kube) as port:
        done = run(port, {"pi_controller.raft_migration.k8s_object": {"definition": definition}, **where}, "--diff")
    assert "changed=1" in done.stdout, done.stdout
    assert started_a_module(done) is elsewhere
    assert "PASSWORD" in done.stdout
    assert "SECRET" not in done.stdout + done.stderr


def test_a_module_that_runs_does_not_log_its_parameters(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        ActionBase, "_update_module_args", lambda _action, _name, args, *_rest, **_named: args.update(given=1)
    )
    action = object.__new__(import_plugin("plugin_utils.kubernetes_action").KubernetesAction)
    args: dict[str, Any] = {}
    action._update_module_args("k8s_object", args, {})
    assert args["given"] == 1
    assert args["_ansible_no_log"] is True


def test_the_python_of_the_run_by_another_name_is_the_same(run: Run):
    folder = Path(sys.executable).parent
    names = [str(path) for path in folder.glob("python*") if path.resolve() == Path(sys.executable).resolve()]
    each = {"loop": names, "vars": {"ansible_python_interpreter": "{{ item }}"}}
    with served(FakeKube(lag=0)) as port:
        done = run(port, {**MAKE, **each})
    assert [f"(item={name})" in done.stdout for name in names] == [True] * len(names)
    assert not started_a_module(done)


def test_check_mode_and_diff_reach_the_work(run: Run):
    kube = FakeKube(lag=0)
    with served(kube) as port:
        done = run(port, MAKE, "--check", "--diff")
    assert done.returncode == 0, done.stdout
    assert "changed=1" in done.stdout
    assert "+++ after: Namespace pi-controller" in done.stdout
    assert CORE not in kube.objects


def test_a_failure_has_the_facts_that_the_module_gives(run: Run):
    module = {
        "pi_controller.raft_migration.k8s_daemonset_pod_info": {"namespace": "pi-controller", "daemonset": "missing"}
    }
    with served(FakeKube(lag=0)) as port:
        done = run(port, {**module, "ignore_errors": True})
    assert "there is no DaemonSet missing in namespace pi-controller" in done.stdout, done.stdout
    assert '"failure": {' in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_wrong_option_is_refused_before_anything_is_asked(run: Run):
    kube = FakeKube(lag=0)
    with served(kube) as port:
        done = run(port, {"pi_controller.raft_migration.k8s_object": {"state": "maybe", "definition": NAMESPACE}})
    assert done.returncode != 0
    assert "value of state must be one of" in done.stdout
    assert kube.requests == []


# The watch has a process of its own.
GROUP = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text())["action_groups"]["kubernetes"]


@pytest.mark.parametrize("name", sorted({*GROUP} - {"quorum_watch"}))
def test_each_module_of_the_kubernetes_group_has_its_action(name: str):
    """One that is added without would start a Python again for each of its tasks."""
    module = import_plugin(f"action.{name}").ActionModule.MODULE
    assert module is import_plugin(f"modules.{name}")
    assert module.SPEC["supports_check_mode"]
    assert module.DOING
    assert callable(module.run)


@pytest.mark.parametrize("fails", [False, True])
def test_a_task_leaves_no_key_in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """Before Python 3.13 a worker ends without what the client library removes at exit. Here none has ended yet."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    kubeconfig = with_client_key(tmp_path)
    made: list[Path] = []

    def work(module: Any, _result: dict[str, Any]) -> None:
        api.connect(module)
        made.extend((tmp_path / "tmp").iterdir())
        if fails:
            raise ValueError("unforeseen")

    class Action(kubernetes_action.KubernetesAction):  # type: ignore[name-defined]
        MODULE = SimpleNamespace(SPEC={}, DOING="trying", run=work)

        def __init__(self) -> None:
            self._task = SimpleNamespace(check_mode=False, diff=False)

        def begin(self, *_given: Any) -> dict[str, Any]:
            return {}

        def _is_here(self, _variables: dict[str, Any]) -> bool:
            return True

        def validate_argument_spec(self, **_spec: Any) -> Any:
            return SimpleNamespace(_no_log_values=set()), {"kubeconfig": str(kubeconfig)}

    with pytest.raises(ValueError, match="unforeseen") if fails else contextlib.nullcontext():
        Action().run()
    assert made
    assert list((tmp_path / "tmp").iterdir()) == []

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from conftest import import_plugin
from fake_kube import APPS, CORE, NAME, NAMESPACE, FakeKube, add_daemonset, add_pod, api_error, pod

api = import_plugin("module_utils._kube.api")
PATH = f"{APPS}/daemonsets/{NAME}"
POD = {
    "kind": "Pod",
    "metadata": {"namespace": NAMESPACE, "name": f"{NAME}-1a", "labels": {"raft-migration/serving": "false"}},
}
PRIVILEGED = {"pod-security.kubernetes.io/enforce": "privileged"}


def namespace(**labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def daemonset(**spec: Any) -> dict[str, Any]:
    metadata = {"namespace": NAMESPACE, "name": NAME, "labels": {"app.kubernetes.io/managed-by": "raft-migration"}}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec}


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    fake = FakeKube(lag=0)
    for name in ("k8s_object", "k8s_object_info"):
        monkeypatch.setattr(import_plugin(f"modules.{name}"), "connect", lambda _module: api.KubeApi(fake))
    return fake


def test_a_missing_object_is_made(kube, run_module):
    result = run_module("k8s_object", {"definition": daemonset(selector={})})

    assert result["changed"]
    assert kube.objects[PATH]["spec"] == {"selector": {}}
    assert not run_module("k8s_object", {"definition": daemonset(selector={})})["changed"]


def test_check_mode_predicts_and_changes_nothing(kube, run_module):
    add_daemonset(kube, {"new": 1})
    before = kube.objects[PATH]
    result = run_module(
        "k8s_object", {"definition": daemonset(selector={"matchLabels": {"a": "b"}})}, check_mode=True, diff=True
    )

    assert result["changed"]
    assert result["diff"]["after_header"].startswith("DaemonSet ")
    assert result["diff"]["after"]["spec"] == {"selector": {"matchLabels": {"a": "b"}}}
    assert kube.objects[PATH] == before
    assert run_module("k8s_object", {"definition": namespace()}, check_mode=True)["changed"]
    assert f"/api/v1/namespaces/{NAMESPACE}" not in kube.objects


def test_labels_and_annotations_of_others_are_kept(kube, run_module):
    add_daemonset(kube, {"new": 1})
    kube.objects[PATH]["metadata"].update(labels={"team": "green"}, annotations={"note": "kept"})
    run_module("k8s_object", {"definition": daemonset(selector={})})

    assert kube.objects[PATH]["metadata"]["labels"] == {
        "team": "green",
        "app.kubernetes.io/managed-by": "raft-migration",
    }
    assert kube.objects[PATH]["metadata"]["annotations"] == {"note": "kept"}


def test_a_field_removed_from_the_definition_is_removed(kube, run_module):
    """An environment of one state must not stay in the pods of another one."""
    run_module("k8s_object", {"definition": daemonset(env=[{"name": "BOOTSTRAP"}, {"name": "PORT"}])})
    run_module("k8s_object", {"definition": daemonset(env=[{"name": "PORT"}])})

    assert kube.objects[PATH]["spec"] == {"env": [{"name": "PORT"}]}


def test_a_label_of_a_pod_is_changed_and_nothing_else(kube, run_module):
    add_pod(kube, pod(1))
    before = kube.objects[f"{CORE}/pods/{NAME}-1a"]
    result = run_module("k8s_object", {"definition": POD, "state": "patched"})
    after = kube.objects[f"{CORE}/pods/{NAME}-1a"]

    assert result["changed"]
    assert after["metadata"]["labels"] == {**before["metadata"]["labels"], "raft-migration/serving": "false"}
    assert after["spec"] == before["spec"]


def test_no_value_of_a_variable_is_shown(kube, run_module):
    """An owner's variables may be secrets; what is written to Kubernetes is the whole object."""
    container = {
        "name": "c",
        "env": [{"name": "DSN", "value": "pl4nted"}, {"name": "HOST_IP", "valueFrom": {"fieldRef": {}}}],
    }
    wanted = daemonset(template={"spec": {"containers": [container]}})
    for check_mode in (True, False):
        result = run_module("k8s_object", {"definition": wanted}, check_mode=check_mode, diff=True)
        assert result["changed"]
        assert "pl4nted" not in str({**result, "invocation": None})
        assert "DSN" in str(result["diff"])
        assert "(set)" in str(result["resources"])
    assert kube.objects[PATH]["spec"]["template"]["spec"]["containers"] == [container]


def test_a_missing_pod_is_not_created(kube, run_module):
    result = run_module("k8s_object", {"definition": POD, "state": "patched"})

    assert (result["changed"], result["resources"]) == (False, [])
    assert kube.writes == []


def test_a_lost_race_is_repeated(kube, run_module):
    add_pod(kube, pod(1))
    races = iter(range(2))

    def race(method: str, path: str) -> None:
        if method == "put" and next(races, None) is not None:
            add_pod(kube, pod(1))

    kube.on_request = race

    assert run_module("k8s_object", {"definition": POD, "state": "patched"})["changed"]


def test_k6_a_namespace_that_is_made_allows_its_pods(kube, run_module):
    run_module("k8s_object", {"definition": namespace(**PRIVILEGED), "state": "created"})

    assert kube.objects[f"/api/v1/namespaces/{NAMESPACE}"]["metadata"]["labels"] == PRIVILEGED


def test_k6_what_the_owner_says_of_a_namespace_stays(kube, run_module):
    kube.put(f"/api/v1/namespaces/{NAMESPACE}", namespace(**{"pod-security.kubernetes.io/enforce": "baseline"}))
    result = run_module("k8s_object", {"definition": namespace(**PRIVILEGED), "state": "created"})

    assert not result["changed"]
    assert kube.writes == []


def test_deleting_waits_until_the_object_is_gone(kube, run_module):
    add_daemonset(kube, {"new": 1})
    looks = iter(range(3))
    kube.deleted = lambda path: None
    kube.on_request = lambda method, path: (
        kube.objects.pop(PATH, None) if kube.writes and next(looks, None) is None else None
    )
    result = run_module("k8s_object", {"definition": daemonset(), "state": "absent"})

    assert (result["changed"], result["resources"]) == (True, [])
    assert PATH not in kube.objects
    assert not run_module("k8s_object", {"definition": daemonset(), "state": "absent"})["changed"]


def test_an_object_that_stays_is_named(kube, run_module):
    add_daemonset(kube, {"new": 1})
    kube.deleted = lambda path: None
    result = run_module("k8s_object", {"definition": daemonset(), "state": "absent", "wait_timeout": 0})

    assert f"the DaemonSet {NAME} is not gone 0 s after it was deleted" in result["msg"]


def test_a_refusal_has_the_apis_message(kube, run_module):
    def refuse(method: str, _path: str) -> None:
        if method == "post":
            raise api_error(403, "Forbidden", 'User "x" cannot create resource "daemonsets"')

    kube.on_request = refuse
    result = run_module("k8s_object", {"definition": daemonset()})

    assert 'cannot create resource "daemonsets"' in result["msg"]
    assert result["failure"]["status"] == 403


@pytest.mark.parametrize("definition", [{"kind": "Secret", "metadata": {"name": "x"}}, {"kind": "Pod", "metadata": {}}])
def test_other_kinds_are_refused(kube, run_module, definition):
    assert "one of Namespace, Service, Pod, DaemonSet" in run_module("k8s_object", {"definition": definition})["msg"]


def test_an_object_is_read(kube, run_module):
    add_daemonset(kube, {"new": 1})
    read = {"kind": "DaemonSet", "namespace": NAMESPACE}

    assert [
        found["metadata"]["name"] for found in run_module("k8s_object_info", {**read, "name": NAME})["resources"]
    ] == [NAME]
    assert run_module("k8s_object_info", {**read, "name": "other"})["resources"] == []


def test_a_missing_namespace_is_made_first_and_a_present_one_is_kept(kube, run_module):
    given = {"definition": daemonset(selector={}), "create_namespace": PRIVILEGED}
    predicted = run_module("k8s_object", given, check_mode=True, diff=True)
    assert predicted["changed"]
    assert predicted["resources"] == [given["definition"]]
    assert predicted["diff"]["after"]["spec"] == {"selector": {}}
    assert not kube.objects

    assert run_module("k8s_object", given)["changed"]
    path = f"/api/v1/namespaces/{NAMESPACE}"
    assert list(kube.objects) == [path, PATH]
    assert kube.objects[path]["metadata"]["labels"] == PRIVILEGED

    kube.objects[path]["metadata"]["labels"] = {"team": "green"}
    again = run_module("k8s_object", given)
    assert (again["changed"], kube.objects[path]["metadata"]["labels"]) == (False, {"team": "green"})


def test_an_object_without_a_namespace_has_none_to_make(kube, run_module):
    result = run_module("k8s_object", {"definition": namespace(), "create_namespace": PRIVILEGED})
    assert "no metadata.namespace" in result["msg"]
    assert not kube.objects

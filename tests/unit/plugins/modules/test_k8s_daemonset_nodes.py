# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from conftest import import_plugin
from fake_kube import APPS, CORE, NAME, NAMESPACE, FakeKube, add_daemonset, add_pod, pod

api = import_plugin("module_utils._kube.api")
daemonset = import_plugin("module_utils._kube.daemonset")
PATH = f"{APPS}/daemonsets/{NAME}"
PREFERRED = [{"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}]


def on_hostnames(*nodes: str) -> dict[str, Any]:
    """Affinity in the form that the role's template has it, and something of the owner's beside it."""
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}]}]
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
            "preferredDuringSchedulingIgnoredDuringExecution": PREFERRED,
        }
    }


@pytest.fixture
def kube(monkeypatch) -> FakeKube:
    """Three pods, and a DaemonSet controller that stops those on nodes the template does not name."""
    fake = FakeKube(lag=0)
    monkeypatch.setattr(import_plugin("modules.k8s_daemonset_nodes"), "connect", lambda _module: api.KubeApi(fake))
    add_daemonset(fake, {"new": 1})
    fake.objects[PATH]["spec"].update(
        updateStrategy={"type": "OnDelete"}, template={"spec": {"affinity": on_hostnames("pi-1", "pi-2", "pi-3")}}
    )
    for node in (1, 2, 3):
        add_pod(fake, pod(node))
    return fake


def controlled(kube: FakeKube, looks: int = 3) -> None:
    """The pods of other nodes are stopping at the next look, gone `looks` looks later, and only then is the template seen."""
    seen = iter(range(1000))

    def act(_method: str, path: str) -> None:
        written = [request for request in kube.writes if request == ("put", PATH)]
        if not written or path != f"{CORE}/pods":
            return
        look = next(seen)
        kept = named(kube)
        for key, found in list(kube.objects.items()):
            if key.startswith(f"{CORE}/pods/") and found["spec"]["nodeName"] not in kept:
                found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z"
                if look >= looks:
                    del kube.objects[key]
        if look >= looks:
            kube.objects[PATH]["status"]["observedGeneration"] = kube.objects[PATH]["metadata"]["generation"]

    kube.on_request = act


def named(kube: FakeKube) -> list[str]:
    terms = daemonset.required_terms(kube.objects[PATH])
    return [value for term in terms for field in term.get("matchFields", []) for value in field["values"]]


@pytest.fixture
def choose(run_module):
    def run(*nodes: str, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        args = {"namespace": NAMESPACE, "daemonset": NAME, "nodes": list(nodes), "wait_timeout": 5, **options}
        return run_module("k8s_daemonset_nodes", args, check_mode=check_mode, diff=True)

    return run


def test_only_pods_of_other_nodes_stop_and_that_is_waited_for(kube, choose):
    controlled(kube)
    kube.objects[PATH]["metadata"]["generation"] = 3  # as the API counts a changed template

    result = choose("pi-2", "pi-3")

    assert kube.writes == [("put", PATH)]
    assert [found["spec"]["nodeName"] for found in kube.pods] == ["pi-2", "pi-3"]
    assert all("deletionTimestamp" not in found["metadata"] for found in kube.pods)
    assert (result["changed"], result["nodes"], result["stopped"]) == (True, ["pi-2", "pi-3"], [f"{NAME}-1a"])


def test_the_rest_of_the_template_is_kept(kube, choose):
    controlled(kube)
    choose("pi-2")
    affinity = kube.objects[PATH]["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    assert affinity["preferredDuringSchedulingIgnoredDuringExecution"] == PREFERRED
    assert affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] == [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["pi-2"]}]}
    ]


def test_a_second_time_changes_nothing(kube, choose):
    controlled(kube)
    choose("pi-2", "pi-3")
    kube.requests.clear()
    assert (choose("pi-2", "pi-3")["changed"], kube.writes) == (False, [])


def test_no_node_at_all_leaves_no_pod(kube, choose):
    """An empty list of terms is refused by the API."""
    controlled(kube)
    choose()
    assert kube.pods == []
    assert daemonset.required_terms(kube.objects[PATH]) == [daemonset.NO_NODE]


def test_no_node_without_a_daemonset_is_as_wanted(kube, choose):
    del kube.objects[PATH]
    assert choose()["changed"] is False
    assert "there is no DaemonSet" in choose("pi-1")["msg"]


def test_a_pod_that_does_not_stop_fails_with_its_name(kube, choose):
    controlled(kube, looks=1000)
    result = choose("pi-2", "pi-3", wait_timeout=0)
    assert result["failed"] is True
    assert f"{NAME}-1a" in result["msg"]
    assert result["changed"] is True


def test_pods_are_ordered_to_stop_without_waiting_for_them(kube, choose):
    controlled(kube, looks=1000)
    result = choose(wait=False)
    assert (result["changed"], kube.writes) == (True, [("put", PATH)])
    assert "failed" not in result


def test_an_update_strategy_that_replaces_pods_is_refused(kube, choose):
    for strategy in ({"type": "RollingUpdate"}, None):
        kube.objects[PATH]["spec"]["updateStrategy"] = strategy
        result = choose("pi-2", check_mode=True)
        assert "RollingUpdate" in result["msg"]
    assert kube.writes == []


def test_a_template_changed_meanwhile_is_read_again(kube, choose):
    controlled(kube)
    act, once = kube.on_request, iter([True])

    def change(method: str, path: str) -> None:
        if method == "put" and next(once, False):
            kube.objects[PATH]["metadata"]["resourceVersion"] = "changed"
        act(method, path)

    kube.on_request = change
    assert choose("pi-3")["changed"] is True
    assert named(kube) == ["pi-3"]


def test_check_mode_predicts_and_writes_nothing(kube, choose):
    result = choose("pi-3", check_mode=True)
    assert (result["changed"], result["stopped"], kube.writes) == (True, [f"{NAME}-1a", f"{NAME}-2a"], [])


def test_a_named_node_has_a_pod_that_its_kubelet_has_accepted(kube, choose):
    """As it is for a pod that waits for its volume: scheduled, taken up, and not running."""
    controlled(kube)
    waiting = kube.objects[f"{CORE}/pods/{NAME}-3a"]
    waiting["status"] = {"phase": "Pending"}
    result = choose("pi-3", wait_for="accepted", wait_timeout=1)
    assert f"{NAME}-3a is not accepted" in result["msg"]

    waiting["status"]["startTime"] = "2026-01-01T00:00:00Z"
    assert not choose("pi-3", wait_for="accepted").get("failed")


def test_a_named_node_without_a_pod_is_waited_for(kube, choose):
    controlled(kube)
    del kube.objects[f"{CORE}/pods/{NAME}-2a"]
    result = choose("pi-2", wait_for="accepted", wait_timeout=1)
    assert "pi-2: has no pod" in result["msg"]
    assert not choose("pi-2").get("failed"), "by default it is not"

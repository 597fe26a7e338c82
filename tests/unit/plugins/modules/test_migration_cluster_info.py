# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import import_plugin
from fake_kube import NAME, NAMESPACE, FakeKube, add_daemonset, add_pod, pod

api = import_plugin("module_utils._kube.api")
LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/pi-controller-raft-migration"
Look = Callable[..., dict[str, Any]]


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    fake = FakeKube(lag=0)
    monkeypatch.setattr(import_plugin("modules.migration_cluster_info"), "connect", lambda _module: api.KubeApi(fake))
    monkeypatch.setattr(api, "READ_PATIENCE", 0.0)
    return fake


@pytest.fixture
def look(run_module: Callable[..., dict[str, Any]]) -> Look:
    def run(**options: Any) -> dict[str, Any]:
        args = {
            "namespace": NAMESPACE,
            "service": NAME,
            "daemonset": NAME,
            "lock_name": "pi-controller-raft-migration",
            **options,
        }
        return run_module("migration_cluster_info", args)

    return run


@pytest.mark.usefixtures("kube")
def test_an_empty_namespace(look: Look) -> None:
    result = look()
    assert not result["changed"]
    assert result["service"]["mode"] == "absent"
    assert (result["pods"], result["lock"]) == ([], None)


def test_pods_of_the_daemonset_and_no_others(kube: FakeKube, look: Look) -> None:
    add_daemonset(kube, {"new": 1})
    add_pod(kube, pod(1))
    stranger = pod(2)
    stranger["metadata"]["ownerReferences"] = []
    add_pod(kube, stranger)
    assert [pod["node"] for pod in look()["pods"]] == ["pi-1"]


def test_the_holder_of_the_lock(kube: FakeKube, look: Look) -> None:
    spec = {
        "holderIdentity": "anna@laptop",
        "acquireTime": "2026-01-31T10:00:00.000000Z",
        "renewTime": "2026-01-31T10:00:20.000000Z",
        "leaseDurationSeconds": 60,
    }
    kube.put(LEASE, {"metadata": {"name": "pi-controller-raft-migration", "namespace": "default"}, "spec": spec})
    lock = look()["lock"]
    assert (lock["holder"], lock["renewed"], lock["duration_seconds"]) == (
        "anna@laptop",
        "2026-01-31T10:00:20.000000Z",
        60,
    )
    kube.put(
        LEASE,
        {"metadata": {"name": "pi-controller-raft-migration", "namespace": "default"}, "spec": {"holderIdentity": ""}},
    )
    assert (look()["lock"], look()["lock_read"]) == (None, True)


def test_an_api_that_is_away_is_a_fault_and_asked_once(kube: FakeKube, look: Look) -> None:
    asked = []

    def away(method: str, path: str) -> None:
        asked.append(path)
        raise OSError("connection refused")

    kube.on_request = away
    result = look()
    assert result["service"]["mode"] == "unknown"
    assert len(result["faults"]) == len(asked) == 1
    assert "is unreachable" in result["faults"][0]


def test_no_connection_at_all_is_a_fault_too(monkeypatch: pytest.MonkeyPatch, look: Look) -> None:
    def refuse(_module: Any) -> Any:
        raise api.KubeError("cannot connect to Kubernetes: no kubeconfig")

    monkeypatch.setattr(import_plugin("modules.migration_cluster_info"), "connect", refuse)
    result = look()
    assert result["faults"] == ["cannot connect to Kubernetes: no kubeconfig"]
    assert (result["service"]["mode"], result["lock"], result["lock_read"]) == ("unknown", None, False)

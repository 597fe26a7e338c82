# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from conftest import import_plugin

facts = import_plugin("module_utils._kube.facts")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250m", 0.25),
        ("4", 4),
        ("64Mi", 64 * 1024**2),
        ("1G", 1e9),
        ("3880Ki", 3880 * 1024),
        ("1e3", 1000),
        (2, 2),
        (None, 0),
        ("x", 0),
    ],
)
def test_quantities(text, number):
    assert facts.quantity(text) == pytest.approx(number)


def pod(node="pi-1", phase="Running", containers=(), init=()):
    def of(requests):
        return [{"resources": {"requests": request}} if request else {} for request in requests]

    return {
        "spec": {"nodeName": node, "containers": of(containers), "initContainers": of(init)},
        "status": {"phase": phase},
    }


def node(**status):
    return {
        "metadata": {"name": "pi-1", "labels": {"kubernetes.io/hostname": "pi-1"}},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.77.0.11"}, {"type": "Hostname", "address": "pi-1"}],
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "KubeletReady"},
                {"type": "DiskPressure", "status": "False"},
            ],
            "allocatable": {"cpu": "3900m", "memory": "1Gi", "pods": "110"},
            "nodeInfo": {"kubeletVersion": "v1.35.2"},
            **status,
        },
    }


def test_a_node_and_what_its_pods_have_asked_for():
    seen = facts.node_facts(
        node(images=[{"names": ["docker.io/library/x:1", "docker.io/library/x@sha256:0f"]}, {}]),
        [
            pod(containers=[{"cpu": "100m", "memory": "10Mi"}, {"cpu": "1"}, None]),
            pod(containers=[{"cpu": "100m"}], init=[{"cpu": "500m"}]),
            pod(phase="Succeeded", containers=[{"cpu": "2"}]),
            pod(node="pi-2", containers=[{"cpu": "2"}]),
        ],
    )
    assert seen["requested"] == {"cpu": pytest.approx(1.6), "memory": 10 * 1024**2}
    assert seen["allocatable"] == {"cpu": pytest.approx(3.9), "memory": 1024**3}
    assert (seen["ready"], seen["pressure"], seen["addresses"], seen["hostname"]) == (True, [], ["10.77.0.11"], "pi-1")
    assert seen["images"] == ["docker.io/library/x:1", "docker.io/library/x@sha256:0f"]


def test_a_node_that_is_lost():
    conditions = [
        {
            "type": "Ready",
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
        },
        {"type": "MemoryPressure", "status": "True"},
    ]
    seen = facts.node_facts(node(conditions=conditions), [])

    assert seen["ready"] is False
    assert seen["why_not_ready"] == "NodeStatusUnknown Kubelet stopped posting node status."
    assert seen["pressure"] == ["MemoryPressure"]
    assert facts.node_facts(node(conditions=[]), [])["ready"] is False


def test_objects_that_are_not_there():
    assert facts.daemonset_facts(None) is None
    assert facts.service_facts(None) is None
    assert facts.namespace_facts(None) is None


def test_objects_that_are_there():
    daemonset = {"metadata": {}, "spec": {"template": {"spec": {"containers": [{"image": "x:1"}]}}}}
    assert facts.daemonset_facts(daemonset) == {"managed_by": None, "images": ["x:1"]}
    daemonset["metadata"] = {"labels": {"app.kubernetes.io/managed-by": "raft-migration"}}
    assert facts.daemonset_facts(daemonset)["managed_by"] == "raft-migration"
    assert facts.service_facts({"metadata": {"namespace": "a", "name": "b"}, "spec": {"selector": None}}) == {
        "namespace": "a",
        "name": "b",
        "type": "ClusterIP",
        "selector": {},
        "policies": {"externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster"},
    }
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    assert facts.namespace_facts({"metadata": {"labels": labels}, "status": {"phase": "Terminating"}}) == {
        "phase": "Terminating",
        "enforce": "restricted",
    }


@pytest.mark.parametrize("policy", ["externalTrafficPolicy", "internalTrafficPolicy"])
def test_k3_the_policies_of_a_service_are_read(policy):
    read = facts.service_facts({"metadata": {"name": "b"}, "spec": {policy: "Local"}})["policies"]
    assert [name for name, value in read.items() if value == "Local"] == [policy]

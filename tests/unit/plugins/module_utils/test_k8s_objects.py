# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The predicates against objects as Kubernetes serves them (tests/unit/objects), not against mocks of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import import_plugin

pods = import_plugin("module_utils._kube.pods")
daemonsets = import_plugin("module_utils._kube.daemonset")
lists = import_plugin("module_utils._kube.endpoints")
services = import_plugin("module_utils._kube.service")

OBJECTS = Path(__file__).resolve().parents[2] / "objects"


def load(name: str) -> Any:
    return yaml.safe_load((OBJECTS / f"{name}.yml").read_text())


@pytest.mark.parametrize(
    ("name", "running", "ready", "terminating"),
    [
        ("pod-ready", True, True, False),
        ("pod-running", True, False, False),
        ("pod-crashing", False, False, False),
        ("pod-without-image", False, False, False),
        ("pod-unscheduled", False, False, False),
        ("pod-stopping", False, False, True),
    ],
)
def test_what_a_pod_is(name, running, ready, terminating):
    pod = load(name)

    assert (pods.is_running(pod), pods.is_ready(pod), pods.is_terminating(pod)) == (running, ready, terminating)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pod-ready", None),
        ("pod-running", None),
        ("pod-crashing", "CrashLoopBackOff: back-off"),
        ("pod-without-image", "ErrImageNeverPull: "),
        ("pod-unscheduled", "Unschedulable: 0/3 nodes are available"),
    ],
)
def test_why_a_pod_waits(name, words):
    reason = pods.waiting_reason(load(name))

    assert reason is None if words is None else reason.startswith(words)


def test_an_unscheduled_pod_belongs_to_its_intended_node():
    pod = load("pod-unscheduled")

    assert "nodeName" not in pod["spec"]
    assert pods.node_of(pod) == "pi-3"
    assert pods.node_of(load("pod-ready")) == "pi-1"


def test_how_a_container_ended():
    ended = pods.last_termination(load("pod-crashing"))

    assert (ended["container"], ended["exit_code"], ended["reason"]) == ("pi-controller", 1, "Error")
    assert pods.restart_count(load("pod-crashing")) >= 2
    assert pods.last_termination(load("pod-ready")) is None


def test_named_ports():
    pod = load("pod-ready")

    assert (pods.container_port(pod, "rest"), pods.container_port(pod, "grpc")) == (28082, 29093)
    assert pods.container_port(pod, "none") is None
    assert pods.container_port(pod, "rest", "UDP") is None


def test_why_a_pod_is_not_as_wanted():
    ready, crashing = load("pod-ready"), load("pod-crashing")
    revision = pods.revision(ready)

    assert pods.why_not(ready, "ready", revision) is None
    assert pods.why_not(ready, "running", "other").endswith(f"has revision {revision}, wanted other")
    assert pods.why_not(load("pod-running"), "running", None) is None
    assert "is not ready (phase Running" in pods.why_not(load("pod-running"), "ready", None)
    assert pods.why_not(load("pod-stopping"), "running", None).endswith("is still stopping")
    text = pods.why_not(crashing, "running", None)
    assert "CrashLoopBackOff" in text
    assert "last exited with code 1" in text


def test_the_newest_revision_is_that_of_the_present_template():
    daemonset, revisions = load("daemonset"), load("controllerrevisions")["items"]

    assert daemonsets.is_settled(daemonset)
    assert daemonsets.newest_revision(revisions, daemonset) == pods.revision(load("pod-ready"))
    assert daemonsets.newest_revision(revisions, {"metadata": {"uid": "other"}}) is None
    assert daemonsets.is_owned_by(load("pod-ready"), daemonset)


def test_mirrored_slices_have_the_targets_of_the_owners_endpoints():
    slices = load("endpointslices-to-endpoints")["items"]
    targets = lists.of_subsets(load("endpoints-to-endpoints")["subsets"])

    assert targets
    assert lists.of_slices(slices) == targets
    assert [lists.managed_by(item) for item in slices] == [lists.MIRRORED]
    assert not lists.mirrors_pods(slices[0])
    assert services.mode(load("service-to-endpoints")) == "endpoints"


def test_slices_of_pods_have_the_targets_and_nodes_of_the_pods():
    slices, service = load("endpointslices-to-pods")["items"], load("service-to-pods")

    assert lists.of_pods([load("pod-ready")], service) == lists.of_slices(slices)
    assert lists.node_names(slices) == lists.nodes_of_pods([load("pod-ready")]) == {"10.77.0.11": "pi-1"}
    assert [lists.managed_by(item) for item in slices] == [lists.OF_PODS]
    assert not services.has_selector_of_owner(service)


def test_own_slices_come_back_from_the_api_as_they_were_written():
    service, (present,) = load("service-to-endpoints"), load("endpointslices-own")["items"]
    (of_mirror,) = load("endpointslices-to-endpoints")["items"]

    (wanted,) = lists.own_slices(service, lists.of_slices([of_mirror]), {})

    assert lists.same_endpoints(present, wanted)
    assert {key: present["metadata"][key] for key in wanted["metadata"]} == wanted["metadata"]


def test_a_service_in_the_api_has_what_its_owner_had():
    given_back = services.owners_service(load("service-to-pods"))

    assert services.saved(load("service-to-pods"))["endpoints"]["subsets"] == load("endpoints-to-endpoints")["subsets"]
    assert given_back["spec"] == load("service-to-endpoints")["spec"]
    assert given_back["metadata"].keys() == load("service-to-endpoints")["metadata"].keys()


def test_own_slices_have_what_those_of_the_controllers_have():
    service, (of_pods,) = load("service-to-pods"), load("endpointslices-to-pods")["items"]

    (own,) = lists.own_slices(service, lists.of_slices([of_pods]), lists.node_names([of_pods]))

    assert lists.same_endpoints(of_pods, own)
    assert own["metadata"]["ownerReferences"][0]["uid"] == service["metadata"]["uid"]

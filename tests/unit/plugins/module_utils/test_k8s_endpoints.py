# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest
from conftest import import_plugin
from fake_kube import pod

lists = import_plugin("module_utils._kube.endpoints")
k8s_service = import_plugin("module_utils._kube.service")
Target = lists.Target

SERVICE = {
    "metadata": {"namespace": "ns", "name": "svc", "uid": "uid-svc"},
    "spec": {
        "ports": [
            {"name": "rest", "port": 8080, "protocol": "TCP", "targetPort": "rest"},
            {"name": "grpc", "port": 9090, "protocol": "TCP", "targetPort": "grpc"},
        ]
    },
}
MIXED = lists.of_option(
    [
        {"ip": "10.0.0.1", "ports": {"rest": 8080, "grpc": 9090}},
        {"ip": "10.0.0.2", "ports": {"rest": 8082, "grpc": 9093}},
        {"ip": "10.0.0.3", "ports": {"rest": 8080, "grpc": 9090}},
    ]
)


def test_numbers_that_went_through_a_template_are_numbers():
    assert lists.of_option([{"ip": "10.0.0.1", "ports": {"rest": "8080"}}]) == {Target("10.0.0.1", "rest", 8080)}


def test_an_endpoints_object_leads_where_it_was_made_to():
    made = lists.endpoints_object(None, "ns", "svc", MIXED, {"10.0.0.2": "pi-2"})

    assert lists.of_endpoints(made) == MIXED
    assert lists.node_names(made) == {"10.0.0.2": "pi-2"}
    assert len(made["subsets"]) == 2, "addresses with equal ports share a subset"
    assert made["metadata"] == {"namespace": "ns", "name": "svc"}


def test_an_endpoints_object_keeps_what_is_not_the_controllers():
    present = {
        "metadata": {
            "name": "svc",
            "resourceVersion": "7",
            "labels": {"team": "lab", "endpoints.kubernetes.io/managed-by": "endpoint-controller"},
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "x", "note": "y"},
        },
        "subsets": [],
    }
    before = copy.deepcopy(present)

    metadata = lists.endpoints_object(present, "ns", "svc", MIXED, {})["metadata"]

    assert (metadata["resourceVersion"], metadata["labels"], metadata["annotations"]) == (
        "7",
        {"team": "lab"},
        {"note": "y"},
    )
    assert present == before


def test_addresses_that_are_not_ready_do_not_count():
    subset = {"addresses": [{"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": [{"port": 80}]}

    assert lists.of_endpoints({"subsets": [subset]}) == {Target("10.0.0.1", "", 80)}
    assert lists.of_endpoints({"metadata": {}}) == lists.of_endpoints(None) == frozenset()


@pytest.mark.parametrize(
    ("conditions", "counts"),
    [({"ready": True}, True), ({"ready": False}, False), ({"ready": None}, True), ({}, True), (None, True)],
)
def test_a_slice_counts_with_what_is_ready_or_unknown(conditions, counts):
    one = {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": conditions}],
        "ports": [{"name": "rest", "port": 8080}],
    }

    assert bool(lists.of_slices([one])) is counts


def test_slices_are_added_up_and_names_are_no_addresses():
    ports = [{"name": "rest", "port": 8080}]
    slices = [
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": ports},
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.2"]}], "ports": ports},
        {"addressType": "FQDN", "endpoints": [{"addresses": ["example"]}], "ports": ports},
        {"addressType": "IPv4", "endpoints": None, "ports": None},
    ]

    assert {target.ip for target in lists.of_slices(slices)} == {"10.0.0.1", "10.0.0.2"}


def test_pods_count_with_their_own_numbers():
    pods = [pod(1, rest=8080, grpc=9090), pod(2), pod(3, ready=False)]

    assert lists.summary(lists.of_pods(pods, SERVICE)) == [
        {"ip": "10.77.0.11", "ports": {"rest": 8080, "grpc": 9090}},
        {"ip": "10.77.0.12", "ports": {"rest": 8082, "grpc": 9093}},
    ]


def test_a_service_may_publish_pods_that_are_not_ready_but_none_that_stop():
    stopping = pod(1, ready=False)
    stopping["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    service = {**SERVICE, "spec": {**SERVICE["spec"], "publishNotReadyAddresses": True}}

    assert {target.ip for target in lists.of_pods([stopping, pod(2, ready=False)], service)} == {"10.77.0.12"}


def test_a_number_as_target_port_is_that_number_and_a_name_nobody_has_is_left_out():
    ports = [
        {"name": "a", "port": 1, "targetPort": 81},
        {"name": "b", "port": 2},
        {"name": "c", "port": 3, "targetPort": "none"},
    ]

    assert lists.of_pods([pod(1)], {"spec": {"ports": ports}}) == {
        Target("10.77.0.11", "a", 81),
        Target("10.77.0.11", "b", 2),
    }


def test_two_families():
    both = pod(1)
    both["status"]["podIPs"].append({"ip": "fd00::11"})

    def ips(families):
        service = {"spec": {**SERVICE["spec"], "ipFamilies": families}}
        targets = lists.of_pods([both], service)
        return {target.ip for target in targets}, {target.ip for target in lists.first_family(targets, service)}

    assert ips(["IPv4"]) == ({"10.77.0.11"}, {"10.77.0.11"})
    assert ips(["IPv6", "IPv4"]) == ({"fd00::11", "10.77.0.11"}, {"fd00::11"})


def test_bridge_slices_lead_to_the_same_and_go_with_the_service():
    targets = MIXED | {Target("fd00::1", "rest", 8080), Target("fd00::1", "grpc", 9090)}

    slices = lists.bridge_slices(SERVICE, targets, {"10.0.0.1": "pi-1"}, "v1")

    assert lists.of_slices(slices) == targets
    assert sorted(one["addressType"] for one in slices) == ["IPv4", "IPv4", "IPv6"]
    assert len({one["metadata"]["name"] for one in slices}) == 3
    assert {lists.managed_by(one) for one in slices} == {lists.BRIDGE}
    assert slices[0]["metadata"]["labels"][lists.SERVICE_LABEL] == "svc"
    assert slices[0]["metadata"]["ownerReferences"][0]["uid"] == "uid-svc"


@pytest.mark.parametrize(
    ("version", "node"), [("v1", {"nodeName": "pi-1"}), ("v1beta1", {"topology": {"kubernetes.io/hostname": "pi-1"}})]
)
def test_each_version_of_slices_has_its_own_word_for_the_node(version, node):
    (one,) = lists.bridge_slices(SERVICE, frozenset({Target("10.0.0.1", "rest", 8080)}), {"10.0.0.1": "pi-1"}, version)

    assert one["apiVersion"] == f"discovery.k8s.io/{version}"
    assert one["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}, **node}]


def test_two_numbers_behind_one_name_are_both_shown():
    both = frozenset({Target("10.0.0.1", "rest", 8080), Target("10.0.0.1", "rest", 8082)})

    assert lists.summary(both) == [{"ip": "10.0.0.1", "ports": {"rest": "8080,8082"}}]


def test_a_port_is_found_by_name_then_by_number_and_else_added():
    present = {
        "metadata": {},
        "spec": {"ports": [{"port": 8080, "targetPort": 80, "nodePort": 30080}], "selector": {"a": "b"}},
    }

    wanted = k8s_service.wanted_service(present, "ns", "svc", {"rest": 8080, "grpc": 9090}, None)

    assert wanted["spec"]["ports"] == [
        {"name": "rest", "port": 8080, "protocol": "TCP", "targetPort": "rest", "nodePort": 30080},
        {"name": "grpc", "port": 9090, "protocol": "TCP", "targetPort": "grpc"},
    ]
    assert "selector" not in wanted["spec"]
    assert present["spec"]["selector"] == {"a": "b"}
    assert k8s_service.differs(present, wanted)
    assert not k8s_service.differs(wanted, k8s_service.wanted_service(wanted, "ns", "svc", {"grpc": 9090}, None))


@pytest.mark.parametrize(
    ("service", "mode"),
    [
        (None, "absent"),
        ({"spec": {}}, "endpoints"),
        ({"spec": {"selector": {}}}, "endpoints"),
        ({"spec": {"selector": {"a": "b"}}}, "pods"),
    ],
)
def test_the_mode_of_a_service(service, mode):
    assert k8s_service.mode(service) == mode

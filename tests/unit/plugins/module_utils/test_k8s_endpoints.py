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


def test_addresses_of_an_owner_that_are_not_ready_do_not_count():
    subset = {"addresses": [{"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": [{"port": 80}]}

    assert lists.of_subsets([subset]) == {Target("10.0.0.1", "", 80)}
    assert lists.of_subsets(None) == frozenset()


def test_an_owners_address_keeps_the_form_kubernetes_gives_it():
    assert lists.of_subsets([{"addresses": [{"ip": "FD00:0::1"}], "ports": [{"port": 80}]}]) == {
        Target("fd00::1", "", 80)
    }


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


def test_a_service_may_publish_unready_but_no_stopping_pods():
    stopping = pod(1, ready=False)
    stopping["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    service = {**SERVICE, "spec": {**SERVICE["spec"], "publishNotReadyAddresses": True}}

    assert {target.ip for target in lists.of_pods([stopping, pod(2, ready=False)], service)} == {"10.77.0.12"}


def test_numeric_and_unknown_target_ports():
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
        return {target.ip for target in lists.of_pods([both], service)}

    assert ips(["IPv4"]) == {"10.77.0.11"}
    assert ips(["IPv6", "IPv4"]) == {"fd00::11", "10.77.0.11"}


def test_own_slices_have_the_targets_and_go_with_the_service():
    targets = MIXED | {Target("fd00::1", "rest", 8080), Target("fd00::1", "grpc", 9090)}

    slices = lists.own_slices(SERVICE, targets, {"10.0.0.1": "pi-1"})

    assert lists.of_slices(slices) == targets
    assert [(item["addressType"], item["metadata"]["name"]) for item in slices] == [
        ("IPv4", "svc-migration-ipv4-0"),
        ("IPv4", "svc-migration-ipv4-1"),
        ("IPv6", "svc-migration-ipv6-0"),
    ]
    assert {lists.managed_by(item) for item in slices} == {lists.OWN}
    assert slices[0]["apiVersion"] == "discovery.k8s.io/v1"
    assert slices[0]["metadata"]["labels"][lists.SERVICE_LABEL] == "svc"
    assert slices[0]["metadata"]["ownerReferences"][0]["uid"] == "uid-svc"


def test_k3_own_slices_have_the_nodes_that_are_known():
    (item,) = lists.own_slices(
        SERVICE, frozenset({Target("10.0.0.1", "rest", 8080), Target("10.0.0.2", "rest", 8080)}), {"10.0.0.1": "pi-1"}
    )

    assert item["endpoints"] == [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "nodeName": "pi-1"},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": True}},
    ]
    assert lists.node_names([item]) == {"10.0.0.1": "pi-1"}


def test_two_numbers_behind_one_name_are_both_shown():
    both = frozenset({Target("10.0.0.1", "rest", 8080), Target("10.0.0.1", "rest", 8082)})

    assert lists.summary(both) == [{"ip": "10.0.0.1", "ports": {"rest": "8080,8082"}}]


PORTS = {"rest": 8080, "grpc": 9090}


@pytest.mark.parametrize(
    ("port", "targets", "role"),
    [
        ({"name": "http", "port": 8080, "targetPort": 8080}, [], "rest"),
        ({"name": "http", "port": 80, "targetPort": 8080}, [], "rest"),
        ({"name": "http", "port": 80, "targetPort": 80}, [8080], "rest"),
        ({"name": "http", "port": 80, "targetPort": "rest"}, [8082], "rest"),
        ({"name": "http", "port": 8080, "targetPort": "web"}, [], "rest"),
        ({"port": 8080, "targetPort": 8080}, [], "rest"),
        ({"name": "http", "port": 80, "targetPort": 80}, [], None),
        # A name alone says nothing.
        ({"name": "rest", "port": 8081, "targetPort": 8081}, [], None),
        ({"name": "rest", "port": 9090, "targetPort": 9090}, [], "grpc"),
        ({"name": "http", "port": 8080, "targetPort": 8080, "protocol": "UDP"}, [], None),
    ],
)
def test_k2_ports_are_matched_by_number(port, targets, role):
    service = {"metadata": {}, "spec": {"ports": [port]}}
    name = port.get("name", "")
    seen = frozenset(Target("10.0.0.1", name, number) for number in targets)

    assert k8s_service.daemon_ports(service, seen, PORTS) == ({name: role} if role else {})


def test_k2_the_owners_ports_keep_all_but_their_target():
    ports = [
        {"name": "http", "port": 8080, "targetPort": 80, "nodePort": 30080, "appProtocol": "http"},
        {"name": "socket", "port": 8081, "targetPort": 8081},
    ]
    present = {"metadata": {"name": "svc"}, "spec": {"ports": ports, "selector": {"a": "b"}}}
    before = copy.deepcopy(present)

    wanted = k8s_service.wanted_service(present, "ns", "svc", PORTS, {"http": "rest"}, None)

    assert wanted["spec"] == {"ports": [{**ports[0], "targetPort": "rest"}, ports[1]]}
    assert present == before
    assert k8s_service.differs(present, wanted)
    assert not k8s_service.differs(
        wanted, k8s_service.wanted_service(wanted, "ns", "svc", PORTS, {"http": "rest"}, None)
    )
    assert k8s_service.owners_service(wanted) == before


def test_a_new_service_has_all_ports_and_nothing_to_restore():
    made = k8s_service.wanted_service(None, "ns", "svc", PORTS, {name: name for name in PORTS}, None)

    assert made["spec"]["ports"] == [
        {"name": name, "port": number, "protocol": "TCP", "targetPort": name} for name, number in PORTS.items()
    ]
    assert k8s_service.saved(made) == {}


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

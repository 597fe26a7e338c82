# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from conftest import import_plugin
from fake_kube import CORE, LABELS, NAME, NAMESPACE, FakeKube, add_pod, pod

api = import_plugin("module_utils._kube.api")
lists = import_plugin("module_utils._kube.endpoints")

PORTS = {"rest": 8080, "grpc": 9090}
SYSTEMD = [{"ip": f"10.77.0.1{number}", "ports": PORTS} for number in (1, 2, 3)]
BESIDE = [{"ip": f"10.77.0.1{number}", "ports": {"rest": 8082, "grpc": 9093}} for number in (1, 2, 3)]


@pytest.fixture(params=["1.20", "1.33"])
def kube(request, monkeypatch) -> FakeKube:
    fake = FakeKube(release=request.param)
    module = import_plugin("modules.k8s_port_swap")
    monkeypatch.setattr(module, "connect", lambda _module: api.KubeApi(fake))
    return fake


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    """What the user is warned of. Ansible shows each text once a process, so the result is no place to look for it."""
    told: list[str] = []
    module = import_plugin("modules.k8s_port_swap")
    monkeypatch.setattr(module.AnsibleK8SModule, "warn", lambda _module, text: told.append(text))
    return told


@pytest.fixture
def swap(run_module):
    def run(lead_to, check_mode=False, diff=False, **options):
        args = {
            "namespace": NAMESPACE,
            "service": NAME,
            "lead_to": lead_to,
            "ports": PORTS,
            "wait_timeout": 5,
            **options,
        }
        return run_module("k8s_port_swap", args, check_mode=check_mode, diff=diff)

    return run


@pytest.fixture
def owned(kube, swap) -> FakeKube:
    """The Service as an owner has it before the migration, with things of the owner's own on it."""
    kube.put(
        f"{CORE}/services/{NAME}",
        {
            "metadata": {"namespace": NAMESPACE, "name": NAME, "labels": {"team": "lab"}},
            "spec": {
                "clusterIP": "10.96.7.7",
                "type": "NodePort",
                "sessionAffinity": "ClientIP",
                "ports": [
                    {"name": "rest", "port": 8080, "protocol": "TCP", "targetPort": 8080, "nodePort": 30080},
                    {"name": "grpc", "port": 9090, "protocol": "TCP", "targetPort": 9090, "nodePort": 30090},
                ],
            },
        },
    )
    kube.put(f"{CORE}/endpoints/{NAME}", lists.endpoints_object(None, NAMESPACE, NAME, lists.of_option(SYSTEMD), {}))
    kube.settle()
    kube.history.clear()
    kube.requests.clear()
    return kube


def three_pods(kube: FakeKube, **options) -> None:
    for number in (1, 2, 3):
        add_pod(kube, pod(number, **options))
    kube.settle()


def test_makes_a_service_that_leads_to_addresses(kube, swap):
    result = swap("endpoints", endpoints=SYSTEMD)

    assert (result["changed"], result["before"]["mode"], result["after"]["mode"]) == (True, "absent", "endpoints")
    assert result["after"]["endpoints"] == SYSTEMD
    assert result["cluster_ip"] == "10.96.0.77"
    assert [(port["name"], port["targetPort"]) for port in kube.service["spec"]["ports"]] == [
        ("rest", "rest"),
        ("grpc", "grpc"),
    ]
    assert swap("endpoints", endpoints=SYSTEMD)["changed"] is False


def test_moves_to_other_addresses_in_one_update(owned, swap):
    swap("endpoints", endpoints=SYSTEMD)
    owned.requests.clear()
    owned.history.clear()

    result = swap("endpoints", endpoints=BESIDE)

    assert owned.writes == [("put", f"{CORE}/endpoints/{NAME}")]
    assert set(owned.history) <= {lists.of_option(SYSTEMD), lists.of_option(BESIDE)}
    assert (result["changed"], result["before"]["endpoints"], result["after"]["endpoints"]) == (True, SYSTEMD, BESIDE)


def test_keeps_what_the_owner_has_set(owned, swap):
    three_pods(owned)

    result = swap("pods", selector=LABELS, expected=3)

    spec = owned.service["spec"]
    assert owned.service["metadata"]["labels"] == {"team": "lab"}
    assert (spec["clusterIP"], spec["type"], spec["sessionAffinity"]) == ("10.96.7.7", "NodePort", "ClientIP")
    assert [port["nodePort"] for port in spec["ports"]] == [30080, 30090]
    assert [port["targetPort"] for port in spec["ports"]] == ["rest", "grpc"]
    assert result["cluster_ip"] == "10.96.7.7"


def test_leads_to_pods_without_a_moment_without_endpoints(owned, swap):
    three_pods(owned)

    result = swap("pods", selector=LABELS, expected=3)

    assert frozenset() not in owned.history
    assert owned.history[-1] == lists.of_option(BESIDE)
    assert owned.managers() == [lists.OF_PODS]
    assert (result["after"]["mode"], result["after"]["selector"], result["after"]["endpoints"]) == (
        "pods",
        LABELS,
        BESIDE,
    )
    assert swap("pods", selector=LABELS, expected=3)["changed"] is False


def test_leads_back_to_addresses_without_a_moment_without_endpoints(owned, swap):
    three_pods(owned)
    swap("pods", selector=LABELS, expected=3)
    owned.settle()
    owned.history.clear()

    result = swap("endpoints", endpoints=SYSTEMD)

    assert frozenset() not in owned.history
    assert owned.managers() == [lists.MIRRORED]
    assert result["removed_slices"] == [f"{NAME}-pods"]
    assert (result["after"]["mode"], result["after"]["selector"], result["after"]["endpoints"]) == (
        "endpoints",
        None,
        SYSTEMD,
    )
    endpoints = owned.objects[f"{CORE}/endpoints/{NAME}"]
    assert "endpoints.kubernetes.io/managed-by" not in (endpoints["metadata"].get("labels") or {})
    assert swap("endpoints", endpoints=SYSTEMD)["changed"] is False


def test_every_pod_stands_behind_it_with_its_own_number(owned, swap):
    add_pod(owned, pod(1, rest=8080, grpc=9090))
    add_pod(owned, pod(2))

    result = swap("pods", selector=LABELS, expected=2)

    assert result["after"]["endpoints"] == [SYSTEMD[0], BESIDE[1]]


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([], "0 Ready pods"),
        ([pod(1), pod(2)], "2 Ready pods"),
        ([pod(1), pod(2), pod(3, ready=False)], "pi-controller-3a is not Ready"),
        ([pod(1), pod(2), pod(3), pod(4)], "4 Ready pods"),
    ],
)
def test_changes_nothing_before_the_pods_are_as_many_as_expected(owned, swap, pods, words):
    for one in pods:
        add_pod(owned, one)

    result = swap("pods", selector=LABELS, expected=3, wait_timeout=0)

    assert result["failed"]
    assert words in result["msg"]
    assert "nothing was changed" in result["msg"]
    assert (result["changed"], owned.writes) == (False, [])
    assert result["failure"]["seen"] == SYSTEMD


def test_waits_for_pods_that_become_ready(owned, swap):
    three_pods(owned)
    late = pod(3, ready=False)
    add_pod(owned, late)
    late_looks = iter(range(1000))

    def become_ready(method, path):
        if path.endswith("/pods") and next(late_looks) == 3:
            add_pod(owned, pod(3))

    owned.on_request = become_ready

    assert swap("pods", selector=LABELS, expected=3)["after"]["endpoints"] == BESIDE
    assert frozenset() not in owned.history


def test_refuses_pods_whose_ports_have_no_names(owned, swap):
    nameless = pod(1)
    for port in nameless["spec"]["containers"][0]["ports"]:
        del port["name"]
    add_pod(owned, nameless)

    result = swap("pods", selector=LABELS, wait_timeout=0)

    assert "pi-controller-1a has no container port named rest" in result["msg"]
    assert owned.writes == []


def test_tells_what_it_has_changed_when_the_controllers_do_not_follow(owned, swap):
    three_pods(owned)
    owned._wake = owned._record

    result = swap("pods", selector=LABELS, expected=3, wait_timeout=1)

    assert (result["failed"], result["changed"]) == (True, True)
    assert "its EndpointSlices lack 10.77.0.11:9093 (grpc)" in result["msg"]
    assert "kube-controller-manager" in result["msg"]
    assert lists.of_option(BESIDE) <= owned.history[-1], "the slices that stand in for the controllers' must stay"


def test_puts_endpoints_right_that_a_late_controller_wrote_over(owned, swap):
    three_pods(owned)
    swap("pods", selector=LABELS, expected=3)
    owned.settle()
    overwritten = []

    def write_over(method, path):
        if method == "get" and not overwritten and ("put", f"{CORE}/endpoints/{NAME}") in owned.requests:
            overwritten.append(path)
            present = owned.objects[f"{CORE}/endpoints/{NAME}"]
            owned.put(
                f"{CORE}/endpoints/{NAME}",
                lists.endpoints_object(present, NAMESPACE, NAME, lists.of_option(BESIDE), {}),
            )

    owned.requests.clear()
    owned.on_request = write_over

    assert swap("endpoints", endpoints=SYSTEMD)["after"]["endpoints"] == SYSTEMD
    assert overwritten


def test_repeats_what_lost_a_race_with_a_controller(owned, swap):
    races = iter([True])

    def touch(method, path):
        if method == "put" and next(races, False):
            owned.put(path, owned.objects[path])

    owned.on_request = touch

    assert swap("endpoints", endpoints=BESIDE)["after"]["endpoints"] == BESIDE


def test_removes_a_bridge_that_a_killed_run_left(owned, swap):
    (left,) = lists.bridge_slices(owned.service, lists.of_option(BESIDE), {}, owned.slice_version)
    owned.put(f"{owned.slices_path}/{left['metadata']['name']}", left)

    result = swap("endpoints", endpoints=SYSTEMD)

    assert result["changed"] is True
    assert result["removed_slices"] == []
    assert owned.managers() == [lists.MIRRORED]


@pytest.mark.parametrize("lead_to", ["endpoints", "pods"])
def test_check_mode_foretells_and_changes_nothing(owned, swap, lead_to):
    three_pods(owned)
    owned.requests.clear()
    options = {"endpoints": BESIDE} if lead_to == "endpoints" else {"selector": LABELS, "expected": 3}

    foretold = swap(lead_to, check_mode=True, diff=True, **options)
    assert owned.writes == []
    done = swap(lead_to, diff=True, **options)

    assert (foretold["changed"], done["changed"]) == (True, True)
    assert foretold["diff"] == done["diff"]
    assert foretold["diff"]["before"]["endpoints"] == SYSTEMD
    assert foretold["diff"]["after"]["endpoints"] == BESIDE
    assert swap(lead_to, check_mode=True, **options)["changed"] is False


def test_check_mode_before_there_is_anything(kube, swap, warnings):
    result = swap("pods", check_mode=True, selector=LABELS, expected=3)

    assert (result["changed"], result["cluster_ip"]) == (True, None)
    assert any("0 Ready pods" in text for text in warnings)


@pytest.mark.parametrize(
    ("lead_to", "options", "words"),
    [
        ("endpoints", {"endpoints": []}, "an outage"),
        ("endpoints", {"endpoints": [{"ip": "10.77.0.11", "ports": {"rest": 1}}]}, "10.77.0.11 has no port grpc"),
        ("endpoints", {"endpoints": [{"ip": "10.77.0.11", "ports": {"rest": 0, "grpc": 1}}]}, "the port rest 0"),
        ("pods", {"selector": {}}, "every pod of the namespace"),
        ("endpoints", {"endpoints": SYSTEMD, "ports": {"rest": 70000}}, "ports.rest is 70000"),
    ],
)
def test_refuses_options_that_make_no_sense(owned, swap, lead_to, options, words):
    result = swap(lead_to, **options)

    assert result["failed"]
    assert words in result["msg"]
    assert owned.requests == []


def test_refuses_a_service_that_somebody_else_leads(owned, swap):
    path = f"{owned.slices_path}/by-hand"
    labels = {lists.SERVICE_LABEL: NAME, lists.MANAGED_BY: "staff"}
    owned.put(
        path, {"metadata": {"name": "by-hand", "labels": labels}, "addressType": "IPv4", "endpoints": [], "ports": []}
    )

    result = swap("endpoints", endpoints=BESIDE)

    assert "by-hand" in result["msg"]
    assert "staff" in result["msg"]
    assert owned.writes == []


def test_refuses_an_external_name(kube, swap):
    kube.put(f"{CORE}/services/{NAME}", {"metadata": {}, "spec": {"type": "ExternalName", "externalName": "example"}})

    assert "ExternalName" in swap("endpoints", endpoints=SYSTEMD)["msg"]


def test_tells_of_a_port_that_leads_nowhere(owned, swap, warnings):
    owned.service["spec"]["ports"].append({"name": "websocket", "port": 8081, "targetPort": 8081})

    swap("endpoints", endpoints=SYSTEMD)

    assert [port["name"] for port in owned.service["spec"]["ports"]] == ["rest", "grpc", "websocket"]
    assert any("the port websocket" in text for text in warnings)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import copy
import itertools
from typing import Any

import pytest
from conftest import import_plugin
from fake_kube import CORE, LABELS, NAME, NAMESPACE, FakeKube, add_daemonset, add_pod, pod

api = import_plugin("module_utils._kube.api")
lists = import_plugin("module_utils._kube.endpoints")

PORTS = {"rest": 8080, "grpc": 9090}
SYSTEMD = [{"ip": f"10.77.0.1{number}", "ports": PORTS} for number in (1, 2, 3)]
BESIDE = [{"ip": f"10.77.0.1{number}", "ports": {"rest": 8082, "grpc": 9093}} for number in (1, 2, 3)]


ENDPOINTS = f"{CORE}/endpoints/{NAME}"
MANAGED_BY_KUBERNETES = "endpoints.kubernetes.io/managed-by"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"


# The controllers run on their own: what the module does must be right in whatever order they follow.
@pytest.fixture(params=[", ".join(order) for order in itertools.permutations(("mirror", "endpoints", "slices"))])
def kube(request, monkeypatch) -> FakeKube:
    fake = FakeKube(order=request.param)
    module = import_plugin("modules.k8s_port_swap")
    monkeypatch.setattr(module, "connect", lambda _module: api.KubeApi(fake))
    # Its time is counted in requests, so looking again at once is waiting.
    monkeypatch.setattr(import_plugin("module_utils._core.waiting").time, "sleep", lambda _seconds: None)
    return fake


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    """What the user is warned of. Ansible shows each text once a process, so the result is no place to look for it."""
    reported: list[str] = []
    module = import_plugin("modules.k8s_port_swap")
    monkeypatch.setattr(module.AnsibleK8SModule, "warn", lambda _module, text: reported.append(text))
    return reported


@pytest.fixture
def swap(run_module):
    def run(point_to, check_mode=False, diff=False, **options):
        args = {
            "namespace": NAMESPACE,
            "service": NAME,
            "point_to": point_to,
            "ports": PORTS,
            "wait_timeout": 5,
            **options,
        }
        return run_module("k8s_port_swap", args, check_mode=check_mode, diff=diff)

    return run


def service_of_owner(**spec: Any) -> dict[str, Any]:
    """The Service as an owner has it before the migration, with things of the owner's own on it."""
    return {
        "metadata": {"namespace": NAMESPACE, "name": NAME, "labels": {"team": "lab"}},
        "spec": {
            "clusterIP": "10.96.7.7",
            "type": "NodePort",
            "sessionAffinity": "ClientIP",
            "externalTrafficPolicy": "Local",
            "ports": [
                {"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8080, "nodePort": 30080},
                {"name": "api", "port": 9090, "protocol": "TCP", "targetPort": "grpc-api", "nodePort": 30090},
            ],
            **spec,
        },
    }


def endpoints_of_owner() -> dict[str, Any]:
    return {
        "metadata": {"namespace": NAMESPACE, "name": NAME, "labels": {"team": "lab"}, "annotations": {"note": "ours"}},
        "subsets": [
            {
                "addresses": [{"ip": f"10.77.0.1{number}", "nodeName": f"pi-{number}"} for number in (1, 2, 3)],
                "ports": [{"name": "http", "port": 8080}, {"name": "api", "port": 9090}],
            }
        ],
    }


def slice_of_owner(number: int, manager: str | None) -> dict[str, Any]:
    labels = {lists.SERVICE_LABEL: NAME, **({lists.MANAGED_BY: manager} if manager else {})}
    return {
        "metadata": {"namespace": NAMESPACE, "name": f"by-hand-{number}", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [f"10.77.0.1{number}"], "nodeName": f"pi-{number}", "zone": "attic"}],
        "ports": [{"name": "http", "port": 8080}, {"name": "api", "port": 9090}],
    }


def put_endpoints(kube: FakeKube) -> None:
    kube.put(ENDPOINTS, endpoints_of_owner())


def put_slices(kube: FakeKube) -> None:
    for number, manager in ((1, None), (2, "staff"), (3, None)):
        kube.put(f"{kube.slices_path}/by-hand-{number}", slice_of_owner(number, manager))


def put_endpoints_and_slices(kube: FakeKube) -> None:
    endpoints = endpoints_of_owner()
    endpoints["subsets"][0]["addresses"][1:] = []
    kube.put(ENDPOINTS, endpoints)
    for number in (2, 3):
        kube.put(f"{kube.slices_path}/by-hand-{number}", slice_of_owner(number, "staff"))


WORLDS = {"endpoints": put_endpoints, "slices": put_slices, "both": put_endpoints_and_slices}


def rest(kube: FakeKube) -> None:
    kube.settle()
    kube.history.clear()
    kube.requests.clear()


@pytest.fixture
def owned(kube) -> FakeKube:
    """A Service whose ports are named as the collection's are, with an Endpoints object."""
    service = service_of_owner()
    for port, name in zip(service["spec"]["ports"], PORTS, strict=True):
        port.update(name=name, targetPort=port["port"])
    kube.put(f"{CORE}/services/{NAME}", service)
    endpoints = endpoints_of_owner()
    endpoints["subsets"][0]["ports"] = [{"name": name, "port": number} for name, number in PORTS.items()]
    kube.put(ENDPOINTS, endpoints)
    rest(kube)
    return kube


@pytest.fixture(params=WORLDS)
def world(request, kube) -> FakeKube:
    """A Service with port names of the owner's own, and targets in each of the ways an owner can give it some."""
    kube.put(f"{CORE}/services/{NAME}", service_of_owner())
    WORLDS[request.param](kube)
    rest(kube)
    return kube


def of_owner(kube: FakeKube) -> dict[str, Any]:
    """All that is the owner's, without what Kubernetes counts up, and what proxies read."""

    def plain(obj: dict[str, Any] | None) -> Any:
        kept = copy.deepcopy(obj)
        if kept:
            for field in ("resourceVersion", "uid"):
                kept["metadata"].pop(field, None)
            for field in ("kind", "apiVersion"):
                kept.pop(field, None)
        return kept

    by_hand = [item for item in kube.slices if item["metadata"]["name"].startswith("by-hand")]
    # What Kubernetes wrote for the pods' selector outlives it in every cluster. With this label it is never mirrored.
    endpoints = kube.endpoints
    leftover = endpoints is not None and MANAGED_BY_KUBERNETES in endpoints["metadata"]["labels"]
    if leftover and endpoints:
        assert endpoints["metadata"]["labels"][SKIP_MIRROR] == "true"
    return {
        "service": plain(kube.service),
        "endpoints": None if leftover else plain(endpoints),
        "slices": [plain(item) for item in by_hand],
        "targets": lists.of_slices(kube.read_slices),
        "nodes": lists.node_names(kube.read_slices),
        "managers": kube.managers(),
    }


def named(endpoints: list[dict[str, Any]]) -> Any:
    """The targets by the owner's port names."""
    return lists.of_option(
        [
            {"ip": item["ip"], "ports": {"http": item["ports"]["rest"], "api": item["ports"]["grpc"]}}
            for item in endpoints
        ]
    )


def three_pods(kube: FakeKube, **options) -> None:
    for number in (1, 2, 3):
        add_pod(kube, pod(number, **options))
    kube.settle()


def test_a_service_is_created_for_addresses(kube, swap):
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
    swap("endpoints", endpoints=BESIDE)
    rest(owned)

    result = swap("endpoints", endpoints=SYSTEMD)

    assert owned.writes == [("put", f"{owned.slices_path}/{NAME}-migration-ipv4-0")]
    assert set(owned.history) <= {lists.of_option(SYSTEMD), lists.of_option(BESIDE)}
    assert (result["changed"], result["before"]["endpoints"], result["after"]["endpoints"]) == (True, BESIDE, SYSTEMD)


def test_k11_a_restarted_proxy_always_has_targets(world, swap):
    """What it missed comes in one answer, with what is gone before what is new."""
    before = {item["metadata"]["name"]: item for item in world.read_slices}

    swap("endpoints", endpoints=SYSTEMD)
    world.settle()

    after = {item["metadata"]["name"] for item in world.read_slices}
    assert lists.of_slices(item for name, item in before.items() if name in after) == named(SYSTEMD)
    assert swap("endpoints", endpoints=SYSTEMD)["changed"] is False


def test_k2_k3_k7_a_round_trip_restores_the_owners_objects(world, swap):
    before, followers = of_owner(world), SYSTEMD[1:]
    three_pods(world)

    def step(
        point_to: str, wanted: list[dict[str, Any]], allowed: list[dict[str, Any]], **options: Any
    ) -> dict[str, Any]:
        world.history.clear()
        result = swap(point_to, **options)
        assert "failed" not in result, result
        world.settle()
        assert lists.of_slices(world.read_slices) == named(wanted), point_to
        assert lists.node_names(world.read_slices) == {item["ip"]: f"pi-{item['ip'][-1]}" for item in wanted}
        reached = frozenset().union(*world.history)
        assert frozenset() not in world.history
        assert reached <= named(allowed), f"{point_to}: targets of neither side"
        assert [port["name"] for port in world.service["spec"]["ports"]] == ["http", "api"]
        return result

    # Twice: the controller of the pods' slices remembers those of the first migration.
    for _migration in range(2):
        step("endpoints", SYSTEMD, SYSTEMD, endpoints=SYSTEMD)
        assert lists.OWN in world.managers()
        assert [port["targetPort"] for port in world.service["spec"]["ports"]] == ["rest", "grpc"]
        step("endpoints", followers, SYSTEMD, endpoints=followers)
        step("pods", BESIDE, [*SYSTEMD, *BESIDE], selector=LABELS, expected=3)
        assert world.managers() == [lists.OF_PODS]
        step("endpoints", SYSTEMD, [*SYSTEMD, *BESIDE], endpoints=SYSTEMD)
        assert world.managers() == [lists.OWN]
        given_back = step("owner", SYSTEMD, SYSTEMD)

        assert given_back["changed"] is True
        assert of_owner(world) == before
        assert swap("owner")["changed"] is False


def test_k7_no_deprecated_call_without_an_endpoints_object(kube, swap):
    kube.put(f"{CORE}/services/{NAME}", service_of_owner())
    put_slices(kube)
    three_pods(kube)
    for point_to, options in (
        ("endpoints", {"endpoints": SYSTEMD}),
        ("pods", {"selector": LABELS, "expected": 3}),
        ("endpoints", {"endpoints": SYSTEMD}),
        ("owner", {}),
    ):
        assert swap(point_to, **options)["changed"] is True
        kube.settle()

    assert kube.deprecated_calls() == []
    assert kube.managers() == ["", "staff"]


@pytest.mark.parametrize("kube", ["mirror, endpoints, slices", "slices, endpoints, mirror"], indirect=True)
@pytest.mark.parametrize("killed_after", range(1, 9))
def test_k7_a_run_killed_between_two_writes_is_finished_by_the_next(world, swap, killed_after):
    before = of_owner(world)
    three_pods(world)
    for point_to, options in (
        ("endpoints", {"endpoints": SYSTEMD}),
        ("pods", {"selector": LABELS, "expected": 3}),
        ("endpoints", {"endpoints": SYSTEMD}),
        ("owner", {}),
    ):
        writes = itertools.count(1)

        def kill(method: str, _path: str, writes=writes) -> None:
            if method != "get" and next(writes) > killed_after:
                raise KeyboardInterrupt

        world.on_request = kill
        with contextlib.suppress(KeyboardInterrupt):
            swap(point_to, **options)
        world.settle()
        world.on_request = lambda method, path: None
        # What a role repeats after a kill: a rollback points to the units first, and gives back then.
        if point_to == "owner":
            swap("endpoints", endpoints=SYSTEMD)
        swap(point_to, **options)
        world.settle()

    assert frozenset() not in world.history
    assert of_owner(world) == before


def test_a_selector_of_the_owner_is_taken_over_and_given_back(kube, swap):
    kube.put(f"{CORE}/services/{NAME}", service_of_owner(selector={"app": "before"}))
    other = pod(4, rest=8080, grpc=9090)
    other["metadata"]["labels"] = {"app": "before"}
    other["spec"]["containers"][0]["ports"].append({"name": "grpc-api", "containerPort": 9090})
    add_pod(kube, other)
    three_pods(kube)
    kube.settle()
    before = copy.deepcopy(
        (kube.service["spec"], kube.service["metadata"]["labels"], lists.of_slices(kube.read_slices))
    )
    kube.history.clear()

    swap("endpoints", endpoints=SYSTEMD)
    kube.settle()
    assert lists.of_slices(kube.read_slices) == named(SYSTEMD), "no copy of the pods' addresses outlives the selector"
    swap("pods", selector=LABELS, expected=3)
    swap("endpoints", endpoints=SYSTEMD)
    kube.settle()
    swap("owner")
    kube.settle()

    assert frozenset() not in kube.history
    assert (kube.service["spec"], kube.service["metadata"]["labels"], lists.of_slices(kube.read_slices)) == before
    assert "annotations" not in kube.service["metadata"]
    assert kube.deprecated_calls() == []


@pytest.mark.parametrize("world", ["endpoints", "both"], indirect=True)
def test_a_concurrent_edit_of_the_endpoints_is_kept(world, swap):
    swap("endpoints", endpoints=SYSTEMD)
    edited = copy.deepcopy(world.endpoints)
    edited["subsets"][0]["addresses"][0]["hostname"] = "pi"
    world.put(ENDPOINTS, edited)

    swap("owner")

    assert world.endpoints["subsets"] == edited["subsets"]
    assert SKIP_MIRROR not in world.endpoints["metadata"]["labels"]


def test_slices_of_the_owner_that_come_back_are_taken_aside_again(world, swap):
    swap("endpoints", endpoints=SYSTEMD)
    world.put(f"{world.slices_path}/by-hand-9", slice_of_owner(9, "staff"))

    result = swap("endpoints", endpoints=SYSTEMD)

    assert "by-hand-9" in result["parked_slices"]
    assert lists.of_slices(world.read_slices) == named(SYSTEMD)


def test_nothing_to_give_back_leaves_the_service_as_it_is(kube, swap):
    swap("endpoints", endpoints=SYSTEMD)
    kube.requests.clear()

    result = swap("owner")

    assert (result["changed"], kube.writes) == (False, [])
    assert result["after"]["endpoints"] == SYSTEMD


def test_a_service_that_points_to_the_pods_is_not_given_back(owned, swap):
    swap("endpoints", endpoints=SYSTEMD)
    three_pods(owned)
    swap("pods", selector=LABELS, expected=3)
    owned.requests.clear()

    result = swap("owner")

    assert "point it to the units first" in result["msg"]
    assert owned.writes == []


def test_a_service_port_with_another_number_is_matched_by_its_target(kube, swap):
    ports = [{"name": "web", "port": 80, "protocol": "TCP", "targetPort": 80}]
    kube.put(f"{CORE}/services/{NAME}", service_of_owner(ports=ports))
    item = slice_of_owner(1, None)
    item["ports"] = [{"name": "web", "port": 8080}]
    kube.put(f"{kube.slices_path}/by-hand-1", item)
    three_pods(kube)

    assert swap("endpoints", endpoints=SYSTEMD)["after"]["endpoints"] == [
        {"ip": item["ip"], "ports": {"web": 8080}} for item in SYSTEMD
    ]
    assert swap("pods", selector=LABELS, expected=3)["after"]["endpoints"] == [
        {"ip": item["ip"], "ports": {"web": 8082}} for item in SYSTEMD
    ]
    assert swap("endpoints", endpoints=SYSTEMD)["after"]["ports"] == {"web": 80}


def test_ports_that_are_not_the_migrations_stay_reachable(kube, swap):
    service = service_of_owner()
    service["spec"]["ports"].append({"name": "socket", "port": 8081, "protocol": "TCP", "targetPort": 8081})
    kube.put(f"{CORE}/services/{NAME}", service)
    endpoints = endpoints_of_owner()
    endpoints["subsets"][0]["ports"].append({"name": "socket", "port": 8081})
    kube.put(ENDPOINTS, endpoints)
    rest(kube)

    assert swap("endpoints", endpoints=SYSTEMD[1:])["after"]["endpoints"] == [
        {"ip": item["ip"], "ports": {"http": 8080, "api": 9090, "socket": 8081}} for item in SYSTEMD[1:]
    ]
    swap("endpoints", endpoints=SYSTEMD)
    assert all(any(target.ip == item["ip"] and target.port == 8081 for target in kube.history[-1]) for item in SYSTEMD)


def test_refuses_a_service_without_a_port_of_the_daemons(kube, swap):
    kube.put(f"{CORE}/services/{NAME}", service_of_owner(ports=[{"name": "web", "port": 80, "targetPort": 80}]))

    result = swap("endpoints", endpoints=SYSTEMD)

    assert "no port of the Service pi-controller belongs to the daemons: it has web 80" in result["msg"]
    assert kube.writes == []


def test_keeps_what_the_owner_has_set(owned, swap):
    three_pods(owned)

    result = swap("pods", selector=LABELS, expected=3)

    spec = owned.service["spec"]
    assert owned.service["metadata"]["labels"] == {"team": "lab", SKIP_MIRROR: "true"}
    assert (spec["clusterIP"], spec["type"], spec["sessionAffinity"]) == ("10.96.7.7", "NodePort", "ClientIP")
    assert [port["nodePort"] for port in spec["ports"]] == [30080, 30090]
    assert [port["targetPort"] for port in spec["ports"]] == ["rest", "grpc"]
    assert result["cluster_ip"] == "10.96.7.7"


def test_the_switch_to_pods_never_lacks_endpoints(owned, swap):
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
    assert owned.managers() == [lists.OWN]
    assert result["removed_slices"] != []
    assert (result["after"]["mode"], result["after"]["selector"], result["after"]["endpoints"]) == (
        "endpoints",
        None,
        SYSTEMD,
    )
    assert swap("endpoints", endpoints=SYSTEMD)["changed"] is False


def test_k11_a_proxy_that_missed_a_switch_keeps_its_endpoints(owned, swap):
    """The slices are the same objects all the time, so nothing is gone in the one answer that it gets."""
    three_pods(owned)
    swap("endpoints", endpoints=BESIDE)
    names = {item["metadata"]["name"] for item in owned.read_slices}

    assert swap("pods", selector=LABELS, expected=3)["changed"] is True
    owned.settle()
    assert {item["metadata"]["name"] for item in owned.read_slices} == names
    assert swap("pods", selector=LABELS, expected=3)["changed"] is False


def test_every_pod_is_an_endpoint_with_its_own_port(owned, swap):
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
    for item in pods:
        add_pod(owned, item)

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


def test_changes_are_reported_when_the_controllers_do_not_follow(owned, swap):
    three_pods(owned)
    owned._wake = owned._record

    result = swap("pods", selector=LABELS, expected=3, wait_timeout=1)

    assert (result["failed"], result["changed"]) == (True, True)
    assert "its pods' EndpointSlices lack 10.77.0.11:9093 (grpc)" in result["msg"]
    assert "kube-controller-manager" in result["msg"]
    assert lists.of_option(BESIDE) <= owned.history[-1], "the bridge slices must stay"


def test_removes_what_a_late_controller_wrote_for_the_selector(owned, swap):
    three_pods(owned)
    swap("pods", selector=LABELS, expected=3)
    owned.settle()
    late = copy.deepcopy(owned.slices[0])
    late["metadata"].update(name=f"{NAME}-late", uid="uid-late")
    written = []

    def write_late(method, path):
        if method == "get" and not written and ("put", f"{CORE}/services/{NAME}") in owned.requests:
            written.append(path)
            owned.objects[f"{owned.slices_path}/{NAME}-late"] = late

    owned.requests.clear()
    owned.on_request = write_late

    assert swap("endpoints", endpoints=SYSTEMD)["after"]["endpoints"] == SYSTEMD
    assert written


def test_repeats_what_lost_a_race_with_a_controller(owned, swap):
    races = iter([True])

    def touch(method, path):
        if method == "put" and next(races, False):
            owned.put(path, owned.objects[path])

    owned.on_request = touch

    assert swap("endpoints", endpoints=BESIDE)["after"]["endpoints"] == BESIDE


@pytest.mark.parametrize("point_to", ["endpoints", "pods"])
def test_check_mode_predicts_and_changes_nothing(owned, swap, point_to):
    three_pods(owned)
    owned.requests.clear()
    options = {"endpoints": BESIDE} if point_to == "endpoints" else {"selector": LABELS, "expected": 3}

    predicted = swap(point_to, check_mode=True, diff=True, **options)
    assert owned.writes == []
    done = swap(point_to, diff=True, **options)

    assert (predicted["changed"], done["changed"]) == (True, True)
    assert predicted["diff"] == done["diff"]
    assert predicted["diff"]["before"]["endpoints"] == SYSTEMD
    assert predicted["diff"]["after"]["endpoints"] == BESIDE
    assert swap(point_to, check_mode=True, **options)["changed"] is False


def test_check_mode_without_any_object(kube, swap, warnings):
    result = swap("pods", check_mode=True, selector=LABELS, expected=3)

    assert (result["changed"], result["cluster_ip"]) == (True, None)
    assert any("0 Ready pods" in text for text in warnings)


@pytest.mark.parametrize(
    ("point_to", "options", "words"),
    [
        ("endpoints", {"endpoints": []}, "an outage"),
        ("endpoints", {"endpoints": [{"ip": "10.77.0.11", "ports": {"rest": 1}}]}, "10.77.0.11 has no port grpc"),
        ("endpoints", {"endpoints": [{"ip": "10.77.0.11", "ports": {"rest": 0, "grpc": 1}}]}, "the port rest 0"),
        ("pods", {"selector": {}}, "every pod of the namespace"),
        ("endpoints", {"endpoints": SYSTEMD, "ports": {"rest": 70000}}, "ports.rest is 70000"),
    ],
)
def test_refuses_options_that_make_no_sense(owned, swap, point_to, options, words):
    result = swap(point_to, **options)

    assert result["failed"]
    assert words in result["msg"]
    assert owned.requests == []


def test_check_mode_predicts_what_is_given_back(world, swap):
    swap("endpoints", endpoints=SYSTEMD)
    world.requests.clear()

    predicted = swap("owner", check_mode=True, diff=True)
    assert world.writes == []
    done = swap("owner", diff=True)

    assert (predicted["changed"], predicted["diff"]) == (done["changed"], done["diff"])


def test_refuses_an_external_name(kube, swap):
    kube.put(f"{CORE}/services/{NAME}", {"metadata": {}, "spec": {"type": "ExternalName", "externalName": "example"}})

    assert "ExternalName" in swap("endpoints", endpoints=SYSTEMD)["msg"]


def test_a_port_without_endpoint_is_reported(owned, swap, warnings):
    owned.service["spec"]["ports"].append({"name": "websocket", "port": 8081, "targetPort": 8081})

    swap("endpoints", endpoints=SYSTEMD)

    assert [port["name"] for port in owned.service["spec"]["ports"]] == ["rest", "grpc", "websocket"]
    assert any("the port websocket of the Service" in text for text in warnings)


def test_the_service_is_changed_once_these_pods_are_ready(kube, swap):
    add_daemonset(kube, {"new": 1})
    add_pod(kube, pod(1, ready=False))
    first = {"daemonset": NAME, "nodes": ["pi-1"]}
    assert swap("endpoints", endpoints=SYSTEMD, ready_before={**first, "nodes": []})["changed"] is True
    kube.requests.clear()
    failed = swap("endpoints", endpoints=SYSTEMD[1:], ready_before=first, wait_timeout=0)
    assert (
        f"the Service {NAME} was not changed, since after 0 s not every pod of {NAME} is Ready: pi-1: {NAME}-1a"
        in failed["msg"]
    )
    assert kube.writes == []
    assert swap("endpoints", endpoints=SYSTEMD[1:], ready_before=first, check_mode=True)["changed"] is True, "predicted"
    add_pod(kube, pod(1))
    assert swap("endpoints", endpoints=SYSTEMD[1:], ready_before=first)["changed"] is True

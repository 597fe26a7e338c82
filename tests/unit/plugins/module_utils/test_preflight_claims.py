# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pre-flight and the rest of the cluster: from real forms of objects to the finding with its remedy."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import import_plugin
from preflight_world import healthy, owner, settings

claims = import_plugin("module_utils._kube.claims")
judge = import_plugin("module_utils._preflight.judge")
kubernetes_claims = import_plugin("module_utils._preflight.claims")
plan = import_plugin("module_utils._preflight.plan")
NAME = "pi-controller"


def findings(**seen: Any) -> list[Any]:
    """What a healthy lab gives with these parts of the look at Kubernetes."""
    world = healthy()
    world["kubernetes"].update(seen)
    return list(judge.evaluate(world, settings(), owner()))


def pod(
    name: str, port: int, *, node: str | None = "pi-2", kind: str = "DaemonSet", phase: str = "Running", **labels: str
) -> dict[str, Any]:
    wanted = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["pi-2"]}]}]}
    placed = (
        {"nodeName": node}
        if node
        else {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": wanted}}}
    )
    return {
        "metadata": {
            "namespace": "kube-system",
            "name": f"{name}-x1",
            "labels": labels,
            "ownerReferences": [{"kind": kind, "name": name, "uid": "u"}],
        },
        "spec": {
            **placed,
            "containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": port, "protocol": "TCP"}]}],
        },
        "status": {"phase": phase},
    }


def service(name: str, namespace: str = "web", **spec: Any) -> dict[str, Any]:
    status = {"loadBalancer": {"ingress": [{"ip": ip} for ip in spec.pop("balanced", [])]}}
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"ports": [{"port": 8080, "protocol": "TCP"}], **spec},
        "status": status,
    }


def sliced(of: str, *targets: str, namespace: str = "web", manager: str = "", port: int = 8080) -> dict[str, Any]:
    labels = {
        "kubernetes.io/service-name": of,
        **({"endpointslice.kubernetes.io/managed-by": manager} if manager else {}),
    }
    return {
        "metadata": {"namespace": namespace, "name": f"{of}-1", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip]} for ip in targets],
        "ports": [{"name": "", "port": port}],
    }


# --- K1 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [8080, 9091, 8082, 9092])
def test_k1_a_host_port_of_another_pod_is_named_with_the_remedy(port):
    (finding,) = findings(host_ports=claims.host_ports([pod("traefik", port)], NAME, NAME))

    assert (finding.host, finding.check, finding.level) == ("pi-2", f"hostPort {port}", "error")
    assert "the pod kube-system/traefik-x1 of DaemonSet traefik" in finding.seen
    assert "another hostPort" in finding.fix
    assert "migration." in finding.fix


def test_k1_a_pod_that_waits_for_its_node_counts():
    (finding,) = findings(host_ports=claims.host_ports([pod("web", 8080, node=None, phase="Pending")], NAME, NAME))

    assert finding.host == "pi-2"


def test_k1_service_lb_is_named_by_its_service_and_once():
    labels = {"svccontroller.k3s.cattle.io/svcname": "web", "svccontroller.k3s.cattle.io/svcnamespace": "shop"}
    pods = [pod("svclb-web-1a2b", 8080, node=node, **labels) for node in ("pi-1", "pi-2", "pi-3")]
    balanced = service("web", "shop", type="LoadBalancer", balanced=["10.77.0.11", "10.77.0.12", "10.77.0.13"])
    (finding,) = findings(
        host_ports=claims.host_ports(pods, NAME, NAME), service_ports=claims.service_ports([balanced])
    )

    assert (finding.host, finding.level) == ("(all)", "error")
    assert "the Service shop/web (LoadBalancer)" in finding.seen
    assert "kubectl -n shop edit service web" in finding.fix


@pytest.mark.parametrize(
    "spec",
    [
        {"externalIPs": ["10.77.0.12"]},
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 8082}]},
        {"balanced": ["10.77.0.11"]},
    ],
)
def test_k1_ports_that_kube_proxy_takes_are_found(spec):
    (finding,) = findings(service_ports=claims.service_ports([service("web", **spec)]))

    assert "web/web" in finding.seen
    assert finding.level == "error"


def test_k1_other_ports_and_nodes_are_no_finding():
    own = {**pod(NAME, 8082), "metadata": {**pod(NAME, 8082)["metadata"], "namespace": NAME}}
    harmless = [pod("a", 80), pod("b", 8080, node="elsewhere"), pod("c", 8080, phase="Succeeded"), own]
    udp = pod("d", 8080)
    udp["spec"]["containers"][0]["ports"][0]["protocol"] = "UDP"
    ports = claims.service_ports(
        [service("web", externalIPs=["192.0.2.1"]), service("x", ports=[{"port": 80, "nodePort": 30080}])]
    )

    assert findings(host_ports=claims.host_ports([*harmless, udp], NAME, NAME), service_ports=ports) == []


def test_k1_a_stranger_behind_nat_on_a_port_that_is_free_on_its_pi():
    world = healthy()
    world["ports"]["pi-1"]["reached"]["pi-2"]["8082"] = {"result": "connected", "seconds": 0.001}
    (finding,) = judge.evaluate(world, settings(), owner())

    assert (finding.host, finding.check, finding.level) == ("pi-2", "port 8082", "error")
    assert "answered by something else, as seen from pi-1" in finding.seen
    assert "migration.temporary_ports.rest" in finding.fix


# --- K3 ------------------------------------------------------------------------------------------


def local(*policies: str) -> dict[str, Any]:
    seen = healthy()["kubernetes"]["service"]
    return {**seen, "policies": {**seen["policies"], **dict.fromkeys(policies, "Local")}}


@pytest.mark.parametrize(
    ("policy", "clients"),
    [("externalTrafficPolicy", "clients that come in by"), ("internalTrafficPolicy", "pods on")],
)
def test_k3_a_local_policy_is_a_warning_with_the_command(policy, clients):
    (finding,) = findings(service=local(policy))

    assert (finding.host, finding.check, finding.level) == ("(all)", "Service", "warning")
    assert finding.seen.startswith(f"{policy}: Local")
    assert clients in finding.wanted
    assert f'kubectl -n {NAME} patch service {NAME} -p \'{{"spec":{{"{policy}":"Cluster"}}}}\'' in finding.fix


def test_k3_both_policies_have_a_warning_each():
    assert len(findings(service=local("externalTrafficPolicy", "internalTrafficPolicy"))) == 2


def test_k3_a_single_pi_has_no_turn_without_its_service():
    whole = owner()
    whole["addresses"] = {"pi-1": whole["addresses"]["pi-1"]}
    made = plan.make_plan(settings(), whole, {})
    seen = {**healthy()["kubernetes"], "service": local("externalTrafficPolicy")}

    assert list(kubernetes_claims.claim_findings(made, {**seen, "targets": []})) == []


# --- K5 ------------------------------------------------------------------------------------------


def routes(*slices: dict[str, Any], ingresses: tuple[dict[str, Any], ...] = ()) -> list[dict[str, Any]]:
    services = [service("legacy"), service("headless", clusterIP="None"), service(NAME, NAME)]
    return claims.other_routes(services, slices, ingresses, NAME, NAME)


def test_k5_another_service_to_the_units_is_named_with_its_ingress():
    path = {"path": "/", "backend": {"service": {"name": "legacy", "port": {"number": 8080}}}}
    ingress = {"metadata": {"namespace": "web", "name": "door"}, "spec": {"rules": [{"http": {"paths": [path]}}]}}
    (finding,) = findings(other_routes=routes(sliced("legacy", "10.77.0.11", "10.77.0.12"), ingresses=(ingress,)))

    assert (finding.check, finding.level) == ("another Service", "error")
    assert (
        finding.seen
        == "web/legacy points to the units (10.77.0.11:8080, 10.77.0.12:8080), used by the Ingress web/door"
    )
    assert "that Ingress use pi_controller_service" in finding.fix
    assert "kubectl -n web delete service legacy" in finding.fix


@pytest.mark.parametrize("manager", ["", "endpointslicemirroring-controller.k8s.io"])
def test_k5_it_is_found_however_its_slices_came_about(manager):
    assert len(findings(other_routes=routes(sliced("legacy", "10.77.0.13", manager=manager, port=9090)))) == 1


def test_k5_the_migrated_service_and_other_targets_are_no_findings():
    assert (
        findings(
            other_routes=routes(
                sliced(NAME, "10.77.0.11", namespace=NAME),
                sliced("legacy", "10.77.0.11", port=80),
                sliced("legacy", "192.0.2.1"),
                sliced("gone", "10.77.0.11"),
                sliced("headless", "10.77.0.11"),
                sliced("legacy", "10.77.0.11", manager="endpointslice-controller.k8s.io"),
            )
        )
        == []
    )


# --- K6 ------------------------------------------------------------------------------------------

VIOLATION = (
    'pods "pi-controller-" is forbidden: violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true)'
)


def tried(refused: str | None, *, own: bool = True) -> dict[str, Any]:
    return {"namespace": NAME if own else "default", "in_its_own": own, "refused": refused, "limits": []}


def test_k6_a_refusal_has_the_apis_message():
    (finding,) = findings(tried=tried(VIOLATION), namespace={"phase": "Active", "enforce": "restricted"})

    assert (finding.seen, finding.level) == (VIOLATION, "error")
    assert "pod-security.kubernetes.io/enforce=privileged" in finding.fix
    (policy,) = findings(
        tried=tried('admission webhook "validate.kyverno.svc" denied the request: no hostPath', own=False)
    )
    assert "no hostPath" in policy.seen
    assert policy.level == "error"


def test_k6_a_namespace_that_prepare_will_label_is_fine():
    assert findings(tried=tried(VIOLATION, own=False), namespace=None) == []
    assert findings(tried=tried(None)) == []


def test_k6_a_right_that_is_missing_for_the_try_is_a_warning():
    (finding,) = findings(tried=tried('pods is forbidden: User "x" cannot create resource "pods" in API group ""'))

    assert (finding.level, finding.fix) == ("warning", "apply docs/rbac.yml of this release")


# --- K10 -----------------------------------------------------------------------------------------


MANIFEST = "/var/lib/rancher/k3s/server/manifests/extra/pi.rest.yml"


def addon(kind: str = "k3s.cattle.io/v1, Kind=Addon", **labels: str) -> dict[str, Any]:
    annotations = {
        f"objectset.rio.cattle.io/owner-{key}": value
        for key, value in {"gvk": kind, "name": "pi", "namespace": "kube-system"}.items()
    }
    return {"metadata": {"name": NAME, "namespace": NAME, "annotations": annotations, "labels": labels}}


def applied(*objects: tuple[str, Any], manifest: str | None = MANIFEST) -> list[dict[str, Any]]:
    assert set(claims.addons_of(objects)) <= {("kube-system", "pi")}
    return claims.applied_by(objects, {("kube-system", "pi"): manifest})


@pytest.mark.parametrize("kind", ["Service", "DaemonSet", "EndpointSlice"])
def test_k10_an_object_of_an_addon_manifest_names_the_manifest(kind):
    (finding,) = findings(applied=applied((kind, addon()), ("Service", None), ("Service", service("plain"))))

    assert finding.seen == f"{kind} {NAME} is applied again from {MANIFEST}"
    assert f"touch {MANIFEST}.skip" in finding.fix
    assert finding.level == "error"


@pytest.mark.parametrize("owner", ["k3s.cattle.io/v1, Kind=Addon", "fleet.cattle.io/v1alpha1, Kind=Bundle"])
def test_k10_the_fix_takes_off_the_marks_by_which_it_would_be_deleted(owner):
    (finding,) = findings(applied=applied(("Service", addon(owner))))

    marks = "objectset.rio.cattle.io/{applied,id,owner-gvk,owner-name,owner-namespace}-"
    assert f"kubectl -n {NAME} annotate service {NAME} {marks}; " in finding.fix
    assert f"kubectl -n {NAME} label service {NAME} objectset.rio.cattle.io/hash-;" in finding.fix


def test_k10_an_object_without_its_marks_is_the_owners_own():
    freed = addon()
    freed["metadata"]["annotations"] = {}
    assert findings(applied=applied(("Service", freed))) == []


def test_k10_the_file_of_an_addon_that_cannot_be_read_is_not_guessed():
    (finding,) = findings(applied=applied(("Service", addon()), manifest=None))

    assert finding.seen == f"Service {NAME} is applied again from Addon kube-system/pi"
    assert "kubectl -n kube-system get addon pi -o jsonpath={.spec.source}" in finding.fix
    assert "/var/lib" not in finding.fix


def test_k10_a_mirrored_slice_stands_for_its_endpoints_object():
    """Kubernetes would copy the annotations to the slice again."""
    labels = {
        "kubernetes.io/service-name": NAME,
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    slices = [addon(**labels), addon(**labels)]
    for number, item in enumerate(slices):
        item["metadata"]["name"] = f"{NAME}-{number}"
    (finding,) = findings(applied=applied(*(("EndpointSlice", item) for item in slices)))

    assert finding.seen.startswith(f"Endpoints {NAME} is applied again")
    assert f"annotate endpoints {NAME} " in finding.fix


def test_k10_another_owner_is_named_as_it_is():
    (finding,) = findings(applied=applied(("Service", addon("fleet.cattle.io/v1alpha1, Kind=Bundle"))))

    assert "Bundle kube-system/pi" in finding.seen
    assert finding.fix.startswith("pause Bundle kube-system/pi; ")


# --- A4 ------------------------------------------------------------------------------------------


def targets(*addresses: str) -> list[dict[str, Any]]:
    return [{"address": address, "port": 8080} for address in addresses]


@pytest.mark.parametrize(("other", "words"), [("fd00::11", "[fd00::11]:8080 (IPv6)"), ("192.0.2.7", "192.0.2.7:8080")])
def test_a4_endpoints_that_prepare_would_drop_are_named(other, words):
    (finding,) = findings(targets=targets("10.77.0.11", other))

    assert (finding.check, finding.level) == ("Service", "error")
    assert words in finding.seen
    assert "take these endpoints out" in finding.fix


def test_a4_addresses_are_compared_in_one_spelling():
    world = healthy()
    addresses = {"pi-1": "FD00:0::11", "pi-2": "10.77.0.12", "pi-3": "10.77.0.13"}
    world["kubernetes"].update(
        other_routes=routes(sliced("legacy", "fd00::0:11")),
        service_ports=claims.service_ports([service("web", externalIPs=["fd00::11"])]),
    )
    world["kubernetes"]["targets"] = targets("fd00:0:0::11", "10.77.0.12")
    checks = [finding.check for finding in judge.evaluate(world, settings(), owner(addresses=addresses))]

    assert "another Service" in checks
    assert "hostPort 8080" in checks
    assert "Service" not in checks


def test_k6_limits_of_another_namespace_say_nothing_of_the_pods_own():
    added = [
        {"container": NAME, "resource": "ephemeral-storage", "limit": "1Gi"},
        {"container": NAME, "resource": "memory", "limit": "128Mi"},
    ]
    warned = findings(tried=tried(None) | {"limits": added})
    assert [(finding.check, finding.level) for finding in warned] == [("pod memory limit", "warning")]
    assert findings(tried=tried(None, own=False) | {"limits": added}, namespace=None) == []

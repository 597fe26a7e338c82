# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What else in the cluster claims a Pi's ports, routes clients to the units, or owns the migration's objects.

Pure functions from objects to facts. Services and pods are named `namespace/name`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .endpoints import MIRRORED, OF_PODS, SERVICE_LABEL, managed_by, of_slices
from .pods import node_of

Object = Mapping[str, Any]
# K3s' ServiceLB marks its pods with the Service they are for.
LB_NAME, LB_NAMESPACE = "svccontroller.k3s.cattle.io/svcname", "svccontroller.k3s.cattle.io/svcnamespace"
# What applies manifests again and again marks its objects with these.
OWNER_KIND, OWNER_NAME, OWNER_NAMESPACE = (
    f"objectset.rio.cattle.io/owner-{part}" for part in ("gvk", "name", "namespace")
)
# K3s has one Addon for each file in its folder of manifests, all of them in this namespace.
ADDON, ADDONS_NAMESPACE = "Kind=Addon", "kube-system"


def named(obj: Object) -> str:
    metadata = obj["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


def host_ports(pods: Iterable[Object], namespace: str, daemonset: str) -> list[dict[str, Any]]:
    """The TCP hostPorts of all pods but those of this DaemonSet; a pod that waits for its node counts for the one
    it was made for.
    """
    found = []
    for pod in pods:
        if _is_over(pod) or _belongs_to(pod, namespace, daemonset):
            continue
        labels = pod["metadata"].get("labels") or {}
        service = f"{labels.get(LB_NAMESPACE, '')}/{labels[LB_NAME]}" if LB_NAME in labels else None
        for port in _ports(pod):
            found.append(
                {"node": node_of(dict(pod)), "port": port, "pod": named(pod), "owner": _owner(pod), "service": service}
            )
    return found


def _is_over(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _owners(pod: Object) -> list[Mapping[str, Any]]:
    return list(pod["metadata"].get("ownerReferences") or [])


def _belongs_to(pod: Object, namespace: str, daemonset: str) -> bool:
    return pod["metadata"].get("namespace") == namespace and any(
        owner.get("kind") == "DaemonSet" and owner.get("name") == daemonset for owner in _owners(pod)
    )


def _owner(pod: Object) -> str | None:
    owner = next(iter(_owners(pod)), None)
    return f"{owner['kind']} {owner['name']}" if owner else None


def _ports(pod: Object) -> list[int]:
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    ports = [port for container in containers for port in container.get("ports") or []]
    return sorted(
        {int(port["hostPort"]) for port in ports if port.get("hostPort") and port.get("protocol", "TCP") == "TCP"}
    )


def service_ports(services: Iterable[Object]) -> list[dict[str, Any]]:
    """Ports of the nodes' own addresses that kube-proxy takes for a Service. `addresses` is null where it is every
    node's.
    """
    return [claim for service in services for claim in _claims(service)]


def _claims(service: Object) -> Iterator[dict[str, Any]]:
    spec, name = service["spec"], named(service)
    ports = [port for port in spec.get("ports") or [] if port.get("protocol", "TCP") == "TCP"]
    external = spec.get("externalIPs") or []
    balanced = [
        entry["ip"]
        for entry in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        if entry.get("ip")
    ]
    for port in ports:
        if port.get("nodePort"):
            yield {"service": name, "port": int(port["nodePort"]), "by": "nodePort", "addresses": None}
        for by, addresses in (("externalIPs", external), ("LoadBalancer", balanced)):
            if addresses:
                yield {"service": name, "port": int(port["port"]), "by": by, "addresses": sorted(addresses)}


def other_routes(
    services: Iterable[Object], slices: Iterable[Object], ingresses: Iterable[Object], namespace: str, service: str
) -> list[dict[str, Any]]:
    """Where Services without pods point to, all but the one that is migrated, and the Ingresses that use each."""
    # kube-proxy does nothing for a headless one: its clients use the Pis' own addresses.
    known = {named(found) for found in services if found["spec"].get("clusterIP") != "None"} - {
        f"{namespace}/{service}"
    }
    users: dict[str, list[str]] = {}
    for ingress in ingresses:
        for backend in _backends(ingress):
            users.setdefault(f"{ingress['metadata'].get('namespace', '')}/{backend}", []).append(named(ingress))
    routes: dict[tuple[str, str, int], None] = {}
    for item in slices:
        owner = (item["metadata"].get("labels") or {}).get(SERVICE_LABEL)
        name = f"{item['metadata'].get('namespace', '')}/{owner}"
        # No proxy reads a slice without a Service. Those of pods point to pods.
        if owner and name in known and managed_by(item) != OF_PODS:
            for target in sorted(of_slices([item])):
                routes[(name, target.ip, target.port)] = None
    return [
        {"service": name, "address": address, "port": port, "ingresses": sorted(set(users.get(name, [])))}
        for name, address, port in routes
    ]


def _backends(ingress: Object) -> Iterator[str]:
    spec = ingress.get("spec") or {}
    paths = [path for rule in spec.get("rules") or [] for path in (rule.get("http") or {}).get("paths") or []]
    for backend in (spec.get("defaultBackend"), *(path.get("backend") for path in paths)):
        name = ((backend or {}).get("service") or {}).get("name")
        if name:
            yield str(name)


def addons_of(objects: Iterable[tuple[str, Object | None]]) -> list[tuple[str, str]]:
    """Namespace and name of each Addon of K3s that owns one of the objects."""
    addons = (_addon(marks) for _kind, _metadata, marks in _owned(objects))
    return list(dict.fromkeys(addon for addon in addons if addon is not None))


def applied_by(
    objects: Iterable[tuple[str, Object | None]], manifests: Mapping[tuple[str, str], str | None]
) -> list[dict[str, Any]]:
    """Those of the objects (each with its kind) that a controller applies again, and from what.

    `manifests` has the file of each Addon, where that is known: its name alone does not tell.
    """
    found = []
    for kind, metadata, marks in _owned(objects):
        addon = _addon(marks)
        owner = "/".join(filter(None, [marks.get(OWNER_NAMESPACE), marks[OWNER_NAME]]))
        applied = {
            "kind": kind,
            "namespace": metadata.get("namespace", ""),
            "name": metadata["name"],
            "owner": f"{marks.get(OWNER_KIND, '').rpartition('Kind=')[2] or 'an owner'} {owner}",
            "addon": "/".join(addon) if addon else None,
            "manifest": manifests.get(addon) if addon else None,
        }
        if applied not in found:
            found.append(applied)
    return found


def _owned(
    objects: Iterable[tuple[str, Object | None]],
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, str]]]:
    """Kind, metadata and annotations of those of the objects that have an owner."""
    for kind, obj in objects:
        if obj is None:
            continue
        metadata = obj["metadata"]
        marks = metadata.get("annotations") or {}
        if OWNER_NAME not in marks:
            continue
        # Kubernetes copies the marks of an Endpoints object to the slices that mirror it, again and again.
        if managed_by(obj) == MIRRORED:
            yield "Endpoints", {**metadata, "name": metadata["labels"][SERVICE_LABEL]}, marks
        else:
            yield kind, metadata, marks


def _addon(marks: Mapping[str, str]) -> tuple[str, str] | None:
    if not marks.get(OWNER_KIND, "").endswith(ADDON):
        return None
    return marks.get(OWNER_NAMESPACE) or ADDONS_NAMESPACE, marks[OWNER_NAME]

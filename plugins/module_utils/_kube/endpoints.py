# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The targets of a Service, from EndpointSlices, pods and module options: pure functions.

All sources are brought to one form, a set of targets: an address and a number behind a port name of the Service.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .._core.addresses import normal
from .pods import Pod, container_port, is_ready, is_terminating

Slice = Mapping[str, Any]

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
# The managers of slices: Kubernetes' controllers (from pods, and mirrored from an Endpoints object) and this collection.
OF_PODS = "endpointslice-controller.k8s.io"
MIRRORED = "endpointslicemirroring-controller.k8s.io"
OWN = "pi-controller-migration"
# An owner's slice that waits for a rollback has this label in place of SERVICE_LABEL, so no proxy reads it.
PARKED_LABEL = "raft-migration.pi-controller/parked-for"
# kube-proxy does not watch slices with this label, so one that gets it is deleted for kube-proxy. Without it kube-proxy would miss that a
# slice has lost its Service's label, and keep its endpoints.
UNWATCHED_LABEL = "service.kubernetes.io/headless"
# Kubernetes removes the mirrored slices of an Endpoints object with this label.
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
# On Endpoints that were written for a selector. The mirroring controller copies it to their slices.
ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"


class Target(NamedTuple):
    ip: str
    port_name: str
    port: int


Targets = frozenset[Target]


def of_option(endpoints: Iterable[Mapping[str, Any]]) -> Targets:
    return frozenset(
        Target(normal(endpoint["ip"]), name, int(port))
        for endpoint in endpoints
        for name, port in endpoint["ports"].items()
    )


def of_subsets(subsets: Iterable[Mapping[str, Any]] | None) -> Targets:
    """The ready addresses of an owner's Endpoints object."""
    return frozenset(
        # As the mirroring controller writes it, whatever form the owner has chosen.
        Target(str(ipaddress.ip_address(address["ip"])), port.get("name", ""), int(port["port"]))
        for subset in subsets or []
        for address in subset.get("addresses") or []
        for port in subset.get("ports") or []
    )


def of_slices(slices: Iterable[Slice]) -> Targets:
    """The ready addresses of all slices together: kube-proxy uses their union. An unknown condition counts as ready."""
    return frozenset(
        Target(address, port.get("name") or "", int(port["port"]))
        for item in slices
        if item.get("addressType") != "FQDN"
        for endpoint in item.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint["addresses"]
        for port in item.get("ports") or []
    )


def of_pods(pods: Iterable[Pod], service: Mapping[str, Any]) -> Targets:
    """What the controller will list for these pods, each with its own number for a named port."""
    spec = service["spec"]
    families = set(spec.get("ipFamilies") or [])
    targets: set[Target] = set()
    for pod in pods:
        if not (is_ready(pod) or (spec.get("publishNotReadyAddresses") and not is_terminating(pod))):
            continue
        for port in spec["ports"]:
            wanted = port.get("targetPort", port["port"])
            number = (
                container_port(pod, wanted, port.get("protocol", "TCP")) if isinstance(wanted, str) else int(wanted)
            )
            if number is not None:
                targets.update(Target(ip, port.get("name", ""), number) for ip in _addresses(pod, families))
    return frozenset(targets)


def _addresses(pod: Pod, families: set[str]) -> list[str]:
    status = pod["status"]
    ips = [entry["ip"] for entry in status.get("podIPs") or []] or [status["podIP"]]
    return [ip for ip in ips if not families or _family(ip) in families]


def _family(ip: str) -> str:
    return f"IPv{ipaddress.ip_address(ip).version}"


def managed_by(item: Slice) -> str:
    return str((item["metadata"].get("labels") or {}).get(MANAGED_BY, ""))


def mirrors_pods(item: Slice) -> bool:
    """Whether a mirrored slice copies Endpoints that were written for a selector and outlived it."""
    return ENDPOINTS_MANAGED_BY in (item["metadata"].get("labels") or {})


def written_for_pods(item: Slice) -> bool:
    """Whether Kubernetes has written this slice for the pods that a selector finds. One that was handed over to it may not be yet."""
    return all((endpoint.get("targetRef") or {}).get("kind") == "Pod" for endpoint in item["endpoints"] or [])


def node_names(slices: Iterable[Slice]) -> dict[str, str]:
    """The node of each address that has one."""
    return {
        address: endpoint["nodeName"]
        for item in slices
        for endpoint in item.get("endpoints") or []
        if endpoint.get("nodeName")
        for address in endpoint["addresses"]
    }


def nodes_of_pods(pods: Iterable[Pod]) -> dict[str, str]:
    return {
        ip: pod["spec"]["nodeName"]
        for pod in pods
        if pod["spec"].get("nodeName") and pod.get("status", {}).get("podIP")
        for ip in _addresses(pod, set())
    }


def summary(targets: Targets) -> list[dict[str, Any]]:
    """One entry an address, sorted, for results and differences."""
    listed: dict[str, dict[str, Any]] = {}
    for target in sorted(targets):
        ports = listed.setdefault(target.ip, {})
        # Two pods of one host network can be behind one name while ports change.
        known = ports.get(target.port_name)
        ports[target.port_name] = target.port if known is None else f"{known},{target.port}"
    return [{"ip": ip, "ports": ports} for ip, ports in listed.items()]


def own_slices(service: Mapping[str, Any], targets: Targets, nodes: Mapping[str, str]) -> list[dict[str, Any]]:
    """Slices of this collection for the targets.

    No controller writes to a slice of another manager, so these stay as they are while controllers change places.
    Addresses with equal ports share a slice: what all units or all pods need is replaced in one update.
    """
    metadata = service["metadata"]
    owner = {"apiVersion": "v1", "kind": "Service", "name": metadata["name"], "uid": metadata.get("uid", "")}
    slices: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for (family, ports), ips in sorted(_by_ports(targets).items()):
        number = counts[family] = counts.get(family, -1) + 1
        slices.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "namespace": metadata["namespace"],
                    "name": f"{metadata['name']}-migration-{family.lower()}-{number}",
                    "labels": {SERVICE_LABEL: metadata["name"], MANAGED_BY: OWN},
                    # Whatever happens to this run, the slices are removed with the Service.
                    "ownerReferences": [owner],
                },
                "addressType": family,
                "endpoints": [
                    {
                        "addresses": [ip],
                        "conditions": {"ready": True},
                        **({"nodeName": nodes[ip]} if ip in nodes else {}),
                    }
                    for ip in ips
                ],
                "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports],
            }
        )
    return slices


def same_endpoints(present: Slice, wanted: Slice) -> bool:
    """Whether a slice already has these addresses, nodes and ports."""
    return _content(present) == _content(wanted)


def _content(item: Slice) -> tuple[Any, ...]:
    return of_slices([item]), sorted(node_names([item]).items())


def _by_ports(targets: Targets) -> dict[tuple[str, tuple[tuple[str, int], ...]], list[str]]:
    """Addresses grouped by family and by what they listen on, since a slice has one list of ports for all of them."""
    ports_of: dict[str, list[tuple[str, int]]] = {}
    for target in sorted(targets):
        ports_of.setdefault(target.ip, []).append((target.port_name, target.port))
    groups: dict[tuple[str, tuple[tuple[str, int], ...]], list[str]] = {}
    for ip, ports in ports_of.items():
        groups.setdefault((_family(ip), tuple(ports)), []).append(ip)
    return groups

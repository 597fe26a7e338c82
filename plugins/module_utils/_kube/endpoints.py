# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a Service leads, as Endpoints, EndpointSlices, pods and options say it: pure functions.

All of them are brought to one form, a set of targets, since what matters is the same everywhere: which address and
number stands behind which port name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .pods import Pod, container_port, is_ready, is_terminating

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
# Who writes slices: from the pods a selector finds, from an Endpoints object, and this collection (see bridge_slices).
OF_PODS = "endpointslice-controller.k8s.io"
MIRRORED = "endpointslicemirroring-controller.k8s.io"
BRIDGE = "raft-migration.pi-controller"
# Marks of the endpoints controller. On an object that it does not write any more they would be lies.
_CONTROLLER_LABELS = ("endpoints.kubernetes.io/managed-by", "service.kubernetes.io/headless")
_CONTROLLER_ANNOTATIONS = ("endpoints.kubernetes.io/last-change-trigger-time", "endpoints.kubernetes.io/over-capacity")


class Target(NamedTuple):
    ip: str
    port_name: str
    port: int


Targets = frozenset[Target]


def of_option(endpoints: Iterable[Mapping[str, Any]]) -> Targets:
    return frozenset(Target(one["ip"], name, int(port)) for one in endpoints for name, port in one["ports"].items())


def of_endpoints(endpoints: Mapping[str, Any] | None) -> Targets:
    """The ready addresses of an Endpoints object."""
    return frozenset(
        Target(address["ip"], port.get("name", ""), int(port["port"]))
        for subset in (endpoints or {}).get("subsets") or []
        for address in subset.get("addresses") or []
        for port in subset.get("ports") or []
    )


def of_slices(slices: Iterable[Mapping[str, Any]]) -> Targets:
    """The ready addresses of all slices together, as kube-proxy adds them up. An unknown condition counts as ready."""
    return frozenset(
        Target(address, port.get("name") or "", int(port["port"]))
        for one in slices
        if one.get("addressType") != "FQDN"
        for endpoint in one.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint["addresses"]
        for port in one.get("ports") or []
    )


def of_pods(pods: Iterable[Pod], service: Mapping[str, Any]) -> Targets:
    """What the controllers will list for these pods, each with its own number for a named port."""
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


def first_family(targets: Targets, service: Mapping[str, Any]) -> Targets:
    """An Endpoints object has the addresses of the Service's first family only."""
    families = service["spec"].get("ipFamilies") or []
    return frozenset(target for target in targets if not families or _family(target.ip) == families[0])


def managed_by(one: Mapping[str, Any]) -> str:
    return str((one["metadata"].get("labels") or {}).get(MANAGED_BY, ""))


def node_names(endpoints: Mapping[str, Any] | None) -> dict[str, str]:
    return {
        address["ip"]: address["nodeName"]
        for subset in (endpoints or {}).get("subsets") or []
        for address in subset.get("addresses") or []
        if address.get("nodeName")
    }


def summary(targets: Targets) -> list[dict[str, Any]]:
    """One entry an address, sorted, for results and differences."""
    listed: dict[str, dict[str, Any]] = {}
    for target in sorted(targets):
        ports = listed.setdefault(target.ip, {})
        # Two pods of one hostNetwork may stand behind one name while ports change.
        known = ports.get(target.port_name)
        ports[target.port_name] = target.port if known is None else f"{known},{target.port}"
    return [{"ip": ip, "ports": ports} for ip, ports in listed.items()]


def _by_ports(targets: Targets) -> dict[tuple[tuple[str, int], ...], list[str]]:
    """Addresses grouped by what they listen on; both kinds of object have one list of ports for many addresses."""
    ports_of: dict[str, list[tuple[str, int]]] = {}
    for target in sorted(targets):
        ports_of.setdefault(target.ip, []).append((target.port_name, target.port))
    groups: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for ip, ports in ports_of.items():
        groups.setdefault(tuple(ports), []).append(ip)
    return groups


def endpoints_object(
    present: Mapping[str, Any] | None, namespace: str, name: str, targets: Targets, nodes: Mapping[str, str]
) -> dict[str, Any]:
    """The Endpoints object that leads to the targets, with everything else of the present one kept."""
    metadata = dict((present or {}).get("metadata") or {"namespace": namespace, "name": name})
    for field, marks in (("labels", _CONTROLLER_LABELS), ("annotations", _CONTROLLER_ANNOTATIONS)):
        if metadata.get(field):
            metadata[field] = {key: value for key, value in metadata[field].items() if key not in marks}
    subsets = [
        {
            "addresses": [{"ip": ip, **({"nodeName": nodes[ip]} if ip in nodes else {})} for ip in ips],
            "ports": [{"name": port_name, "port": port, "protocol": "TCP"} for port_name, port in ports],
        }
        for ports, ips in sorted(_by_ports(targets).items())
    ]
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}


def bridge_slices(
    service: Mapping[str, Any], targets: Targets, nodes: Mapping[str, str], version: str
) -> list[dict[str, Any]]:
    """Slices that list the pods while the controllers change places.

    When a selector appears, one controller deletes the mirrored slices and another writes those of the pods, each in
    its own time. No controller touches a slice of another manager, so with these there are endpoints all the time.
    """
    metadata = service["metadata"]
    owner = {"apiVersion": "v1", "kind": "Service", "name": metadata["name"], "uid": metadata["uid"]}
    slices = []
    groups: dict[tuple[str, tuple[tuple[str, int], ...]], list[str]] = {}
    for ports, ips in sorted(_by_ports(targets).items()):
        for ip in ips:
            groups.setdefault((_family(ip), ports), []).append(ip)
    for number, ((family, ports), ips) in enumerate(groups.items()):
        slices.append(
            {
                "apiVersion": f"discovery.k8s.io/{version}",
                "kind": "EndpointSlice",
                "metadata": {
                    "namespace": metadata["namespace"],
                    "name": f"{metadata['name']}-bridge-{number}",
                    "labels": {SERVICE_LABEL: metadata["name"], MANAGED_BY: BRIDGE},
                    # Whatever becomes of this run, the slices go with the Service.
                    "ownerReferences": [owner],
                },
                "addressType": family,
                "endpoints": [
                    {"addresses": [ip], "conditions": {"ready": True}, **_on_node(nodes.get(ip), version)} for ip in ips
                ],
                "ports": [{"name": port_name, "port": port, "protocol": "TCP"} for port_name, port in ports],
            }
        )
    return slices


def _on_node(node: str | None, version: str) -> dict[str, Any]:
    if node is None:
        return {}
    return {"nodeName": node} if version == "v1" else {"topology": {"kubernetes.io/hostname": node}}

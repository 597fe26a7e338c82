# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Kubernetes objects say that pre-flight wants to know: pure functions from objects to facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .images import full_name

_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)")
_SUFFIXES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    **{letter: 1000.0**power for power, letter in enumerate("MGTPE", 2)},
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)},
}
RESOURCES = ("cpu", "memory")
# Whether clients that come to a node are routed to endpoints of other nodes as well.
POLICIES = ("externalTrafficPolicy", "internalTrafficPolicy")
# Names that DaemonSet pods must tolerate are not looked for: the pods tolerate everything.
MANAGED_BY = "app.kubernetes.io/managed-by"
ENFORCE = "pod-security.kubernetes.io/enforce"


def quantity(text: Any) -> float:
    """`250m` is 0.25, `64Mi` is 67108864; what is no quantity is 0."""
    match = _QUANTITY.fullmatch(str(text if text is not None else 0).strip())
    if not match or match[2] not in _SUFFIXES:
        return 0.0
    return float(match[1]) * _SUFFIXES[match[2]]


def requests_of(pod: Mapping[str, Any]) -> dict[str, float]:
    """What the scheduler counts for a pod: its containers together, or its largest init container."""

    def of(containers: Any, resource: str) -> list[float]:
        return [
            quantity(((container.get("resources") or {}).get("requests") or {}).get(resource))
            for container in containers or ()
        ]

    spec = pod["spec"]
    return {
        resource: max(
            [sum(of(spec.get("containers"), resource)), *of(spec.get("initContainers"), resource)],
        )
        + quantity((spec.get("overhead") or {}).get(resource))
        for resource in RESOURCES
    }


def limits_added(wanted: Mapping[str, Any], accepted: Mapping[str, Any]) -> list[dict[str, str]]:
    """Limits of an accepted pod that the wanted one does not have, both given as their `spec`: those that the cluster has set."""

    def of(spec: Mapping[str, Any]) -> dict[tuple[str, str], str]:
        return {
            (container["name"], resource): str(limit)
            for container in spec.get("containers") or ()
            for resource, limit in ((container.get("resources") or {}).get("limits") or {}).items()
        }

    own = of(wanted)
    return [
        {"container": container, "resource": resource, "limit": limit}
        for (container, resource), limit in sorted(of(accepted).items())
        if (container, resource) not in own
    ]


def node_facts(node: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One node, and how much of it the pods on it have asked for."""
    status, name = node.get("status") or {}, node["metadata"]["name"]
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    running = [
        requests_of(pod)
        for pod in pods
        if pod["spec"].get("nodeName") == name and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]
    allocatable = status.get("allocatable") or {}
    return {
        "name": name,
        "ready": ready.get("status") == "True",
        "why_not_ready": " ".join(filter(None, [ready.get("reason"), ready.get("message")])) or "no condition Ready",
        "pressure": sorted(
            kind
            for kind, condition in conditions.items()
            if kind.endswith("Pressure") and condition.get("status") == "True"
        ),
        "hostname": (node["metadata"].get("labels") or {}).get("kubernetes.io/hostname"),
        "addresses": [
            address["address"] for address in status.get("addresses") or () if address.get("type") == "InternalIP"
        ],
        "allocatable": {resource: quantity(allocatable.get(resource)) for resource in RESOURCES},
        "requested": {resource: sum(each[resource] for each in running) for resource in RESOURCES},
        "images": sorted(
            {full_name(name) for image in status.get("images") or () for name in image.get("names") or ()}
        ),
        "kubelet": (status.get("nodeInfo") or {}).get("kubeletVersion", ""),
    }


def daemonset_facts(daemonset: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if daemonset is None:
        return None
    containers = daemonset["spec"]["template"]["spec"].get("containers") or ()
    return {
        "managed_by": (daemonset["metadata"].get("labels") or {}).get(MANAGED_BY),
        "images": [container.get("image") for container in containers],
    }


def service_facts(service: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if service is None:
        return None
    metadata, spec = service["metadata"], service["spec"]
    return {
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
        "type": spec.get("type", "ClusterIP"),
        "selector": spec.get("selector") or {},
        "policies": {policy: spec.get(policy) or "Cluster" for policy in POLICIES},
    }


def namespace_facts(namespace: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if namespace is None:
        return None
    return {
        "phase": (namespace.get("status") or {}).get("phase", "Active"),
        "enforce": (namespace["metadata"].get("labels") or {}).get(ENFORCE),
    }

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with Kubernetes, from what M(preflight_kubernetes) has read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .._core.addresses import normal
from .._kube.images import names
from .claims import claim_findings
from .findings import EVERYWHERE, WARNING, Finding, size
from .plan import FRESH, Plan

OLDEST, NEWEST = (1, 35), (1, 37)
MANAGER = "raft-migration"
SERVING = {"raft-migration/serving": "true"}
# A kubelet tells of its fifty largest images only.
LISTED_IMAGES = 50
HOST_NETWORK_ALLOWED = ("privileged", None)


def kubernetes_findings(
    plan: Plan, seen: Mapping[str, Any], image_present: Mapping[str, bool | None]
) -> Iterator[Finding]:
    """`image_present` is what each Pi's own container runtime says; null where it could not be asked."""
    yield from _version(seen["version"])
    nodes = {node["name"]: node for node in seen["nodes"]}
    for host, place in plan.places.items():
        if place.node not in nodes:
            others = ", ".join(sorted(nodes)) or "none"
            yield Finding(
                host,
                "node",
                f"no node {place.node}; there are {others}",
                "one node for every Pi",
                "let it join Kubernetes, or set pi_controller_node_name to the name kubectl shows",
            )
            continue
        yield from _node(plan, host, nodes[place.node])
        yield from _image(plan, host, nodes[place.node], image_present.get(host))
    extra = sorted(set(nodes) - {place.node for place in plan.places.values()})
    if extra:
        yield Finding(
            EVERYWHERE,
            "nodes",
            f"{', '.join(extra)} not in the inventory",
            "one Pi for every node",
            "nothing where they have no pi-controller: no pod is put there; else add them to the group",
            WARNING,
        )
    yield from _objects(plan, seen)
    yield from claim_findings(plan, seen)


def _version(version: str) -> Iterator[Finding]:
    match = re.match(r"v?(\d+)\.(\d+)", version)
    number = (int(match[1]), int(match[2])) if match else (0, 0)
    if number < OLDEST or number > NEWEST:
        yield Finding(
            EVERYWHERE,
            "Kubernetes",
            version or "no version reported",
            f"{'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}",
            "upgrade K3s first" if number < OLDEST else "try the migration on a test cluster of this version first",
            "error" if number < OLDEST else WARNING,
        )


def _node(plan: Plan, host: str, node: Mapping[str, Any]) -> Iterator[Finding]:
    name, address = node["name"], plan.places[host].address
    if not node["ready"]:
        yield Finding(
            host,
            "node",
            f"{name} is not Ready: {node['why_not_ready']}",
            "Ready",
            "start K3s there; journalctl -u k3s -u k3s-agent",
        )
    for pressure in node["pressure"]:
        yield Finding(
            host, "node", f"{name} has {pressure}", "no pressure", "the kubelet evicts pods: free what it lacks"
        )
    if node["hostname"] != name:
        yield Finding(
            host,
            "node",
            f"{name} has the label kubernetes.io/hostname={node['hostname']}",
            "the label is the node's name, by which the pods are placed",
            f"kubectl label node {name} kubernetes.io/hostname={name} --overwrite",
        )
    # Of a dual-stack node the first one is what a pod is given as its host's.
    if normal(address) not in map(normal, node["addresses"][:1]):
        yield Finding(
            host,
            "node address",
            f"{', '.join(node['addresses']) or 'none'} in Kubernetes",
            f"{address}, as in the inventory: pods bind the node's address",
            "correct ansible_host or pi_controller_address, or give K3s --node-ip, with this address first",
        )
    if plan.stage == FRESH:
        yield from _room(plan, host, node)


def _room(plan: Plan, host: str, node: Mapping[str, Any]) -> Iterator[Finding]:
    for resource, wanted in plan.requests.items():
        free = node["allocatable"][resource] - node["requested"][resource]
        if free < wanted:
            show = size if resource == "memory" else (lambda number: f"{number * 1000:.0f}m")
            yield Finding(
                host,
                f"node {resource}",
                f"{show(max(free, 0))} of {show(node['allocatable'][resource])} not asked for by other pods",
                f"{show(wanted)} for the pod",
                "lower pi_controller_resources, or move other pods away",
            )


def _image(plan: Plan, host: str, node: Mapping[str, Any], present: bool | None) -> Iterator[Finding]:
    # Without an image there is one finding for all.
    if not plan.image or present:
        return
    listed = not names(plan.image).isdisjoint(node["images"])
    # The kubelet's list is late and cut off: it can prove that an image is there, but not always that it is not.
    unsure = present is None and (not node["images"] or len(node["images"]) >= LISTED_IMAGES)
    if (present is None and listed) or unsure:
        return
    never = plan.pull_policy == "Never"
    yield Finding(
        host,
        "image",
        f"{plan.image} is not on this node",
        "on the node" if never else "on the node, or it can be pulled",
        f"import it (k3s ctr images import), or set pi_controller_image_pull_policy; now it is {plan.pull_policy}"
        if never
        else f"pull it beforehand: k3s crictl pull {plan.image}",
        "error" if never else WARNING,
    )


def _objects(plan: Plan, seen: Mapping[str, Any]) -> Iterator[Finding]:
    if not plan.image:
        yield Finding(
            EVERYWHERE,
            "image",
            "none named",
            "the image the pods run",
            "set pi_controller_image, for example to pi-controller:1.4.0",
        )
    daemonset, service, namespace = seen["daemonset"], seen["service"], seen["namespace"]
    if daemonset and (plan.stage == FRESH or daemonset["managed_by"] != MANAGER):
        yield Finding(
            EVERYWHERE,
            "DaemonSet",
            f"{plan.daemonset} exists ({', '.join(map(str, daemonset['images']))}), made by {daemonset['managed_by'] or 'another client'}",
            "none of that name",
            "delete it when it is of no use, or set pi_controller_daemonset to another name",
        )
    if service and (service["type"] == "ExternalName" or not _ours(plan, service["selector"])):
        kind = "an ExternalName" if service["type"] == "ExternalName" else f"with the selector {service['selector']}"
        yield Finding(
            EVERYWHERE,
            "Service",
            f"{kind}",
            "no Service yet, or one without selector that points to the units",
            "set pi_controller_service to the Service that pi-controller's clients use",
        )
    if namespace and namespace["phase"] != "Active":
        yield Finding(
            EVERYWHERE,
            "namespace",
            namespace["phase"],
            "Active",
            "wait until it is gone, or set pi_controller_namespace",
        )
    # Where the pod itself was tried, the API server's own words say more.
    if namespace and namespace["enforce"] not in HOST_NETWORK_ALLOWED and not seen["tried"]:
        yield Finding(
            EVERYWHERE,
            "namespace",
            f"enforces the pod security level {namespace['enforce']}",
            "privileged: the pods use the host's network and devices",
            "kubectl label namespace … pod-security.kubernetes.io/enforce=privileged --overwrite",
        )


def _ours(plan: Plan, selector: Mapping[str, str]) -> bool:
    """No selector, or the one that a migration gives it."""
    return not selector or dict(selector) == {"app.kubernetes.io/name": plan.daemonset, **SERVING}

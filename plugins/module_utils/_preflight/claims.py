# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What else in the cluster is in the migration's way, from what M(preflight_kubernetes) has read. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from .._core.addresses import normal, with_port
from .._kube.facts import RESOURCES
from .findings import EVERYWHERE, WARNING, Finding
from .plan import FRESH, Plan

POD_SECURITY = "violates PodSecurity"
NO_RIGHT = "cannot create resource"
# Whom each policy of a Service keeps on the node that they come to.
LOCAL_CLIENTS = {
    "externalTrafficPolicy": "clients that come in by a Pi's node (node port, load balancer, external address)",
    "internalTrafficPolicy": "pods on a Pi's node",
}
# Without these an object is no longer its owner's (on K3s: an Addon's).
OWNERS_ANNOTATIONS = "objectset.rio.cattle.io/{applied,id,owner-gvk,owner-name,owner-namespace}-"
OWNERS_LABEL = "objectset.rio.cattle.io/hash-"


def claim_findings(plan: Plan, seen: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _host_ports(plan, seen)
    yield from _routes(plan, seen)
    yield from _targets(plan, seen)
    yield from _policies(plan, seen)
    yield from _applied(seen)
    yield from _tried(plan, seen)


def _host_ports(plan: Plan, seen: Mapping[str, Any]) -> Iterator[Finding]:
    """The scheduler gives a port of a node to one pod only, and kube-proxy takes it from whoever listens."""
    hosts = {place.node: host for host, place in plan.places.items()}
    ours = {*plan.standard_ports.values(), *plan.new_ports.values()}
    for claim in seen["host_ports"]:
        host = hosts.get(claim["node"])
        if host is None or claim["port"] not in ours:
            continue
        if claim["service"]:
            # One line for the Service instead of one for each of its pods.
            yield _claimed(
                plan,
                EVERYWHERE,
                claim["port"],
                f"the Service {claim['service']} (LoadBalancer)",
                _off_the_port(claim["service"]),
            )
            continue
        owner = f" of {claim['owner']}" if claim["owner"] else ""
        yield _claimed(
            plan,
            host,
            claim["port"],
            f"the pod {claim['pod']}{owner}",
            f"give {claim['owner'] or 'that pod'} another hostPort, keep it off {claim['node']}, or set "
            f"{plan.setting_of(claim['port'])} to another port",
        )
    addresses = _addresses(plan)
    for claim in seen["service_ports"]:
        if claim["port"] in ours and (
            claim["addresses"] is None or addresses.intersection(map(normal, claim["addresses"]))
        ):
            yield _claimed(
                plan,
                EVERYWHERE,
                claim["port"],
                f"the Service {claim['service']} ({claim['by']})",
                _off_the_port(claim["service"]),
            )


def _addresses(plan: Plan) -> set[str]:
    return {normal(place.address) for place in plan.places.values()}


def _claimed(plan: Plan, host: str, port: int, holder: str, fix: str) -> Finding:
    return Finding(
        host,
        f"hostPort {port}",
        f"{plan.port_names(port)} is claimed by {holder}",
        "no other pod or Service on the migration's ports of the Pis",
        fix,
    )


def _off_the_port(service: str) -> str:
    namespace, name = service.split("/", 1)
    return f"give it another port, or make it a ClusterIP: kubectl -n {namespace} edit service {name}"


def _routes(plan: Plan, seen: Mapping[str, Any]) -> Iterator[Finding]:
    """The migration moves one Service. Any other one would keep its clients on units that take no writes any more."""
    addresses = _addresses(plan)
    routes: dict[str, list[str]] = {}
    users: dict[str, list[str]] = {}
    for route in seen["other_routes"]:
        if normal(route["address"]) in addresses and route["port"] in plan.standard_ports.values():
            routes.setdefault(route["service"], []).append(with_port(route["address"], route["port"]))
            users[route["service"]] = route["ingresses"]
    for service, targets in routes.items():
        namespace, name = service.split("/", 1)
        through = f", used by the Ingress {', '.join(users[service])}" if users[service] else ""
        yield Finding(
            EVERYWHERE,
            "another Service",
            f"{service} points to the units ({', '.join(targets)}){through}",
            "one Service that points to the units: pi_controller_service",
            f"let its clients{' and that Ingress' if through else ''} use pi_controller_service, then "
            f"kubectl -n {namespace} delete service {name}",
        )


def _targets(plan: Plan, seen: Mapping[str, Any]) -> Iterator[Finding]:
    """In prepare the Service gets the Pis' addresses and no others, so the clients of any other one would be
    dropped.
    """
    if plan.stage != FRESH:
        return
    others = [target for target in seen["targets"] if normal(target["address"]) not in _addresses(plan)]
    if not others:
        return
    sixes = all(":" in target["address"] for target in others)
    listed = ", ".join(with_port(target["address"], target["port"]) for target in others)
    yield Finding(
        EVERYWHERE,
        "Service",
        f"it points to {listed}{' (IPv6)' if sixes else ''} as well",
        "the addresses of the Pis, one each, as in the inventory",
        "take these endpoints out before the migration, and let their clients use the Service's other address family"
        if sixes
        else "take these endpoints out, or add their hosts to the group",
    )


def _policies(plan: Plan, seen: Mapping[str, Any]) -> Iterator[Finding]:
    """In a Pi's turn the Service has no endpoint on its node. With `Local` kube-proxy drops what comes in there instead of routing it on."""
    service = seen["service"]
    if not service or len(plan.hosts) < 2:
        return
    for policy, clients in LOCAL_CLIENTS.items():
        if service["policies"][policy] != "Local":
            continue
        patch = f'{{"spec":{{"{policy}":"Cluster"}}}}'
        yield Finding(
            EVERYWHERE,
            "Service",
            f"{policy}: Local",
            f"Cluster until the migration is over: with Local, {clients} get no answer in its turn",
            f"kubectl -n {service['namespace']} patch service {service['name']} -p '{patch}', and Local again afterwards; "
            "or see that these clients wait and try again",
            WARNING,
        )


def _applied(seen: Mapping[str, Any]) -> Iterator[Finding]:
    for applied in seen["applied"]:
        yield Finding(
            EVERYWHERE,
            "manifest",
            f"{applied['kind']} {applied['name']} is applied again from {applied['manifest'] or applied['owner']}",
            "objects that only the migration changes while it runs",
            f"{_pause(applied)}; then {_disown(applied)}; and {_before_it_goes_on(applied)}",
        )


def _pause(applied: Mapping[str, Any]) -> str:
    if not applied["addon"]:
        return f"pause {applied['owner']}"
    if applied["manifest"]:
        return f"touch {shlex.quote(applied['manifest'] + '.skip')} on every server that has that file"
    namespace, name = applied["addon"].split("/", 1)
    return (
        f"touch FILE.skip on every server that has FILE, the output of "
        f"kubectl -n {namespace} get addon {name} -o jsonpath={{.spec.source}}"
    )


def _disown(applied: Mapping[str, Any]) -> str:
    """Whoever applies a set of objects knows those of before by these marks, and deletes the ones that are no longer in the set."""
    where, what = f"kubectl -n {applied['namespace']}", f"{applied['kind'].lower()} {applied['name']}"
    return f"{where} annotate {what} {OWNERS_ANNOTATIONS}; {where} label {what} {OWNERS_LABEL}"


def _before_it_goes_on(applied: Mapping[str, Any]) -> str:
    """With the object still in its set, it would be taken over again."""
    if not applied["addon"]:
        return "take it out of what its owner applies before that goes on"
    return "take it out of the file before you remove the .skip"


def _tried(plan: Plan, seen: Mapping[str, Any]) -> Iterator[Finding]:
    tried = seen["tried"]
    if not tried:
        return
    # In another namespace the limits are others.
    if tried["in_its_own"]:
        yield from _limits(tried)
    if not tried["refused"]:
        return
    refusal, namespace = tried["refused"], tried["namespace"]
    if POD_SECURITY in refusal:
        if tried["in_its_own"]:
            yield Finding(
                EVERYWHERE,
                "namespace",
                refusal,
                "the pods' use of the host's network and devices is allowed",
                f"kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=privileged --overwrite",
            )
    elif NO_RIGHT in refusal:
        if tried["in_its_own"]:
            yield Finding(
                EVERYWHERE,
                "pod",
                f"could not be tried: {refusal}",
                "a dry run of the very pod",
                "apply docs/rbac.yml of this release",
                WARNING,
            )
    else:
        yield Finding(
            EVERYWHERE,
            "pod",
            f"refused in {namespace}: {refusal}",
            f"a pod of {plan.daemonset} is accepted (dry run)",
            "change the setting that it names, or the policy of the cluster that refuses it",
        )


def _limits(tried: Mapping[str, Any]) -> Iterator[Finding]:
    """Limits that the owner has not set show in no object before the pods run."""
    beyond = {"cpu": "is slowed down", "memory": "is killed"}
    for added in tried["limits"]:
        # Of the others, such as ephemeral-storage, a daemon in a folder of its host uses next to nothing.
        if added["resource"] in RESOURCES:
            yield Finding(
                EVERYWHERE,
                f"pod {added['resource']} limit",
                f"{added['limit']} in {tried['namespace']}, as by a LimitRange; pi_controller_resources sets none",
                f"no limit, or one with room for the restore of the database: beyond it the pod {beyond[added['resource']]}",
                f"set pi_controller_resources.limits.{added['resource']} to what the daemon needs; for what sets this one: "
                f"kubectl -n {tried['namespace']} get limitrange",
                WARNING,
            )

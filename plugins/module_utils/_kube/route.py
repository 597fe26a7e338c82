# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a Service has to point, what one look at it shows, and how far apart the two are. No request is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from . import endpoints as lists
from .api import KubeError, core, selector_text
from .pods import Pod, container_port, is_ready, waiting_reason
from .service import (
    ENDPOINTS,
    OWNER,
    PODS,
    daemon_ports,
    differs,
    has_selector_of_owner,
    mode,
    owners_service,
    ports_of,
    saved,
    wanted_service,
)


@dataclass(frozen=True)
class View:
    """One look at all that decides the targets of the Service."""

    service: dict[str, Any] | None
    slices: list[dict[str, Any]]
    pods: list[Pod] = field(default_factory=list)
    # Slices of the owner that wait for a rollback.
    parked: list[dict[str, Any]] = field(default_factory=list)
    # In check mode, the targets that a run would leave.
    predicted: lists.Targets | None = None

    @property
    def targets(self) -> lists.Targets:
        """The targets in effect: kube-proxy uses the union of all slices."""
        return lists.of_slices(self.slices) if self.predicted is None else self.predicted

    def of(self, manager: str) -> list[dict[str, Any]]:
        return [item for item in self.slices if lists.managed_by(item) == manager]

    @property
    def handmade(self) -> list[dict[str, Any]]:
        """Slices of the owner: neither Kubernetes' controllers nor this collection wrote them."""
        return [
            item for item in self.slices if lists.managed_by(item) not in (lists.OF_PODS, lists.MIRRORED, lists.OWN)
        ]

    @property
    def not_own(self) -> list[dict[str, Any]]:
        return [item for item in self.slices if lists.managed_by(item) != lists.OWN]

    def summary(self) -> dict[str, Any]:
        return {
            "mode": mode(self.service),
            "selector": ((self.service or {}).get("spec") or {}).get("selector"),
            "ports": ports_of(self.service),
            "endpoints": lists.summary(self.targets),
        }


class OwnChanges(NamedTuple):
    """Slices to create, to replace and to delete, in this order."""

    new: list[dict[str, Any]]
    rewritten: list[dict[str, Any]]
    left_over: list[dict[str, Any]]


@dataclass(frozen=True)
class Route:
    """Where the Service has to point: to these targets, to the pods that a selector finds, or where its owner had it."""

    namespace: str
    service: str
    ports: Mapping[str, int]
    point_to: str = ENDPOINTS
    selector: Mapping[str, str] | None = None
    targets: lists.Targets = frozenset()
    nodes: Mapping[str, str] = field(default_factory=dict)
    expected: int | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Route:
        point_to = params["point_to"]
        endpoints = params["endpoints"] if point_to == ENDPOINTS else []
        selector = params["selector"] if point_to == PODS else None
        return cls(
            namespace=params["namespace"],
            service=params["service"],
            ports={name: int(number) for name, number in params["ports"].items()},
            point_to=point_to,
            selector={key: str(value) for key, value in selector.items()} if selector else None,
            targets=lists.of_option(endpoints),
            nodes={endpoint["ip"]: endpoint["node_name"] for endpoint in endpoints if endpoint.get("node_name")},
            expected=params["expected"],
        )

    @property
    def path(self) -> str:
        return core(self.namespace, "services", self.service)

    def roles(self, view: View) -> dict[str, str]:
        return daemon_ports(view.service, view.targets, self.ports)

    def wanted_service(self, view: View) -> dict[str, Any]:
        if self.point_to == OWNER:
            return owners_service(view.service) if view.service else {}
        return wanted_service(view.service, self.namespace, self.service, self.ports, self.roles(view), self.selector)

    def wanted_targets(self, view: View) -> lists.Targets:
        """The targets by the Service's own port names."""
        if self.selector:
            return lists.of_pods(view.pods, self.wanted_service(view))
        roles = self.roles(view)
        daemons = {
            lists.Target(target.ip, name, target.port)
            for target in self.targets
            for name, role in roles.items()
            if role == target.port_name
        }
        # Ports that are not the migration's stay reachable on the same hosts.
        others = {
            (seen.port_name, seen.port)
            for seen in view.targets
            if seen.port_name not in roles and seen.port_name in ports_of(view.service)
        }
        ips = {target.ip for target in self.targets}
        return frozenset(daemons | {lists.Target(ip, name, port) for ip in ips for name, port in others})

    def own_slices(self, view: View) -> list[dict[str, Any]]:
        """This collection's slices for the wanted targets. Each address keeps the node that it has now."""
        nodes = {**lists.node_names(view.slices), **lists.nodes_of_pods(view.pods), **self.nodes}
        return lists.own_slices(view.service, self.wanted_targets(view), nodes) if view.service else []

    def service_differs(self, view: View) -> bool:
        return differs(view.service, self.wanted_service(view))

    def own_changes(self, view: View) -> OwnChanges:
        """What makes this collection's slices list the wanted targets.

        A slice is rewritten in its place where there is one for the same kind of address. A kube-proxy that has lost the API server learns of
        new slices and of removed ones in one answer, in which the removed ones come first, and rejects connections for a second if it
        looks at its rules in between.

        A slice that a controller has written is never taken over: the controller would wait for it to come back before it writes any other
        one for this Service, until it is deleted. So the name of one that was handed over may be taken.
        """
        present = {item["metadata"]["name"]: item for item in view.of(lists.OWN)}
        taken = {item["metadata"]["name"] for item in view.slices} - present.keys()
        wanted = self.own_slices(view)
        by_name = [present.pop(item["metadata"]["name"], None) for item in wanted]
        changes = OwnChanges([], [], [])
        for item, old in zip(wanted, by_name):
            if old is None:
                same_kind = (name for name, other in present.items() if other["addressType"] == item["addressType"])
                old = present.pop(next(same_kind, ""), None)
            if old is None:
                changes.new.append(_with_free_name(item, taken))
            elif not lists.same_endpoints(old, item):
                changes.rewritten.append({**item, "metadata": old["metadata"]})
        changes.left_over.extend(present.values())
        return changes

    def own_differ(self, view: View) -> bool:
        return bool(view.service) and any(self.own_changes(view))

    def owners_surplus(self, view: View) -> lists.Targets:
        """Targets in the owner's slices that the Service must not have.

        Slices that list nothing else stay in place, for a kube-proxy that has lost the API server (see `own_changes`).
        """
        owners = [*view.of(lists.MIRRORED), *view.handmade]
        return lists.of_slices(owners) - self.wanted_targets(view)

    def doubts(self, view: View) -> list[str]:
        """Why the Service must not point to the pods yet."""
        if not self.selector:
            return []
        ready = [pod for pod in view.pods if is_ready(pod)]
        reasons = []
        if not ready or (self.expected is not None and len(ready) != self.expected):
            wanted = "at least 1" if self.expected is None else str(self.expected)
            labels = selector_text(dict(self.selector))
            reasons.append(f"{len(ready)} Ready pods have the labels {labels}, wanted {wanted}")
            for pod in view.pods:
                if not is_ready(pod):
                    why = waiting_reason(pod) or "its probe fails or it is stopping"
                    reasons.append(f"{pod['metadata']['name']} is not Ready ({why})")
        reasons += [
            f"{pod['metadata']['name']} has no container port named {name}"
            for pod in ready
            for name in self.ports
            if container_port(pod, name) is None
        ]
        return reasons

    def refuse_other_services(self, view: View) -> None:
        """Raise where the Service cannot be the one that the daemons' clients use."""
        if view.service is None:
            return
        if view.service["spec"].get("type") == "ExternalName":
            raise KubeError(
                f"the Service {self.service} is an ExternalName and has no endpoints",
                url=self.path,
                seen="ExternalName",
                next_step="name the Service that points to the daemons",
            )
        if self.point_to != OWNER and not self.roles(view):
            listed = ", ".join(f"{name or 'unnamed'} {number}" for name, number in ports_of(view.service).items())
            raise KubeError(
                f"no port of the Service {self.service} belongs to the daemons: it has {listed or 'none'}",
                url=self.path,
                seen=ports_of(view.service),
                wanted=dict(self.ports),
                next_step="name the Service that points to the daemons, or give it one of these ports",
            )

    def remarks(self, view: View) -> list[str]:
        """Ports of the Service that were kept and have no targets."""
        reached = {target.port_name for target in view.targets}
        return [
            f"the port {name or 'without a name'} of the Service {self.service} has no endpoint"
            for name in ports_of(view.service)
            if name not in reached and name not in self.roles(view)
        ]

    def to_give_back(self, view: View) -> bool:
        """Whether something of the owner's is there that this collection's slices take the place of."""
        return bool(saved(view.service) or view.parked or (view.not_own and view.of(lists.OWN)))

    def owner_has_targets(self, view: View) -> bool:
        before = saved(view.service)
        return bool(before.get("endpoints") or before.get("selector") or view.parked or view.not_own)

    def predict(self, view: View) -> tuple[View, bool]:
        """What a run would leave, and whether that is a change."""
        if self.point_to == OWNER:
            if not self.to_give_back(view):
                return view, False
            mirrored = lists.of_subsets((saved(view.service).get("endpoints") or {}).get("subsets"))
            # With another selector, or none, nothing keeps the slices of the pods.
            gone = [] if has_selector_of_owner(view.service) else view.of(lists.OF_PODS)
            kept = [item for item in view.not_own if item not in gone]
            predicted = lists.of_slices([*kept, *view.parked]) | mirrored
            if not self.owner_has_targets(view):
                predicted = view.targets
            return replace(view, service=self.wanted_service(view), predicted=predicted), True
        changed = self.service_differs(view)
        if self.selector:
            changed = changed or bool(view.of(lists.OWN) or view.handmade)
        else:
            changed = changed or bool(view.of(lists.OF_PODS) or self.owners_surplus(view)) or self.own_differ(view)
        return replace(view, service=self.wanted_service(view), predicted=self.wanted_targets(view)), changed


def _with_free_name(item: dict[str, Any], taken: set[str]) -> dict[str, Any]:
    name = str(item["metadata"]["name"])
    while name in taken:
        name += "-2"
    return {**item, "metadata": {**item["metadata"], "name": name}}

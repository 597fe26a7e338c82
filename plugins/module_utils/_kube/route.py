# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a Service has to lead, what one look at it shows, and how far apart the two are. No request is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import endpoints as lists
from .api import KubeError, core, selector_text
from .pods import Pod, container_port, is_ready, waiting_reason
from .service import ENDPOINTS, differs, mode, ports_of, wanted_service


@dataclass(frozen=True)
class View:
    """One look at all that decides where the Service leads. `slices` is None where the API has none."""

    service: dict[str, Any] | None
    endpoints: dict[str, Any] | None
    slices: list[dict[str, Any]] | None
    pods: list[Pod]

    @property
    def targets(self) -> lists.Targets:
        """Where it leads in effect: kube-proxy adds up all slices."""
        return lists.of_endpoints(self.endpoints) if self.slices is None else lists.of_slices(self.slices)

    def of(self, manager: str) -> list[dict[str, Any]]:
        return [one for one in self.slices or [] if lists.managed_by(one) == manager]

    def summary(self) -> dict[str, Any]:
        return {
            "mode": mode(self.service),
            "selector": ((self.service or {}).get("spec") or {}).get("selector"),
            "ports": ports_of(self.service),
            "endpoints": lists.summary(self.targets),
        }


@dataclass(frozen=True)
class Route:
    """Where the Service has to lead: to these targets, or with a selector to the pods it finds."""

    namespace: str
    service: str
    ports: Mapping[str, int]
    selector: Mapping[str, str] | None = None
    targets: lists.Targets = frozenset()
    nodes: Mapping[str, str] = field(default_factory=dict)
    expected: int | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Route:
        to_endpoints = params["lead_to"] == ENDPOINTS
        endpoints = params["endpoints"] if to_endpoints else []
        return cls(
            namespace=params["namespace"],
            service=params["service"],
            ports={name: int(number) for name, number in params["ports"].items()},
            selector=None if to_endpoints else {key: str(value) for key, value in params["selector"].items()},
            targets=lists.of_option(endpoints),
            nodes={one["ip"]: one["node_name"] for one in endpoints if one.get("node_name")},
            expected=params["expected"],
        )

    @property
    def path(self) -> str:
        return core(self.namespace, "services", self.service)

    def wanted_service(self, view: View) -> dict[str, Any]:
        return wanted_service(view.service, self.namespace, self.service, self.ports, self.selector)

    def wanted_targets(self, view: View) -> lists.Targets:
        return lists.of_pods(view.pods, self.wanted_service(view)) if self.selector else self.targets

    def wanted_endpoints(self, view: View) -> dict[str, Any]:
        return lists.endpoints_object(
            view.endpoints, self.namespace, self.service, self.wanted_targets(view), self.nodes
        )

    def service_differs(self, view: View) -> bool:
        return differs(view.service, self.wanted_service(view))

    def endpoints_differ(self, view: View) -> bool:
        present = lists.node_names(view.endpoints)
        moved = any(present.get(ip) != node for ip, node in self.nodes.items())
        return moved or lists.of_endpoints(view.endpoints) != self.targets

    def stale(self, view: View) -> list[dict[str, Any]]:
        """Slices that no controller looks after in the wanted mode, and bridges that a killed run has left."""
        return view.of(lists.MIRRORED if self.selector else lists.OF_PODS) + view.of(lists.BRIDGE)

    def doubts(self, view: View) -> list[str]:
        """Why the Service must not be led to the pods yet."""
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

    def refuse_what_others_lead(self, view: View) -> None:
        """Raise where somebody else decides where the Service leads."""
        if view.service and view.service["spec"].get("type") == "ExternalName":
            raise KubeError(
                f"the Service {self.service} is an ExternalName and has no endpoints",
                url=self.path,
                seen="ExternalName",
                next_step="name the Service that leads to the daemons",
            )
        known = (lists.OF_PODS, lists.MIRRORED, lists.BRIDGE)
        foreign = [one for one in view.slices or [] if lists.managed_by(one) not in known]
        if foreign:
            names = [one["metadata"]["name"] for one in foreign]
            manager = lists.managed_by(foreign[0]) or "no manager named"
            raise KubeError(
                f"the EndpointSlices {', '.join(names)} of the Service {self.service} are not written by Kubernetes"
                f" itself ({manager}), so it would go on leading there",
                url=self.path,
                seen=names,
                wanted=[],
                next_step="have their manager give them up: an Endpoints object named like the Service does the same",
            )

    def remarks(self, view: View) -> list[str]:
        """Ports of the Service that were kept and lead nowhere."""
        led = {target.port_name for target in view.targets}
        return [
            f"the Service {self.service} has the port {name or 'without a name'}, and no endpoint listens for it"
            for name in ports_of(view.service)
            if name not in led and name not in self.ports
        ]

    def predict(self, view: View) -> tuple[View, bool]:
        """What a run would leave, and whether that is a change."""
        changed = self.service_differs(view) or bool(self.stale(view))
        changed = changed or (not self.selector and self.endpoints_differ(view))
        after = replace(view, service=self.wanted_service(view), endpoints=self.wanted_endpoints(view), slices=None)
        return after, changed

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leading a Service from one kind of target to the other; the order of the steps keeps it from ever leading nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from .._core.waiting import wait_until
from . import endpoints as lists
from .api import CONFLICT, KubeApi, KubeError, core, selector_text
from .pods import node_of
from .route import Route, View

CONFLICT_RETRIES = 5
CONTROLLERS = "see that kube-controller-manager runs (on K3s: the k3s service of a server), then run again"


class Swap:
    """One call of the module: looks, changes what differs, waits, and tidies up."""

    def __init__(self, api: KubeApi, route: Route, deadline: float) -> None:
        self.api = api
        self.route = route
        self.deadline = deadline
        self.changed = False
        self.removed: list[str] = []

    def look(self) -> View:
        route = self.route
        slices = self.api.slices(route.namespace)
        label = f"{lists.SERVICE_LABEL}={route.service}"
        pods = core(route.namespace, "pods")
        view = View(
            service=self.api.read(route.path),
            endpoints=self.api.read(core(route.namespace, "endpoints", route.service)),
            slices=None if slices is None else self.api.items(slices, labels=label),
            pods=self.api.items(pods, labels=selector_text(dict(route.selector))) if route.selector else [],
        )
        route.refuse_what_others_lead(view)
        return view

    def to_pods(self) -> View:
        view = self._wait(self.route.doubts, "bring the pods up, then run again; nothing was changed")
        if self.route.service_differs(view):
            if view.service and not view.service["spec"].get("selector"):
                self._lay_bridge(view)
            self._against_conflicts(self._put_service)
        self._wait(self._missing_of_controllers, CONTROLLERS)
        return self._tidy_up()

    def to_endpoints(self) -> View:
        # The selector goes first: while it is there, the endpoints controller writes over the object.
        self._against_conflicts(self._put_service)
        self._against_conflicts(self._put_endpoints)
        self._wait(self._missing_of_mirror, CONTROLLERS)
        return self._tidy_up()

    # --- one step each ---------------------------------------------------------------------------

    def _put_service(self, view: View) -> None:
        if not self.route.service_differs(view):
            return
        wanted = self.route.wanted_service(view)
        if view.service is None:
            self.api.create(core(self.route.namespace, "services"), wanted)
        else:
            self.api.replace(self.route.path, wanted)
        self.changed = True

    def _put_endpoints(self, view: View) -> None:
        if not self.route.endpoints_differ(view):
            return
        wanted = self.route.wanted_endpoints(view)
        if view.endpoints is None:
            self.api.create(core(self.route.namespace, "endpoints"), wanted)
        else:
            self.api.replace(core(self.route.namespace, "endpoints", self.route.service), wanted)
        self.changed = True

    def _lay_bridge(self, view: View) -> None:
        path = self.api.slices(self.route.namespace)
        if path is None or view.service is None:
            return
        self._delete_slices(view.of(lists.BRIDGE))
        nodes = {pod["status"]["podIP"]: node for pod in view.pods for node in [node_of(pod)] if node is not None}
        version = path.split("/")[3]
        for one in lists.bridge_slices(view.service, self.route.wanted_targets(view), nodes, version):
            self.api.create(path, one)
        self.changed = True

    def _tidy_up(self) -> View:
        """Take away what leads elsewhere, now that what leads to the targets is there."""
        stale = self.route.stale(self.look())
        gone = self._delete_slices(stale)
        self.changed = self.changed or bool(gone)
        bridges = {one["metadata"]["name"] for one in stale if lists.managed_by(one) == lists.BRIDGE}
        self.removed += [name for name in gone if name not in bridges]
        return self._wait(self._surplus, "find out who else writes its EndpointSlices")

    def _delete_slices(self, slices: Iterable[dict[str, object]]) -> list[str]:
        gone = []
        for one in slices:
            metadata: dict[str, str] = one["metadata"]  # type: ignore[assignment]
            path = self.api.slices(self.route.namespace, metadata["name"])
            if path is not None and self.api.delete(path, metadata["uid"]):
                gone.append(metadata["name"])
        return gone

    # --- what is waited for ----------------------------------------------------------------------

    def _missing_of_controllers(self, view: View) -> list[str]:
        wanted = self.route.wanted_targets(view)
        reasons = self.route.doubts(view)
        if view.slices is not None:
            reasons += _difference("its EndpointSlices", lists.of_slices(view.of(lists.OF_PODS)), wanted)
        if view.endpoints is not None and view.service:
            first = lists.first_family(wanted, view.service)
            reasons += _difference("its Endpoints", lists.of_endpoints(view.endpoints), first)
        return reasons

    def _missing_of_mirror(self, view: View) -> list[str]:
        if self.route.endpoints_differ(view):
            # A late sync of the endpoints controller, which still remembered the selector, has written over it.
            self._against_conflicts(self._put_endpoints)
            return ["its Endpoints were written over by somebody else"]
        if view.slices is None:
            return []
        return _difference("its EndpointSlices", lists.of_slices(view.of(lists.MIRRORED)), self.route.targets)

    def _surplus(self, view: View) -> list[str]:
        return _difference("its endpoints", view.targets, self.route.wanted_targets(view))

    def _wait(self, reasons: Callable[[View], list[str]], next_step: str) -> View:
        def look() -> tuple[View, list[str]]:
            view = self.look()
            return view, reasons(view)

        waited = wait_until(look, lambda seen: not seen[1], max(0.0, self.deadline - time.monotonic()))
        view, missing = waited.value
        if not waited.met:
            kind = "pods" if self.route.selector else "endpoints"
            raise KubeError(
                f"the Service {self.route.service} does not lead to its {kind} within `wait_timeout`: "
                + "; ".join(missing),
                url=self.route.path,
                seen=lists.summary(view.targets),
                wanted=lists.summary(self.route.wanted_targets(view)),
                next_step=next_step,
            )
        return view

    def _against_conflicts(self, put: Callable[[View], None]) -> None:
        """Controllers write to the same objects, so look again and repeat what lost the race."""
        for tries_left in reversed(range(CONFLICT_RETRIES)):
            try:
                put(self.look())
                return
            except KubeError as error:
                if error.status != CONFLICT or not tries_left:
                    raise


def _difference(what: str, seen: lists.Targets, wanted: lists.Targets) -> list[str]:
    reasons = []
    if wanted - seen:
        reasons.append(f"{what} lack {_listed(wanted - seen)}")
    if seen - wanted:
        reasons.append(f"{what} still lead to {_listed(seen - wanted)}")
    return reasons


def _listed(targets: lists.Targets) -> str:
    return ", ".join(f"{target.ip}:{target.port} ({target.port_name})" for target in sorted(targets))

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves a Service from one kind of target to another. The order of the steps keeps it from ever having no target.

What points to the new targets is always there before anything is taken away. Of the owner's, nothing is deleted: slices
lose the label by which proxies find them, and an Endpoints object is labelled so that it is not mirrored.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from typing import Any

from .._core.addresses import with_port
from .._core.waiting import wait_until
from . import endpoints as lists
from .api import CONFLICT, KubeApi, KubeError, core, selector_text, slices_path
from .route import Route, View
from .service import ENDPOINTS, OWNER, claimed_service, has_selector_of_owner, mode, saved, with_saved
from .service import PODS as SELECTS

CONFLICT_RETRIES = 5
CONTROLLERS = (
    "check that kube-controller-manager runs (on K3s: the k3s service of a server), then run the same command again"
)
GOALS = {ENDPOINTS: "these endpoints", SELECTS: "its pods", OWNER: "its owner's endpoints"}
STRANGER = "find out what else writes its EndpointSlices"


class Swap:
    """One call of the module: looks, changes what differs, waits, and tidies up."""

    def __init__(self, api: KubeApi, route: Route, deadline: float) -> None:
        self.api = api
        self.route = route
        self.deadline = deadline
        self.changed = False
        self.removed: list[str] = []
        self.parked: list[str] = []

    def look(self) -> View:
        route = self.route
        slices, pods = slices_path(route.namespace), core(route.namespace, "pods")
        parked = f"{lists.PARKED_LABEL}={route.service}"
        view = View(
            service=self.api.read(route.path),
            slices=self.api.items(slices, labels=f"{lists.SERVICE_LABEL}={route.service}"),
            pods=self.api.items(pods, labels=selector_text(dict(route.selector))) if route.selector else [],
            parked=self.api.items(slices, labels=parked) if route.point_to == OWNER else [],
        )
        route.refuse_other_services(view)
        return view

    def to_pods(self) -> View:
        view = self._wait(self.route.doubts, "bring the pods up, then run the same command again; nothing was changed")
        if self.route.service_differs(view):
            # The pods' slices are written some time after the selector appears; these are there all the time.
            self._against_conflicts(self._put_own)
            # The selector makes Kubernetes write over the Endpoints object, so what the owner has in it is saved before.
            self._against_conflicts(self._take_aside)
            # Its controller goes on with them, so that no proxy ever meets new slices and none of the old ones.
            self._against_conflicts(self._hand_over)
            self._against_conflicts(self._put_service)
        self._wait(self._missing_of_pods, CONTROLLERS)
        self._against_conflicts(self._leave_to_pods)
        return self._wait(self._surplus_of_pods, STRANGER)

    def to_endpoints(self) -> View:
        if has_selector_of_owner(self.look().service):
            self._against_conflicts(self._claim)
            self._wait(self._unlabelled, CONTROLLERS)
        self._against_conflicts(self._put_own)
        self._against_conflicts(self._put_service)
        # A Service that has just been made had no slices yet.
        self._against_conflicts(self._put_own)
        return self._wait(self._surplus_of_own, STRANGER)

    def to_owner(self) -> View:
        """Give the Service back as its owner had it. Where there is nothing to give back, it stays as it is."""
        view = self.look()
        if not self.route.to_give_back(view):
            return view
        if mode(view.service) == SELECTS and not has_selector_of_owner(view.service):
            raise KubeError(
                f"the Service {self.route.service} points to the pods, which hold writes the units may not have",
                url=self.route.path,
                seen=lists.summary(view.targets),
                next_step="point it to the units first (point_to=endpoints)",
            )
        if not self.route.owner_has_targets(view):
            # The owner's Service had none either. Ours stay, since they are what clients reach now.
            self._against_conflicts(self._put_service)
            return self.look()
        for item in view.parked:
            self._relabel(item, lists.PARKED_LABEL, lists.SERVICE_LABEL)
        self._against_conflicts(self._give_endpoints_back)
        wanted = lists.of_subsets((saved(view.service).get("endpoints") or {}).get("subsets"))
        if saved(view.service).get("selector"):
            self._against_conflicts(self._put_service)
        self._wait(lambda seen: self._missing_of_owner(seen, wanted), CONTROLLERS)
        self._against_conflicts(self._put_service)
        self._delete_slices(self.look().of(lists.OWN))
        return self._wait(lambda seen: [f"{lists.OWN} still has slices"] if seen.of(lists.OWN) else [], STRANGER)

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

    def _claim(self, view: View) -> None:
        if view.service and has_selector_of_owner(view.service):
            self.api.replace(self.route.path, claimed_service(view.service))
            self.changed = True

    def _put_own(self, view: View) -> None:
        """Make this collection's slices list the targets: what is new first, what is left over last."""
        if view.service is None:
            return
        changes = self.route.own_changes(view)
        for item in changes.new:
            self.api.create(slices_path(self.route.namespace), item)
        for item in changes.rewritten:
            self.api.replace(slices_path(self.route.namespace, item["metadata"]["name"]), item)
        self._delete_slices(changes.left_over)
        self.changed = self.changed or any(changes)

    def _hand_over(self, view: View) -> None:
        """Let the controller of the pods' slices have this collection's; it keeps what belongs to the Service."""
        for item in view.of(lists.OWN):
            metadata = {**item["metadata"], "labels": {**item["metadata"]["labels"], lists.MANAGED_BY: lists.OF_PODS}}
            # Items of a list come without their kind.
            handed = {**item, "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
            self.api.replace(slices_path(self.route.namespace, metadata["name"]), handed)
            self.changed = True

    def _take_aside(self, view: View) -> None:
        """Take the owner's slices away from the proxies, so that a rollback can give them back."""
        if any(not lists.mirrors_pods(item) for item in view.of(lists.MIRRORED)):
            self._save_endpoints(view)
        if view.of(lists.MIRRORED):
            self._stop_mirroring()
        for item in view.handmade:
            self._relabel(item, lists.SERVICE_LABEL, lists.PARKED_LABEL)
            self.parked.append(item["metadata"]["name"])

    def _save_endpoints(self, view: View) -> None:
        # The only uses of the deprecated API are on an object that the owner has made with it.
        endpoints = self._read_endpoints()
        if endpoints is None or view.service is None:
            return
        metadata = endpoints["metadata"]
        labels = dict(metadata.get("labels") or {})
        if lists.ENDPOINTS_MANAGED_BY in labels or labels.pop(lists.SKIP_MIRROR, None) == "true":
            return
        kept = {
            "labels": labels,
            "annotations": metadata.get("annotations") or {},
            "subsets": endpoints.get("subsets") or [],
        }
        if saved(view.service).get("endpoints") != kept:
            self.api.replace(self.route.path, with_saved(view.service, endpoints=kept))
            self.changed = True

    def _stop_mirroring(self) -> None:
        endpoints = self._read_endpoints()
        if endpoints is None or (endpoints["metadata"].get("labels") or {}).get(lists.SKIP_MIRROR) == "true":
            # The controller is about to remove the slices.
            return
        endpoints["metadata"].setdefault("labels", {})[lists.SKIP_MIRROR] = "true"
        self.api.replace(self._endpoints_path, endpoints)
        self.changed = True

    def _give_endpoints_back(self, view: View) -> None:
        kept = saved(view.service).get("endpoints")
        if kept is None:
            return
        present = self._read_endpoints()
        labels = dict(((present or {}).get("metadata") or {}).get("labels") or {})
        if present is None:
            metadata = {"namespace": self.route.namespace, "name": self.route.service}
            made = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": kept["subsets"]}
            metadata.update({key: kept[key] for key in ("labels", "annotations")})
            self.api.create(core(self.route.namespace, "endpoints"), made)
        elif lists.ENDPOINTS_MANAGED_BY in labels:
            # Kubernetes has written over it while the Service had the pods' selector.
            metadata = {**present["metadata"], "labels": kept["labels"], "annotations": kept["annotations"]}
            self.api.replace(self._endpoints_path, {**present, "metadata": metadata, "subsets": kept["subsets"]})
        elif labels.pop(lists.SKIP_MIRROR, None) is not None:
            self.api.replace(self._endpoints_path, {**present, "metadata": {**present["metadata"], "labels": labels}})
        else:
            return
        self.changed = True

    def _leave_to_pods(self, view: View) -> None:
        self._delete_slices(view.of(lists.OWN))
        for item in view.handmade:
            self._relabel(item, lists.SERVICE_LABEL, lists.PARKED_LABEL)
            self.parked.append(item["metadata"]["name"])

    def _relabel(self, item: dict[str, Any], old: str, new: str) -> None:
        changed = copy.deepcopy(item)
        labels = changed["metadata"].setdefault("labels", {})
        labels.pop(old, None)
        labels[new] = self.route.service
        if new == lists.PARKED_LABEL:
            labels[lists.UNWATCHED_LABEL] = ""
        else:
            labels.pop(lists.UNWATCHED_LABEL, None)
        # Items of a list come without their kind.
        changed.update(apiVersion="discovery.k8s.io/v1", kind="EndpointSlice")
        self.api.replace(slices_path(self.route.namespace, item["metadata"]["name"]), changed)
        self.changed = True

    def _delete_slices(self, slices: Iterable[dict[str, Any]]) -> list[str]:
        gone = []
        for item in slices:
            metadata = item["metadata"]
            if self.api.delete(slices_path(self.route.namespace, metadata["name"]), metadata["uid"]):
                gone.append(metadata["name"])
        self.changed = self.changed or bool(gone)
        return gone

    @property
    def _endpoints_path(self) -> str:
        return core(self.route.namespace, "endpoints", self.route.service)

    def _read_endpoints(self) -> dict[str, Any] | None:
        return self.api.read(self._endpoints_path)

    # --- what is waited for ----------------------------------------------------------------------

    def _missing_of_pods(self, view: View) -> list[str]:
        wanted = self.route.wanted_targets(view)
        written = filter(lists.written_for_pods, view.of(lists.OF_PODS))
        return self.route.doubts(view) + _difference("its pods' EndpointSlices", lists.of_slices(written), wanted)

    def _surplus_of_pods(self, view: View) -> list[str]:
        if view.handmade or view.of(lists.OWN):
            self._against_conflicts(self._leave_to_pods)
        return _difference("its EndpointSlices", view.targets, self.route.wanted_targets(view))

    def _unlabelled(self, view: View) -> list[str]:
        """Slices that Kubernetes has not written anew since the Service was labelled."""
        return [
            f"{item['metadata']['name']} does not have the label {lists.SKIP_MIRROR} of its Service"
            for item in view.of(lists.OF_PODS)
            if lists.SKIP_MIRROR not in item["metadata"]["labels"]
        ]

    def _surplus_of_own(self, view: View) -> list[str]:
        """Also puts right what a controller, or an owner's tool, has written meanwhile."""
        # Nothing looks after the pods' slices once the selector is gone.
        self.removed += self._delete_slices(view.of(lists.OF_PODS))
        if self.route.owners_surplus(view):
            self._against_conflicts(self._take_aside)
        return _difference("its EndpointSlices", view.targets, self.route.wanted_targets(view))

    def _missing_of_owner(self, view: View, wanted: lists.Targets) -> list[str]:
        reasons = []
        if wanted:
            reasons = _difference("its mirrored EndpointSlices", lists.of_slices(view.of(lists.MIRRORED)), wanted)
        if not lists.of_slices(view.not_own):
            reasons.append("none of its owner's EndpointSlices has a ready address")
        return reasons

    def _wait(self, reasons: Callable[[View], list[str]], next_step: str) -> View:
        def look() -> tuple[View, list[str]]:
            view = self.look()
            return view, reasons(view)

        waited = wait_until(look, lambda seen: not seen[1], max(0.0, self.deadline - time.monotonic()))
        view, missing = waited.value
        if not waited.met:
            raise KubeError(
                f"the Service {self.route.service} does not point to {GOALS[self.route.point_to]} within `wait_timeout`: "
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
        reasons.append(f"{what} still have {_listed(seen - wanted)}")
    return reasons


def _listed(targets: lists.Targets) -> str:
    return ", ".join(f"{with_port(target.ip, target.port)} ({target.port_name})" for target in sorted(targets))

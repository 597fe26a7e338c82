# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A DaemonSet, the revision of its template, and its pods by node."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from .._core.waiting import wait_until
from .api import KubeApi, KubeError, apps, core, selector_text
from .pods import REVISION_LABEL, Pod, is_terminating, node_of, why_not

# How long the DaemonSet controller may take to notice a changed template.
SETTLE_TIMEOUT = 30.0
EVENTS_SHOWN = 5
# A term that no node matches: Kubernetes refuses an empty list of terms.
NO_NODE = {"matchExpressions": [{"key": "raft-migration/no-node", "operator": "Exists"}]}


def is_settled(daemonset: dict[str, Any]) -> bool:
    """The controller has seen the present template, so the newest revision is that of this template."""
    return int(daemonset.get("status", {}).get("observedGeneration", 0)) >= int(daemonset["metadata"]["generation"])


def is_owned_by(obj: dict[str, Any], owner: dict[str, Any]) -> bool:
    references = obj["metadata"].get("ownerReferences") or []
    return any(reference["uid"] == owner["metadata"]["uid"] for reference in references)


def newest_revision(revisions: list[dict[str, Any]], daemonset: dict[str, Any]) -> str | None:
    """The hash of the present template. Going back to an old template raises that revision's number, so it counts."""
    own = [revision for revision in revisions if is_owned_by(revision, daemonset)]
    if not own:
        return None
    newest = max(own, key=lambda revision: int(revision["revision"]))
    return str(newest["metadata"]["labels"][REVISION_LABEL])


def by_node(pods: list[Pod]) -> dict[str, Pod]:
    """The pod that counts on each node: the youngest, one that is stopping only where there is no other."""
    ordered = sorted(pods, key=lambda pod: (not is_terminating(pod), pod["metadata"].get("creationTimestamp", "")))
    return {node: pod for pod in ordered for node in [node_of(pod)] if node is not None}


def required_terms(daemonset: dict[str, Any]) -> list[dict[str, Any]]:
    """The terms of the template's required node affinity, of which a node has to match one; empty where any node may have a pod."""
    affinity = (daemonset["spec"]["template"]["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return list(required.get("nodeSelectorTerms") or [])


def on_nodes_only(daemonset: dict[str, Any], nodes: list[str]) -> dict[str, Any]:
    """The DaemonSet with pods on these nodes only; everything else of it, preferred affinities too, is kept."""
    terms: list[dict[str, Any]] = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]} for node in nodes
    ]
    changed = copy.deepcopy(daemonset)
    affinity = changed["spec"]["template"]["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {})
    affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms or [NO_NODE]}
    return changed


@dataclass(frozen=True)
class DaemonSetView:
    """One look at a DaemonSet."""

    daemonset: dict[str, Any]
    revision: str | None
    pods: dict[str, Pod]

    @property
    def settled(self) -> bool:
        return is_settled(self.daemonset) and self.revision is not None


def unmet(view: DaemonSetView, nodes: list[str], wait_for: str) -> list[str]:
    """One clause for every one of these nodes whose pod is not in the wanted state, whichever template it runs.

    With `gone` no pod is to be left on them, or on any node where none is named.
    """
    if wait_for == "none":
        return []
    if wait_for == "gone":
        return [
            f"{node}: {pod['metadata']['name']} is there"
            for node, pod in sorted(view.pods.items())
            if not nodes or node in nodes
        ]
    reasons = []
    for node in nodes:
        pod = view.pods.get(node)
        reason = "has no pod" if pod is None else why_not(pod, wait_for, None)
        if reason is not None:
            reasons.append(f"{node}: {reason}")
    return reasons


def await_ready(reader: DaemonSetReader, nodes: list[str], timeout: float, unchanged: str) -> None:
    """Wait until the pods of these nodes are Ready. Raise KubeError, which begins with what is as it was, when the time is up."""
    waited = wait_until(reader.look, lambda view: not unmet(view, nodes, "ready"), timeout)
    if waited.met:
        return
    reasons = unmet(waited.value, nodes, "ready")
    raise KubeError(
        f"{unchanged}, since after {waited.elapsed:.0f} s not every pod of {reader.name} is Ready: {'; '.join(reasons)}",
        url=apps(reader.namespace, "daemonsets", reader.name),
        seen=reasons,
        wanted={"nodes": nodes, "wait_for": "ready"},
        next_step="fix what the named pods wait for (`kubectl describe pod`), then run the same command again",
    )


class DaemonSetReader:
    """Looks at one DaemonSet."""

    def __init__(self, api: KubeApi, namespace: str, name: str) -> None:
        self.api = api
        self.namespace = namespace
        self.name = name

    def look(self) -> DaemonSetView:
        path = apps(self.namespace, "daemonsets", self.name)
        daemonset = self.api.read(path)
        if daemonset is None:
            raise KubeError(
                f"there is no DaemonSet {self.name} in namespace {self.namespace}",
                url=path,
                next_step="run `prepare`, which applies it, or name the right `namespace` and `daemonset`",
            )
        # Its pods carry matchLabels whatever matchExpressions there are; whose they are is for the owner to say.
        labels = selector_text(daemonset["spec"]["selector"].get("matchLabels") or {})
        revisions = self.api.items(apps(self.namespace, "controllerrevisions"), labels=labels)
        pods = self.api.items(core(self.namespace, "pods"), labels=labels)
        own = [pod for pod in pods if is_owned_by(pod, daemonset)]
        return DaemonSetView(daemonset, newest_revision(revisions, daemonset), by_node(own))

    def settled(self) -> DaemonSetView:
        """A look in which the newest revision is surely that of the present template."""
        waited = wait_until(self.look, lambda view: view.settled, SETTLE_TIMEOUT)
        if not waited.met:
            metadata = waited.value.daemonset["metadata"]
            raise KubeError(
                f"the DaemonSet controller has not taken up the template of {self.name} in {SETTLE_TIMEOUT:.0f} s",
                url=apps(self.namespace, "daemonsets", self.name),
                seen=waited.value.daemonset.get("status", {}).get("observedGeneration"),
                wanted=metadata["generation"],
                next_step="see that kube-controller-manager runs (on K3s: the k3s service of a server)",
            )
        return waited.value

    def events_of(self, obj: dict[str, Any]) -> list[str]:
        """The last different events about one object, oldest first."""
        uid = obj["metadata"]["uid"]
        events = self.api.items(core(self.namespace, "events"), fields=f"involvedObject.uid={uid}")
        events.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
        texts = dict.fromkeys(f"{event.get('reason')}: {event.get('message')}" for event in events)
        return list(texts)[-EVENTS_SHOWN:]

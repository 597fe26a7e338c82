#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_daemonset_nodes
short_description: Set the nodes on which a DaemonSet may have pods
description:
  - Names the nodes in the required node affinity of the DaemonSet's pod template, one term for each node, and changes
    nothing else of it. Neither labels on nodes nor any right to change a node is needed.
  - The DaemonSet controller stops the pods on all other nodes. The module returns when the API server has no pod there
    any more, which means that the kubelet has reported their containers as stopped.
  - The pods on the named nodes keep running. That needs the update strategy C(OnDelete); with any other one the
    changed template would replace them, and the module refuses.
  - Without a DaemonSet there is nothing to do where O(nodes) is empty, and the module fails otherwise.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - pi_controller.raft_migration.kubernetes
  - pi_controller.raft_migration.kubernetes.daemonset
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode nothing is waited for.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  nodes:
    description: Kubernetes names of the nodes. With an empty list the DaemonSet stays and has no pod.
    type: list
    elements: str
    required: true
  wait_for:
    description: What the pod of every named node must be when the module returns.
    type: str
    choices:
      none: Anything; a named node gets its pod when the DaemonSet controller comes to it.
      accepted: >-
        Its kubelet has accepted it, so all that can keep it from being scheduled is behind it. It may still wait for an
        image or a volume.
    default: none
  wait:
    description:
      - Whether to wait for anything once the nodes are set. V(false) orders pods to stop, and what needs them gone waits for that.
    type: bool
    default: true
  wait_timeout:
    description: >-
      Seconds to wait until no other node has a pod, the pods' grace period included, and each named one has the pod of
      O(wait_for).
    type: int
    default: 120
notes:
  - The user needs C(get) and C(update) for DaemonSets, and C(list) for ControllerRevisions, pods and events.
seealso:
  - module: pi_controller.raft_migration.k8s_daemonset_pod
  - module: pi_controller.raft_migration.k8s_daemonset_pod_info
"""

EXAMPLES = r"""
- name: Stop the pod on pi-1, keep those on the other two
  pi_controller.raft_migration.k8s_daemonset_nodes:
    namespace: pi-controller
    daemonset: pi-controller
    nodes: [pi-2, pi-3]
  delegate_to: localhost

- name: Let the pod on pi-1 wait for its data folder
  pi_controller.raft_migration.k8s_daemonset_nodes:
    namespace: pi-controller
    daemonset: pi-controller
    nodes: [pi-1]
    wait_for: accepted
  delegate_to: localhost
"""

RETURN = r"""
nodes:
  description: The nodes on which the DaemonSet may have pods now.
  returned: always
  type: list
  elements: str
stopped:
  description: The pods that were on other nodes.
  returned: always
  type: list
  elements: str
elapsed:
  description: Seconds it took.
  returned: always
  type: float
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import time
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.modules import run_module
from ..module_utils._core.waiting import wait_until
from ..module_utils._kube.api import CONFLICT, KubeError, apps, connect
from ..module_utils._kube.arguments import DAEMONSET
from ..module_utils._kube.daemonset import DaemonSetReader, DaemonSetView, on_nodes_only, required_terms, unmet

CONFLICT_RETRIES = 5


class NodeChoice:
    """Sets the nodes of one DaemonSet and waits until no other node has a pod of it."""

    def __init__(self, reader: DaemonSetReader, nodes: list[str], wait_for: str = "none") -> None:
        self.reader = reader
        self.wait_for = wait_for
        self.path = apps(reader.namespace, "daemonsets", reader.name)
        self.nodes = nodes

    def exists(self) -> bool:
        return self.reader.api.read(self.path) is not None

    def check(self, view: DaemonSetView) -> None:
        """Raise where the change would replace pods on the named nodes."""
        strategy = (view.daemonset["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
        if strategy != "OnDelete":
            raise KubeError(
                f"the DaemonSet {self.reader.name} has the update strategy {strategy}, so a changed template would "
                "replace the pods on the other nodes too",
                url=self.path,
                seen=strategy,
                wanted="OnDelete",
                next_step="set updateStrategy.type to OnDelete",
            )

    def differs(self, view: DaemonSetView) -> bool:
        return required_terms(view.daemonset) != required_terms(on_nodes_only(view.daemonset, self.nodes))

    def elsewhere(self, view: DaemonSetView) -> list[str]:
        """Names of the pods on other nodes, those that are stopping included."""
        return sorted(pod["metadata"]["name"] for node, pod in view.pods.items() if node not in self.nodes)

    def change(self) -> None:
        """Write the template; one that was changed meanwhile is read again."""
        for tries_left in reversed(range(CONFLICT_RETRIES)):
            view = self.reader.look()
            if not self.differs(view):
                return
            try:
                self.reader.api.replace(self.path, on_nodes_only(view.daemonset, self.nodes))
                return
            except KubeError as error:
                if error.status != CONFLICT or not tries_left:
                    raise

    def unmet(self, view: DaemonSetView) -> list[str]:
        """One clause for everything that is not yet as wanted."""
        found = [f"{name} is on another node" for name in self.elsewhere(view)]
        if not view.settled:
            return found or ["the DaemonSet controller has not seen the new template"]
        return found + unmet(view, self.nodes, self.wait_for)

    def wait(self, timeout: float) -> None:
        """Raise with what differs from the wanted state when the time is up."""
        waited = wait_until(self.reader.look, lambda view: not self.unmet(view), timeout)
        if waited.met:
            return
        reasons = self.unmet(waited.value)
        events = self._events(waited.value) if self.wait_for != "none" else ""
        raise KubeError(
            f"after {timeout} s the DaemonSet {self.reader.name} does not have its pods on {', '.join(self.nodes) or 'no node'} as wanted: "
            f"{'; '.join(reasons)}{events}",
            url=self.path,
            seen=reasons,
            wanted={"nodes": self.nodes, "wait_for": self.wait_for},
            next_step="see that the kubelet of that node reaches the API server (`kubectl get nodes`), then run the same command again",
        )

    def _events(self, view: DaemonSetView) -> str:
        """What Kubernetes says of the pods on the nodes, or of the DaemonSet where there is none; for the end of a sentence."""
        pods = [view.pods[node] for node in self.nodes if node in view.pods]
        events = [event for obj in pods or [view.daemonset] for event in self.reader.events_of(obj)]
        return f"; events: {' | '.join(events)}" if events else ""


SPEC: dict[str, Any] = {
    "argument_spec": {
        **DAEMONSET,
        "nodes": {"type": "list", "elements": "str", "required": True},
        "wait_for": {"type": "str", "choices": ["none", "accepted"], "default": "none"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 120},
    },
    "supports_check_mode": True,
}
DOING = "choosing the nodes of the DaemonSet"


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    started = time.monotonic()
    params = module.params
    reader = DaemonSetReader(connect(module), params["namespace"], params["daemonset"])
    choice = NodeChoice(reader, params["nodes"], params["wait_for"])
    result.update(changed=False, nodes=params["nodes"], stopped=[], elapsed=0.0)
    if not params["nodes"] and not choice.exists():
        return
    view = choice.reader.look()
    choice.check(view)
    result.update(changed=choice.differs(view), stopped=choice.elsewhere(view))
    if module._diff:
        before, after = required_terms(view.daemonset), required_terms(on_nodes_only(view.daemonset, params["nodes"]))
        result["diff"] = {"before": {"nodeSelectorTerms": before}, "after": {"nodeSelectorTerms": after}}
    if module.check_mode:
        return
    if result["changed"]:
        choice.change()
    try:
        if params["wait"]:
            choice.wait(params["wait_timeout"])
    finally:
        result["elapsed"] = round(time.monotonic() - started, 3)


def main() -> None:
    run_module(AnsibleK8SModule(**SPEC), run, DOING)


if __name__ == "__main__":
    main()

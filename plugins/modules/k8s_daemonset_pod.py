#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_daemonset_pod
short_description: Replace a DaemonSet's pod on one node, and wait for its successor
description:
  - For a DaemonSet with the update strategy C(OnDelete), where the playbook decides which pod is replaced when.
  - A pod that runs the present template already stays. A pod's revision hash says which template it runs, and the
    newest C(ControllerRevision) is that of the present template, once the controller has seen it; that is waited for.
  - The pod gets its own grace period to stop.
  - With a successor that does not come up, the message says why the container waits, how it ended last, and what events
    there are.
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
    support: partial
    details:
      - With O(force=true) every run replaces the pod.
options:
  node:
    description: Kubernetes name of the node.
    type: str
    required: true
  force:
    description: Replace the pod even if it runs the present template.
    type: bool
    default: false
  wait_for:
    description: What to wait for, of a pod of the present template that is not the replaced one.
    type: str
    choices:
      none: Nothing. The deletion has been accepted, and the old container may still be stopping.
      gone: The replaced pod is gone, so its containers have stopped. Its successor may not be there yet.
      running: All containers run. They need not be Ready.
      ready: The pod is Ready.
    default: ready
  wait_timeout:
    description: Seconds to wait for O(wait_for), the old pod's grace period included.
    type: int
    default: 120
notes:
  - The user needs C(get) for DaemonSets, C(list) for ControllerRevisions, pods and events, and C(delete) for pods.
seealso:
  - module: pi_controller.raft_migration.k8s_daemonset_pod_info
"""

EXAMPLES = r"""
- name: Give pi-2 the new template
  pi_controller.raft_migration.k8s_daemonset_pod:
    namespace: pi-controller
    daemonset: pi-controller
    node: pi-2
    wait_for: running
    wait_timeout: 60
  delegate_to: localhost
"""

RETURN = r"""
pod:
  description: Name of the pod that counts on this node now; null where there is none.
  returned: always
  type: str
uid:
  description: Its UID.
  returned: always
  type: str
restart_count:
  description: How often its containers have been restarted; null where there is no pod.
  returned: always
  type: int
revision:
  description: Revision hash of the DaemonSet's present template.
  returned: always
  type: str
before:
  description:
    - The pod as it was found, in the form of RV(pi_controller.raft_migration.k8s_daemonset_pod_info#module:pods);
      null where there was none.
  returned: always
  type: dict
after:
  description: The pod as it is now, in the same form. In check mode and with O(wait_for=none) it is the one found.
  returned: always
  type: dict
elapsed:
  description: Seconds it took.
  returned: always
  type: float
events:
  description: The last events about the pod, or about the DaemonSet where there is no pod.
  returned: when the pod does not become as wanted
  type: list
  elements: str
last_termination:
  description: How its container ended last.
  returned: when the pod does not become as wanted
  type: dict
  sample: {"container": "pi-controller", "exit_code": 1, "reason": "Error", "message": "bind: address already in use"}
failure:
  description: What was seen and what was wanted.
  returned: on failure
  type: dict
"""

import time
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.modules import run_module
from ..module_utils._core.waiting import wait_until
from ..module_utils._kube.api import KubeError, connect, core
from ..module_utils._kube.arguments import DAEMONSET
from ..module_utils._kube.daemonset import DaemonSetReader, DaemonSetView
from ..module_utils._kube.pods import Pod, describe, is_running, is_terminating, last_termination, revision, why_not


class PodReplacement:
    """Finds the pod on the node, deletes it where that is due, and waits for its successor."""

    def __init__(self, reader: DaemonSetReader, params: dict[str, Any]) -> None:
        self.reader = reader
        self.node: str = params["node"]
        self.force: bool = params["force"]
        self.wait_for: str = params["wait_for"]
        self.wait_timeout: int = params["wait_timeout"]
        self.replaced: str | None = None

    def is_due(self, view: DaemonSetView) -> bool:
        """Whether there is a pod to delete. One that is stopping already needs no second push."""
        pod = view.pods.get(self.node)
        return pod is not None and not is_terminating(pod) and (self.force or revision(pod) != view.revision)

    def delete(self, pod: Pod) -> bool:
        """False where that very pod is gone already, which is as good."""
        metadata = pod["metadata"]
        self.replaced = metadata["uid"]
        return self.reader.api.delete(core(self.reader.namespace, "pods", metadata["name"]), metadata["uid"])

    def missing(self, view: DaemonSetView) -> str | None:
        """Why the node is not in the wanted state yet, or None."""
        pod = view.pods.get(self.node)
        is_old = pod is not None and pod["metadata"]["uid"] == self.replaced
        if self.wait_for == "gone":
            # A pod that this run did not delete but found stopping has to go as well.
            stopping = pod is not None and (is_old or is_terminating(pod))
            return f"{pod['metadata']['name']} is still stopping" if pod is not None and stopping else None
        if pod is None:
            wanted = view.daemonset.get("status", {}).get("desiredNumberScheduled", 0)
            return f"there is no pod on {self.node} (the DaemonSet wants {wanted} in all)"
        if is_old:
            return f"{pod['metadata']['name']} is still stopping"
        return why_not(pod, self.wait_for, view.revision)

    def wait(self) -> tuple[DaemonSetView, str | None]:
        waited = wait_until(self.reader.look, lambda view: self.missing(view) is None, self.wait_timeout)
        return waited.value, self.missing(waited.value)


SPEC: dict[str, Any] = {
    "argument_spec": {
        **DAEMONSET,
        "node": {"type": "str", "required": True},
        "force": {"type": "bool", "default": False},
        "wait_for": {"type": "str", "choices": ["none", "gone", "running", "ready"], "default": "ready"},
        "wait_timeout": {"type": "int", "default": 120},
    },
    "supports_check_mode": True,
}
DOING = "replacing the pod"


def facts(view: DaemonSetView, node: str) -> dict[str, Any] | None:
    pod = view.pods.get(node)
    return None if pod is None else describe(pod, view.revision)


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    started = time.monotonic()
    reader = DaemonSetReader(connect(module), module.params["namespace"], module.params["daemonset"])
    replacement = PodReplacement(reader, module.params)
    view = reader.settled()
    before = facts(view, replacement.node)
    result.update(changed=replacement.is_due(view), before=before, revision=view.revision)
    missing = None
    if not module.check_mode:
        if result["changed"]:
            result["changed"] = replacement.delete(view.pods[replacement.node])
        if replacement.wait_for != "none":
            view, missing = replacement.wait()
    after = facts(view, replacement.node)
    result.update(
        after=after,
        pod=after["pod"] if after else None,
        uid=after["uid"] if after else None,
        restart_count=after["restarts"] if after else None,
        elapsed=round(time.monotonic() - started, 3),
    )
    if module._diff:
        wanted = {"node": replacement.node, "revision": view.revision} if result["changed"] else None
        shown = wanted if module.check_mode or replacement.wait_for in ("none", "gone") else after
        result["diff"] = {"before": before or {}, "after": (shown if result["changed"] else before) or {}}
    if missing is not None:
        explain(reader, view, replacement, missing, result)


def explain(
    reader: DaemonSetReader, view: DaemonSetView, replacement: PodReplacement, missing: str, result: dict[str, Any]
) -> None:
    """Raise with all that Kubernetes knows about why the pod does not come up."""
    pod = view.pods.get(replacement.node)
    result["events"] = reader.events_of(pod or view.daemonset)
    result["last_termination"] = last_termination(pod) if pod else None
    events = f"; events: {' | '.join(result['events'])}" if result["events"] else ""
    raise KubeError(
        f"{replacement.node}: no pod of {reader.name} is {replacement.wait_for} after {replacement.wait_timeout} s: "
        f"{missing}{events}",
        url=core(reader.namespace, "pods", pod["metadata"]["name"] if pod else ""),
        seen=missing,
        wanted=replacement.wait_for,
        next_step=f"read `kubectl -n {reader.namespace} {where_to_look(reader.name, pod)}`, fix the cause, then run the same command again",
    )


def where_to_look(daemonset: str, pod: Pod | None) -> str:
    """The command that shows most: a container that never ran has no log."""
    if pod is None:
        return f"describe daemonset {daemonset}"
    name = pod["metadata"]["name"]
    if is_running(pod):
        return f"logs {name}"
    return f"logs --previous {name}" if last_termination(pod) else f"describe pod {name}"


def main() -> None:
    run_module(AnsibleK8SModule(**SPEC), run, DOING)


if __name__ == "__main__":
    main()

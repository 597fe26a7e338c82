#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_daemonset_pod_info
short_description: Read a DaemonSet's pods, one per node, and wait for them
description:
  - Gives one entry for every node that has a pod of the DaemonSet.
  - With O(wait_for) it looks again until every node of O(expected_nodes) has a pod that is as wanted. It does not
    matter how many pods Kubernetes wants or which update strategy there is, so a DaemonSet that matches no node fails
    here instead of passing at once.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - pi_controller.raft_migration.kubernetes
  - pi_controller.raft_migration.kubernetes.daemonset
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  expected_nodes:
    description:
      - Kubernetes names of the nodes that must have a pod. Those without one are in RV(missing).
      - Required, and not empty, with O(wait_for=running) and O(wait_for=ready).
    type: list
    elements: str
    default: []
  wait_for:
    description: What the pod of every expected node must be. Which template a pod runs does not matter here.
    type: str
    choices:
      none: Anything; one look.
      running: All containers run. They need not be Ready.
      ready: The pod is Ready.
      gone: There is none. Without O(expected_nodes) there is none anywhere, those that are stopping included.
    default: none
  wait_timeout:
    description: Seconds to wait for O(wait_for).
    type: int
    default: 120
notes:
  - The user needs C(get) for DaemonSets, and C(list) for ControllerRevisions, pods and events.
seealso:
  - module: pi_controller.raft_migration.k8s_daemonset_pod
"""

EXAMPLES = r"""
- name: Wait for one running pod on every Pi
  pi_controller.raft_migration.k8s_daemonset_pod_info:
    namespace: pi-controller
    daemonset: pi-controller
    expected_nodes: [pi-1, pi-2, pi-3]
    wait_for: running
  delegate_to: localhost
  register: daemonset

- name: Show which pods still run an old template
  ansible.builtin.debug:
    msg: "{{ daemonset.pods | rejectattr('current') | map(attribute='pod') }}"
"""

RETURN = r"""
pods:
  description: The pod that counts on each node, sorted by node. A pod that is stopping counts only where it is alone.
  returned: always
  type: list
  elements: dict
  contains:
    node: {type: str, description: Kubernetes name of the node.}
    pod: {type: str, description: Name of the pod.}
    uid: {type: str, description: UID of the pod.}
    phase: {type: str, description: "V(Pending), V(Running), V(Succeeded), V(Failed) or V(Unknown)."}
    terminating: {type: bool, description: Whether it is being stopped.}
    running: {type: bool, description: Whether all its containers run.}
    ready: {type: bool, description: Whether it is Ready.}
    restarts: {type: int, description: How often its containers have been restarted.}
    host_ip: {type: str, description: Address of the node.}
    revision: {type: str, description: Revision hash of the template it runs.}
    current: {type: bool, description: Whether that is the DaemonSet's present template.}
    images: {type: list, elements: str, description: Images of its containers.}
    waiting_reason: {type: str, description: Why a container waits or the pod is not scheduled; else null.}
missing:
  description: Nodes of O(expected_nodes) without a pod.
  returned: always
  type: list
  elements: str
revision:
  description: Revision hash of the DaemonSet's present template; null while the controller has not seen it.
  returned: always
  type: str
desired:
  description: How many pods Kubernetes wants.
  returned: always
  type: int
elapsed:
  description: Seconds spent looking.
  returned: always
  type: float
failure:
  description: What was seen and what was wanted.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import run_module
from ..module_utils._core.waiting import wait_until
from ..module_utils._kube.api import KubeError, apps, connect
from ..module_utils._kube.arguments import DAEMONSET
from ..module_utils._kube.daemonset import DaemonSetReader, DaemonSetView, unmet
from ..module_utils._kube.pods import describe

SPEC: dict[str, Any] = {
    "argument_spec": {
        **DAEMONSET,
        "expected_nodes": {"type": "list", "elements": "str", "default": []},
        "wait_for": {"type": "str", "choices": ["none", "running", "ready", "gone"], "default": "none"},
        "wait_timeout": {"type": "int", "default": 120},
    },
    "supports_check_mode": True,
}
DOING = "reading the pods"


def result_of(view: DaemonSetView, expected_nodes: list[str]) -> dict[str, Any]:
    current = view.revision if view.settled else None
    return {
        "pods": [describe(pod, current) for _node, pod in sorted(view.pods.items())],
        "missing": sorted(set(expected_nodes) - set(view.pods)),
        "revision": current,
        "desired": int(view.daemonset.get("status", {}).get("desiredNumberScheduled", 0)),
    }


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    params = module.params
    nodes, wait_for = params["expected_nodes"], params["wait_for"]
    if wait_for not in ("none", "gone") and not nodes:
        raise MigrationError(
            "expected_nodes is empty, so there is nothing to wait for",
            wanted=wait_for,
            next_step="name the nodes that must have a pod, or leave out `wait_for`",
        )
    reader = DaemonSetReader(connect(module), params["namespace"], params["daemonset"])
    waited = wait_until(reader.look, lambda view: not unmet(view, nodes, wait_for), params["wait_timeout"])
    result.update(result_of(waited.value, nodes), elapsed=round(waited.elapsed, 3))
    if not waited.met:
        reasons = unmet(waited.value, nodes, wait_for)
        events = reader.events_of(waited.value.daemonset) if result["missing"] else []
        raise KubeError(
            f"after {waited.elapsed:.0f} s not every pod of {params['daemonset']} is {wait_for}: "
            + "; ".join(reasons + events),
            url=apps(params["namespace"], "daemonsets", params["daemonset"]),
            seen=reasons,
            wanted={"nodes": nodes, "wait_for": wait_for},
            next_step="fix what the named pods wait for (`kubectl describe pod`), then run the same command again",
        )


def main() -> None:
    run_module(AnsibleK8SModule(**SPEC), run, DOING)


if __name__ == "__main__":
    main()

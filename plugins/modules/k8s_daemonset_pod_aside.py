#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_daemonset_pod_aside
short_description: Take a DaemonSet's pod on one node out of its Service, before it is replaced
description:
  - Sets labels on the pod, by which the Service does not select it any more. The pod runs on, and so do its connections.
  - A pod that runs the present template already stays in the Service. It is the successor that an earlier run has left.
  - Where there is no pod on the node, as between a pod and its successor, there is nothing to change.
  - With O(others) it waits first until the Service has the pods of the other nodes. Where that fails, nothing of this pod has changed.
    One of them that carries O(labels), as an earlier run has left it, gets those of the DaemonSet's template back.
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
  node:
    description: Kubernetes name of the node.
    type: str
    required: true
  others:
    description: Kubernetes names of the nodes whose pods have to be Ready before this one leaves the Service, whichever template they run.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait for the pods of O(others).
    type: int
    default: 120
  labels:
    description: The labels with the values that a pod has which the Service does not select.
    type: dict
    required: true
notes:
  - Which proxies have followed says M(pi_controller.raft_migration.kube_proxy_info).
  - The user needs C(get) for DaemonSets, C(list) for ControllerRevisions and pods, and C(get) and C(update) for pods.
seealso:
  - module: pi_controller.raft_migration.k8s_daemonset_pod
"""

EXAMPLES = r"""
- name: Route the Service past the pod on pi-2
  pi_controller.raft_migration.k8s_daemonset_pod_aside:
    namespace: pi-controller
    daemonset: pi-controller
    node: pi-2
    others: [pi-1, pi-3]
    labels:
      raft-migration/serving: "false"
  delegate_to: localhost
"""

RETURN = r"""
pod:
  description: Name of the pod on this node; null where there is none.
  returned: success
  type: str
current:
  description: Whether it runs the present template.
  returned: success
  type: bool
ready:
  description: Whether it is Ready.
  returned: success
  type: bool
failure:
  description: What was seen and what was wanted.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.modules import run_module
from ..module_utils._kube.api import KubeApi, connect
from ..module_utils._kube.arguments import DAEMONSET
from ..module_utils._kube.daemonset import DaemonSetReader, DaemonSetView, await_ready
from ..module_utils._kube.objects import ObjectEditor, content
from ..module_utils._kube.pods import describe

SPEC: dict[str, Any] = {
    "argument_spec": {
        **DAEMONSET,
        "node": {"type": "str", "required": True},
        "others": {"type": "list", "elements": "str", "default": []},
        "wait_timeout": {"type": "int", "default": 120},
        "labels": {"type": "dict", "required": True},
    },
    "supports_check_mode": True,
}
DOING = "taking the pod out of the Service"


def give_back(api: KubeApi, view: DaemonSetView, others: list[str], labels: dict[str, Any], dry_run: bool) -> bool:
    """Give pods of these nodes that carry the labels those of the template; whether there were any."""
    changed = False
    for pod in (view.pods[node] for node in others if node in view.pods):
        own = pod["metadata"]
        if labels.items() <= own.get("labels", {}).items():
            template = view.daemonset["spec"]["template"]["metadata"]["labels"]
            again = {name: template[name] for name in labels if name in template}
            named = {"namespace": own["namespace"], "name": own["name"], "labels": again}
            before, after = ObjectEditor(api, {"kind": "Pod", "metadata": named}, dry_run=dry_run).put(create=False)
            changed = changed or content(before) != content(after)
    return changed


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    api = connect(module)
    reader = DaemonSetReader(api, module.params["namespace"], module.params["daemonset"])
    view = reader.settled()
    pod = view.pods.get(module.params["node"])
    if pod is None:
        result.update(pod=None, current=False, ready=False)
        return
    found = describe(pod, view.revision)
    result.update({key: found[key] for key in ("pod", "current", "ready")})
    if found["current"]:
        return
    others = module.params["others"]
    result["changed"] = give_back(api, view, others, module.params["labels"], module.check_mode)
    if others and not module.check_mode:
        stays = f"{module.params['node']}: its pod stays in the Service"
        await_ready(reader, others, module.params["wait_timeout"], stays)
    named = {"namespace": reader.namespace, "name": found["pod"], "labels": module.params["labels"]}
    editor = ObjectEditor(api, {"kind": "Pod", "metadata": named}, dry_run=module.check_mode)
    before, after = (content(each) for each in editor.put(create=False))
    result["changed"] = result["changed"] or before != after
    if module._diff:
        header = f"Pod {reader.namespace} {found['pod']}"
        result["diff"] = {"before_header": header, "after_header": header, "before": before, "after": after}


def main() -> None:
    run_module(AnsibleK8SModule(**SPEC), run, DOING)


if __name__ == "__main__":
    main()

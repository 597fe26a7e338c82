#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_kubernetes
short_description: Read all that pre-flight wants to know of Kubernetes
description:
  - Reads the server's version, the nodes with what is free on them, and what there is already under the names that the
    migration is going to use.
  - Judges nothing. What is found goes into P(pi_controller.raft_migration.preflight_findings#filter).
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - pi_controller.raft_migration.kubernetes
  - pi_controller.raft_migration.kubernetes.daemonset
  - pi_controller.raft_migration.kubernetes.service
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
notes:
  - The user needs C(get) for namespaces, Services and DaemonSets, and C(list) for nodes and for the pods of all
    namespaces.
"""

EXAMPLES = r"""
- name: Look at Kubernetes
  pi_controller.raft_migration.preflight_kubernetes:
    namespace: pi-controller
    daemonset: pi-controller
    service: pi-controller
  delegate_to: localhost
  register: kubernetes
"""

RETURN = r"""
version:
  description: Version of the API server.
  returned: success
  type: str
  sample: v1.35.2+k3s1
nodes:
  description: Every node, with what can be given to pods and what they have asked for (CPU in cores, memory in bytes).
  returned: success
  type: list
  elements: dict
  sample:
    - name: pi-1
      ready: true
      why_not_ready: KubeletReady kubelet is posting ready status
      pressure: []
      hostname: pi-1
      addresses: [10.77.0.11]
      allocatable: {cpu: 4.0, memory: 3980000000.0}
      requested: {cpu: 0.3, memory: 146800640.0}
      images: ["docker.io/library/pi-controller:1.4.0"]
      kubelet: v1.35.2+k3s1
daemonset:
  description: Who manages the DaemonSet of that name and what it runs; null where there is none.
  returned: success
  type: dict
service:
  description: Type and selector of the Service of that name; null where there is none.
  returned: success
  type: dict
namespace:
  description: Phase of the namespace and the pod security level it enforces; null where there is none.
  returned: success
  type: dict
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.modules import run_module
from ..module_utils._kube.api import apps, connect, core
from ..module_utils._kube.arguments import DAEMONSET, SERVICE
from ..module_utils._kube.facts import daemonset_facts, namespace_facts, node_facts, service_facts


def look(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    api, params = connect(module), module.params
    namespace, daemonset, service = params["namespace"], params["daemonset"], params["service"]
    version = api.read("/version") or {}
    pods = api.items("/api/v1/pods")
    result |= {
        "version": version.get("gitVersion", ""),
        "nodes": [node_facts(node, pods) for node in api.items("/api/v1/nodes")],
        "daemonset": daemonset_facts(api.read(apps(namespace, "daemonsets", daemonset))),
        "service": service_facts(api.read(core(namespace, "services", service))),
        "namespace": namespace_facts(api.read(core("", "", namespace))),
    }


def main() -> None:
    module = AnsibleK8SModule(
        argument_spec={
            **DAEMONSET,
            **SERVICE,
        },
        supports_check_mode=True,
    )
    run_module(module, look, doing="asking Kubernetes")


if __name__ == "__main__":
    main()

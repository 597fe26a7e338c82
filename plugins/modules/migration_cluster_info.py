#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_cluster_info
short_description: Read the state of the migration from Kubernetes
description:
  - Reads the Service and its targets (from EndpointSlices), the DaemonSet's pods, the lock of the migration, and the versions of the API
    server and the nodes.
  - Nothing that cannot be read makes it fail; it is named in RV(faults) instead, so that the rest can still be seen.
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
options:
  lock_namespace:
    description: Namespace of the Lease that keeps a second run out.
    type: str
    default: default
  lock_name:
    description: Name of that Lease. Without it no owner is looked for.
    type: str
  assemble:
    description:
      - What the Pis have reported, to be put together with what Kubernetes reports. Done by an action on the control node, also where
        Kubernetes cannot be asked.
    type: dict
    suboptions:
      hosts:
        description: The result of M(pi_controller.raft_migration.migration_host_info) by host, each with C(address) beside it.
        type: dict
        required: true
      config:
        description: The migration's whole configuration.
        type: dict
        required: true
notes:
  - The user needs C(get) for Services, DaemonSets and Leases, and C(list) for EndpointSlices, pods and nodes.
seealso:
  - module: pi_controller.raft_migration.migration_host_info
"""

EXAMPLES = r"""
- name: Look at the cluster
  pi_controller.raft_migration.migration_cluster_info:
    namespace: pi-controller
    service: pi-controller
    daemonset: pi-controller
  delegate_to: localhost
  run_once: true
  register: cluster
"""

RETURN = r"""
service:
  description: What decides the targets of the Service, and the targets, by the Service's own port names.
  returned: always
  type: dict
  sample:
    mode: endpoints
    cluster_ip: 10.43.7.9
    selector: null
    ports: {rest: 8080, grpc: 9090}
    endpoints: [{ip: 10.77.0.11, ports: {rest: 8080, grpc: 9090}}]
pods:
  description: The DaemonSet's pods, as M(pi_controller.raft_migration.k8s_daemonset_pod_info) gives them.
  returned: always
  type: list
  elements: dict
lock:
  description: Who holds the lock of the migration; null where no run does, and where it could not be read.
  returned: always
  type: dict
  sample:
    name: pi-controller-raft-migration
    holder: anna@laptop
    acquired: "2026-01-31T10:00:00.000000Z"
    renewed: "2026-01-31T10:00:20.000000Z"
    duration_seconds: 60
lock_read:
  description: Whether the lock was read. Where not, a run may hold it.
  returned: always
  type: bool
versions:
  description: Versions of the API server and of each node.
  returned: always
  type: dict
  sample: {"kubernetes": "v1.35.2+k3s1", "nodes": {"pi-1": {"kubelet": "v1.35.2+k3s1"}}}
faults:
  description: What could not be read, and why.
  returned: always
  type: list
  elements: str
status:
  description:
    - The status of the migration, as the playbook C(pi_controller.raft_migration.status) shows it, and in C(table) the same as lines
      for a terminal.
  returned: with O(assemble)
  type: dict
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from typing import Any, Callable

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import run_module
from ..module_utils._kube.api import KubeApi, KubeError, apps, connect, core, slices_path
from ..module_utils._kube.arguments import DAEMONSET, SERVICE
from ..module_utils._kube.endpoints import SERVICE_LABEL, of_slices, summary
from ..module_utils._kube.pods import describe
from ..module_utils._kube.service import mode, ports_of

SPEC: dict[str, Any] = {
    "argument_spec": {
        **DAEMONSET,
        **SERVICE,
        "lock_namespace": {"type": "str", "default": "default"},
        "lock_name": {"type": "str"},
        # Of the action on the control node, which does not pass it on.
        "assemble": {
            "type": "dict",
            "options": {"hosts": {"type": "dict", "required": True}, "config": {"type": "dict", "required": True}},
        },
    },
    "supports_check_mode": True,
}
DOING = "asking Kubernetes"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}"


class ClusterInfo:
    """Reads one thing after the other; an API that does not answer at all is asked once."""

    def __init__(self, api: KubeApi | None, params: dict[str, Any]) -> None:
        self._api = api
        self.namespace, self.service_name, self.daemonset = params["namespace"], params["service"], params["daemonset"]
        self.lease = (params["lock_namespace"], params["lock_name"])
        self.faults: list[str] = []
        self._silent = api is None

    @property
    def api(self) -> KubeApi:
        if self._api is None:
            raise AssertionError("nothing is asked where there is no connection")
        return self._api

    def attempt(self, read: Callable[[], Any], otherwise: Any) -> Any:
        if self._silent:
            return otherwise
        try:
            return read()
        except KubeError as error:
            self.faults.append(str(error))
            self._silent = error.status is None
            return otherwise

    def service(self) -> dict[str, Any]:
        service = self.api.read(core(self.namespace, "services", self.service_name))
        label = f"{SERVICE_LABEL}={self.service_name}"
        targets = of_slices(self.api.items(slices_path(self.namespace), labels=label))
        spec = (service or {}).get("spec") or {}
        return {
            "mode": mode(service),
            "cluster_ip": spec.get("clusterIP"),
            "selector": spec.get("selector"),
            "ports": ports_of(service),
            "endpoints": summary(targets),
        }

    def pods(self) -> list[dict[str, Any]]:
        daemonset = self.api.read(apps(self.namespace, "daemonsets", self.daemonset))
        if daemonset is None:
            return []
        owned = [
            pod
            for pod in self.api.items(core(self.namespace, "pods"))
            if any(
                owner["uid"] == daemonset["metadata"]["uid"] for owner in pod["metadata"].get("ownerReferences") or []
            )
        ]
        described = [describe(pod, None) for pod in owned]
        return sorted(described, key=lambda pod: (pod["node"] or "", pod["pod"]))

    def lock(self) -> dict[str, Any]:
        lease = self.api.read(LEASE.format(*self.lease)) if self.lease[1] else None
        spec = (lease or {}).get("spec") or {}
        if not spec.get("holderIdentity"):
            return {"lock": None, "lock_read": True}
        lock = {
            "name": self.lease[1],
            "holder": spec["holderIdentity"],
            "acquired": spec.get("acquireTime"),
            "renewed": spec.get("renewTime"),
            "duration_seconds": spec.get("leaseDurationSeconds"),
        }
        return {"lock": lock, "lock_read": True}

    def versions(self) -> dict[str, Any]:
        nodes = self.api.items("/api/v1/nodes")
        return {
            "kubernetes": (self.api.read("/version") or {}).get("gitVersion"),
            "nodes": {
                node["metadata"]["name"]: {
                    "kubelet": info.get("kubeletVersion"),
                    "runtime": info.get("containerRuntimeVersion"),
                }
                for node in nodes
                for info in [(node.get("status") or {}).get("nodeInfo") or {}]
            },
        }

    def result(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"mode": "unknown", "cluster_ip": None, "selector": None, "ports": {}, "endpoints": []}
        return {
            "service": self.attempt(self.service, empty),
            "pods": self.attempt(self.pods, []),
            **self.attempt(self.lock, {"lock": None, "lock_read": False}),
            "versions": self.attempt(self.versions, {"kubernetes": None, "nodes": {}}),
            "faults": self.faults,
        }


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    try:
        result.update(ClusterInfo(connect(module), module.params).result())
    except MigrationError as error:
        # Without a connection there is nothing to see; the Pis can still tell most of it.
        silent = ClusterInfo(None, module.params)
        silent.faults.append(str(error))
        result.update(silent.result())


def main() -> None:
    run_module(AnsibleK8SModule(**SPEC), run, DOING)


if __name__ == "__main__":
    main()

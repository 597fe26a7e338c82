#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_kubernetes
short_description: Read everything that pre-flight needs to know of Kubernetes
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
options:
  pod:
    description:
      - The DaemonSet that is going to be made. A pod of its template is tried with a dry run of the API server, which
        makes all of its checks (pod security, policies, quotas) and nothing else.
      - It is tried in O(namespace), or in O(try_in) where that is not there yet.
    type: dict
  try_in:
    description: A namespace that is there, for O(pod).
    type: str
    default: default
notes:
  - The user needs C(get) for namespaces, Services and DaemonSets, C(list) for nodes and for the pods, Services,
    EndpointSlices and Ingresses of all namespaces, and C(create) for pods where O(pod) is tried. With C(get) for Addons of
    K3s in C(kube-system) the file of a manifest is named, and without it only its Addon.
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
  description: Type, selector and traffic policies of the Service of that name; null where there is none.
  returned: success
  type: dict
  sample:
    namespace: pi-controller
    name: pi-controller
    type: ClusterIP
    selector: {}
    policies: {externalTrafficPolicy: Cluster, internalTrafficPolicy: Cluster}
namespace:
  description: Phase of the namespace and the pod security level it enforces; null where there is none.
  returned: success
  type: dict
host_ports:
  description: TCP hostPorts of all pods but those of O(daemonset), and the Service they are for, where ServiceLB runs them.
  returned: success
  type: list
  elements: dict
  sample:
    - {node: pi-1, port: 8080, pod: kube-system/svclb-web-1a2b, owner: DaemonSet svclb-web, service: web/web}
service_ports:
  description: Ports of the nodes that kube-proxy takes for a Service, by its node port, its external or load balancer addresses.
  returned: success
  type: list
  elements: dict
  sample: [{service: web/web, port: 30080, by: nodePort, addresses: null}]
other_routes:
  description: Where Services without pods point to, all but O(service), and the Ingresses that use them.
  returned: success
  type: list
  elements: dict
  sample: [{service: web/pi, address: 10.77.0.11, port: 8080, ingresses: [web/pi]}]
targets:
  description: Where O(service) points to now, where that is not for its pods to say.
  returned: success
  type: list
  elements: dict
  sample: [{address: 10.77.0.11, port: 8080}]
applied:
  description:
    - Objects of the migration that a controller applies again, its owner, and the Addon where that is one of K3s.
    - C(manifest) is the Addon's file as K3s has recorded it; null where it cannot be read.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: Service
      namespace: pi-controller
      name: pi-controller
      owner: Addon kube-system/pi-controller
      addon: kube-system/pi-controller
      manifest: /var/lib/rancher/k3s/server/manifests/pi-controller.yaml
tried:
  description:
    - Where O(pod) was tried, and in which words it was refused; null where it was not tried.
    - C(limits) are those that the cluster has given its containers and that O(pod) itself has not, as a LimitRange does.
  returned: success
  type: dict
  sample:
    namespace: pi-controller
    in_its_own: true
    refused: null
    limits: [{container: pi-controller, resource: memory, limit: 128Mi}]
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.modules import run_module
from ..module_utils._kube.api import KubeApi, KubeError, apps, connect, core
from ..module_utils._kube.arguments import DAEMONSET, SERVICE
from ..module_utils._kube.claims import addons_of, applied_by, host_ports, other_routes, service_ports
from ..module_utils._kube.endpoints import OF_PODS, OWN, SERVICE_LABEL, managed_by, of_slices
from ..module_utils._kube.facts import daemonset_facts, limits_added, namespace_facts, node_facts, service_facts

SPEC: dict[str, Any] = {
    "argument_spec": {
        **DAEMONSET,
        **SERVICE,
        "pod": {"type": "dict"},
        "try_in": {"type": "str", "default": "default"},
    },
    "supports_check_mode": True,
}
DOING = "asking Kubernetes"
ALL_SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
INGRESSES = "/apis/networking.k8s.io/v1/ingresses"
ADDONS = "/apis/k3s.cattle.io/v1"


def try_pod(
    api: KubeApi, daemonset: dict[str, Any] | None, namespace: str | None, otherwise: str
) -> dict[str, Any] | None:
    """A dry run of a pod of the template: a refusal, or the limits that the cluster gives it. Whatever else goes wrong raises."""
    if not daemonset:
        return None
    template, where = daemonset["spec"]["template"], namespace or otherwise
    metadata = {
        **(template.get("metadata") or {}),
        "generateName": f"{daemonset['metadata']['name']}-",
        "namespace": where,
    }
    tried = {"namespace": where, "in_its_own": namespace is not None, "refused": None, "limits": []}
    try:
        accepted = api.create(
            core(where, "pods"),
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]},
            dry_run=True,
        )
    except KubeError as error:
        if error.status is None or not 400 <= error.status < 500:
            raise
        return {**tried, "refused": error.api_message}
    return {**tried, "limits": limits_added(template["spec"], accepted.get("spec") or {})}


def _of(item: dict[str, Any]) -> str:
    """The Service of a slice."""
    metadata = item["metadata"]
    return f"{metadata.get('namespace')}/{(metadata.get('labels') or {}).get(SERVICE_LABEL)}"


def read_manifests(api: KubeApi, addons: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
    """The file of each Addon as K3s has recorded it; None where it may not be read or is not there."""
    found: dict[tuple[str, str], str | None] = {}
    for namespace, name in addons:
        try:
            addon = api.read(f"{ADDONS}/namespaces/{quote(namespace, safe='')}/addons/{quote(name, safe='')}") or {}
        except KubeError as error:
            if error.status is None:
                raise
            addon = {}
        found[(namespace, name)] = (addon.get("spec") or {}).get("source") or None
    return found


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    api, params = connect(module), module.params
    namespace, daemonset, service = params["namespace"], params["daemonset"], params["service"]
    version = api.read("/version") or {}
    pods, services, slices = api.items("/api/v1/pods"), api.items("/api/v1/services"), api.items(ALL_SLICES)
    found = {
        "namespace": api.read(core("", "", namespace)),
        "service": api.read(core(namespace, "services", service)),
        "daemonset": api.read(apps(namespace, "daemonsets", daemonset)),
    }
    own = f"{namespace}/{service}"
    owners_slices = [item for item in slices if _of(item) == own and managed_by(item) not in (OF_PODS, OWN)]
    owned = [
        ("Service", found["service"]),
        ("DaemonSet", found["daemonset"]),
        *(("EndpointSlice", item) for item in owners_slices),
    ]
    result |= {
        "version": version.get("gitVersion", ""),
        "nodes": [node_facts(node, pods) for node in api.items("/api/v1/nodes")],
        "daemonset": daemonset_facts(found["daemonset"]),
        "service": service_facts(found["service"]),
        "namespace": namespace_facts(found["namespace"]),
        "host_ports": host_ports(pods, namespace, daemonset),
        "service_ports": service_ports(services),
        "other_routes": other_routes(services, slices, api.items(INGRESSES), namespace, service),
        "targets": sorted(
            (
                {"address": ip, "port": port}
                for ip, port in {(target.ip, target.port) for target in of_slices(owners_slices)}
            ),
            key=lambda target: (target["address"], target["port"]),
        ),
        "applied": applied_by(owned, read_manifests(api, addons_of(owned))),
        "tried": try_pod(api, params["pod"], namespace if found["namespace"] else None, params["try_in"]),
    }


def main() -> None:
    run_module(AnsibleK8SModule(**SPEC), run, DOING)


if __name__ == "__main__":
    main()

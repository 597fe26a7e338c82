#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_port_swap
short_description: Point a Service to addresses or to pods, without a moment in which it has no target
description:
  - Points a Service to a list of addresses (O(point_to=endpoints)), to the pods that a selector finds (O(point_to=pods)),
    or back to what its owner had before (O(point_to=owner)), and returns when Kubernetes has taken it up.
  - The Service is made where it is missing. Its cluster address, type, node ports, port names and all else it has are kept.
  - The Service's ports are matched by number, never by name. The numbers are those that its targets have now, then its
    target port, then its own port. Their target ports become the container ports' names, so that each pod is reached at
    its own number while ports change pod by pod.
  - To B(addresses). EndpointSlices of this module (C(endpointslice.kubernetes.io/managed-by=pi-controller-migration))
    list them. Then the selector goes, and the previous slices are taken away.
  - To B(pods). The selector is set only when the pods it finds are Ready and as many as O(expected). Slices of this module
    list the pods until Kubernetes has written its own.
  - B(What the owner has made is kept). EndpointSlices made by hand stay as they are, but
    C(kubernetes.io/service-name) becomes C(raft-migration.pi-controller/parked-for), so proxies do not use them. An
    Endpoints object made by hand gets the label C(endpointslice.kubernetes.io/skip-mirror); its content, the target
    ports and the previous selector are saved in the Service's annotation C(raft-migration.pi-controller/owner).
  - It ends only when the EndpointSlices of the Service list exactly the wanted targets.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - pi_controller.raft_migration.kubernetes
  - pi_controller.raft_migration.kubernetes.service
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode nothing is waited for. Pods that are not Ready are a warning then.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  point_to:
    description: Where the Service has to point.
    type: str
    required: true
    choices:
      endpoints: To the addresses in O(endpoints).
      pods: To the Ready pods that O(selector) finds.
      owner:
        - To the Endpoints object, the EndpointSlices or the selector it had before this module changed it.
        - Where nothing of that kind was there, the Service keeps the targets that it has.
  ports:
    description:
      - The daemons' ports, by the names of the pods' container ports. The Service's own port names may differ.
      - A Service that is made gets all of them. One that is there gets no new port.
      - A port of the Service that is not among them is kept as it is, and stays reachable on the same addresses.
    type: dict
    required: true
  endpoints:
    description: The addresses to point to. Required with O(point_to=endpoints).
    type: list
    elements: dict
    suboptions:
      ip:
        description: The address; not a loopback address, which Kubernetes refuses.
        type: str
        required: true
      node_name:
        description:
          - The node that has this address. A Service with C(externalTrafficPolicy=Local) needs it.
          - By default the node that the address has in the present EndpointSlices, if any.
        type: str
      ports:
        description: The numbers by port name, every name of O(ports) among them.
        type: dict
        required: true
  selector:
    description: The labels of the pods to point to. Required with O(point_to=pods).
    type: dict
  expected:
    description: The number of Ready pods that is required, no more and no fewer. Without it at least one.
    type: int
  ready_before:
    description:
      - Pods that have to be Ready before the Service is changed, as those whose addresses it gets back. Where they are not in
        O(wait_timeout), which counts for this wait on its own, nothing has changed.
      - In check mode it is not waited for.
    type: dict
    suboptions:
      daemonset:
        description: The DaemonSet of the pods, in O(namespace).
        type: str
        required: true
      nodes:
        description: Kubernetes names of the pods' nodes.
        type: list
        elements: str
        required: true
  wait_timeout:
    description: Seconds to wait, all together.
    type: int
    default: 60
notes:
  - With O(ready_before) the user needs C(get) for DaemonSets, and C(list) for ControllerRevisions.
  - The user needs C(get), C(create) and C(update) for Services, C(list) for pods, and C(list), C(create), C(update)
    and C(delete) for EndpointSlices.
  - Endpoints are deprecated since Kubernetes 1.33. The module uses them only where the owner has made an Endpoints object
    for the Service. The user needs C(get), C(create) and C(update) for it then.
  - While O(point_to) changes its kind, both the old and the new targets may be used for some tenths of a second. Where
    that must not be, point to the pods' addresses first, which is one update of a slice, and then to the pods.
seealso:
  - module: pi_controller.raft_migration.k8s_daemonset_pod
"""

EXAMPLES = r"""
- name: Point the Service to the daemons under systemd
  pi_controller.raft_migration.k8s_port_swap:
    namespace: pi-controller
    service: pi-controller
    point_to: endpoints
    ports: {rest: 8080, grpc: 9090}
    endpoints:
      - ip: 10.77.0.11
        node_name: pi-1
        ports: {rest: 8080, grpc: 9090}
      - ip: 10.77.0.12
        node_name: pi-2
        ports: {rest: 8080, grpc: 9090}
  delegate_to: localhost

- name: Point it to three pods, whatever their ports are
  pi_controller.raft_migration.k8s_port_swap:
    namespace: pi-controller
    service: pi-controller
    point_to: pods
    selector: {app.kubernetes.io/name: pi-controller}
    expected: 3
    ports: {rest: 8080, grpc: 9090}
    wait_timeout: 20
  delegate_to: localhost

- name: Give it back as its owner had it
  pi_controller.raft_migration.k8s_port_swap:
    namespace: pi-controller
    service: pi-controller
    point_to: owner
    ports: {rest: 8080, grpc: 9090}
  delegate_to: localhost
"""

RETURN = r"""
before:
  description: Where the Service pointed. In RV(before.mode) V(absent) means that there was no Service.
  returned: always
  type: dict
  contains:
    mode: {type: str, description: "V(absent), V(endpoints) or V(pods)."}
    selector: {type: dict, description: "The Service's selector; null without one."}
    ports: {type: dict, description: "The Service's ports by its own names."}
    endpoints: {type: list, elements: dict, description: "Addresses with their ports, as kube-proxy uses them."}
  sample:
    mode: endpoints
    selector:
    ports: {"http": 8080, "grpc": 9090}
    endpoints: [{"ip": "10.77.0.11", "ports": {"http": 8080, "grpc": 9090}}]
after:
  description: Where it points now, in the same form. In check mode where it would point.
  returned: always
  type: dict
cluster_ip:
  description: The Service's cluster address; null in check mode where it would be made.
  returned: always
  type: str
resource_version:
  description: The Service's resource version.
  returned: always
  type: str
removed_slices:
  description: Names of EndpointSlices of pods that were removed, since no controller looks after them without a selector.
  returned: always
  type: list
  elements: str
parked_slices:
  description: Names of the owner's EndpointSlices that were taken away from the proxies; O(point_to=owner) gives them back.
  returned: always
  type: list
  elements: str
elapsed:
  description: Seconds it took.
  returned: always
  type: float
failure:
  description: What was seen and what was wanted.
  returned: on failure
  type: dict
"""

import time
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import run_module
from ..module_utils._kube.api import connect
from ..module_utils._kube.arguments import SERVICE
from ..module_utils._kube.daemonset import DaemonSetReader, await_ready
from ..module_utils._kube.route import Route
from ..module_utils._kube.service import ENDPOINTS, OWNER, PODS, option_errors
from ..module_utils._kube.swap import Swap

ENDPOINT: dict[str, Any] = {
    "ip": {"type": "str", "required": True},
    "node_name": {"type": "str"},
    "ports": {"type": "dict", "required": True},
}
SPEC: dict[str, Any] = {
    "argument_spec": {
        **SERVICE,
        "point_to": {"type": "str", "required": True, "choices": ["endpoints", "pods", "owner"]},
        "ports": {"type": "dict", "required": True},
        "endpoints": {"type": "list", "elements": "dict", "options": ENDPOINT},
        "selector": {"type": "dict"},
        "expected": {"type": "int"},
        "ready_before": {
            "type": "dict",
            "options": {
                "daemonset": {"type": "str", "required": True},
                "nodes": {"type": "list", "elements": "str", "required": True},
            },
        },
        "wait_timeout": {"type": "int", "default": 60},
    },
    "required_if": [("point_to", "endpoints", ["endpoints"]), ("point_to", "pods", ["selector"])],
    "supports_check_mode": True,
}
DOING = "switching the Service"


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    params = module.params
    faults = option_errors(params)
    if faults:
        raise MigrationError("; ".join(faults), wanted=params["point_to"])
    api, first = connect(module), params["ready_before"] or {}
    if first.get("nodes") and not module.check_mode:
        reader = DaemonSetReader(api, params["namespace"], first["daemonset"])
        await_ready(reader, first["nodes"], params["wait_timeout"], f"the Service {params['service']} was not changed")
    started = time.monotonic()
    route = Route.from_params(params)
    swap = Swap(api, route, deadline=started + params["wait_timeout"])
    before = swap.look()
    result["before"] = before.summary()
    try:
        if module.check_mode:
            after, swap.changed = route.predict(before)
        else:
            steps = {ENDPOINTS: swap.to_endpoints, PODS: swap.to_pods, OWNER: swap.to_owner}
            after = steps[params["point_to"]]()
    finally:
        # Also where it fails half-way: what has been changed is no secret.
        result.update(
            changed=swap.changed,
            removed_slices=swap.removed,
            parked_slices=swap.parked,
            elapsed=round(time.monotonic() - started, 3),
        )
    for remark in [*route.remarks(after), *route.doubts(after)]:
        module.warn(remark)
    service = after.service or {"metadata": {}, "spec": {}}
    result.update(
        after=after.summary(),
        cluster_ip=service["spec"].get("clusterIP"),
        resource_version=service["metadata"].get("resourceVersion"),
    )
    if module._diff:
        result["diff"] = {"before": result["before"], "after": result["after"]}


def main() -> None:
    run_module(AnsibleK8SModule(**SPEC), run, DOING)


if __name__ == "__main__":
    main()

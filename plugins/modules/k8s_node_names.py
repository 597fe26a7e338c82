#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_node_names
short_description: Find the Kubernetes node of each host
description:
  - A host's node is the one of its own name, else the one that has its address as C(InternalIP). So an inventory whose hosts are
    named by their addresses fits as it is.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - pi_controller.raft_migration.kubernetes
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  addresses:
    description: Address by the name of the host.
    type: dict
    required: true
notes:
  - The user needs C(list) for nodes.
"""

EXAMPLES = r"""
- name: Find the nodes
  pi_controller.raft_migration.k8s_node_names:
    addresses:
      192.168.7.11: 192.168.7.11
      pi-2: 192.168.7.12
  delegate_to: localhost
  become: false
  register: nodes
"""

RETURN = r"""
names:
  description: Name of the node by the name of the host; hosts without a node are left out.
  returned: success
  type: dict
  sample: {"192.168.7.11": pi-1, "pi-2": pi-2}
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.modules import run_module
from ..module_utils._kube.api import connect
from ..module_utils._kube.nodes import node_names

SPEC: dict[str, Any] = {
    "argument_spec": {**AUTH_ARG_SPEC, "addresses": {"type": "dict", "required": True}},
    "supports_check_mode": True,
}
DOING = "asking Kubernetes for its nodes"


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    addresses = {str(host): str(address) for host, address in module.params["addresses"].items()}
    result["names"] = node_names(connect(module).items("/api/v1/nodes"), addresses)


def main() -> None:
    run_module(AnsibleK8SModule(**SPEC), run, DOING)


if __name__ == "__main__":
    main()

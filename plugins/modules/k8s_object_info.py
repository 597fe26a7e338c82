#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_object_info
short_description: Read one object of the migration from Kubernetes
description:
  - Gives the object, or nothing where there is none. That is no failure.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - pi_controller.raft_migration.kubernetes
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  kind:
    description: Kind of the object.
    type: str
    choices: [Namespace, Service, Pod, DaemonSet]
    required: true
  namespace:
    description: Namespace of the object; without a value for a Namespace itself.
    type: str
  name:
    description: Name of the object.
    type: str
    required: true
notes:
  - The user needs C(get) for the object.
seealso:
  - module: pi_controller.raft_migration.k8s_object
"""

EXAMPLES = r"""
- name: Look for the Service
  pi_controller.raft_migration.k8s_object_info:
    kind: Service
    namespace: pi-controller
    name: pi-controller
  delegate_to: localhost
  register: service
"""

RETURN = r"""
resources:
  description: The object in a list; empty where there is none.
  returned: success
  type: list
  elements: dict
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
from ..module_utils._kube.objects import PREFIXES, folder_of

SPEC: dict[str, Any] = {
    "argument_spec": {
        **AUTH_ARG_SPEC,
        "kind": {"type": "str", "choices": list(PREFIXES), "required": True},
        "namespace": {"type": "str"},
        "name": {"type": "str", "required": True},
    },
    "supports_check_mode": True,
}
DOING = "asking Kubernetes"


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    params = module.params
    found = connect(module).read(f"{folder_of(params['kind'], params['namespace'])}/{params['name']}")
    result["resources"] = [found] if found is not None else []


def main() -> None:
    run_module(AnsibleK8SModule(**SPEC), run, DOING)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_object
short_description: Make, change or delete one object of the migration in Kubernetes
description:
  - For the kinds of objects that the migration makes or changes itself.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - pi_controller.raft_migration.kubernetes
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
    details:
      - The API server makes all its checks (C(dryRun=All)) and changes nothing.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  definition:
    description:
      - The object, with C(kind), C(metadata.name) and C(metadata.namespace). Its kind is Namespace, Service, Pod or
        DaemonSet.
      - Labels and annotations are added to those of an object that is there. Every other part of the definition, for
        instance C(spec), takes the place of that part of the object.
    type: dict
    required: true
  state:
    description: What the object is to be.
    type: str
    choices:
      present: There, as in O(definition).
      created: There. One that exists already stays as it is.
      patched: As in O(definition), if it exists. One that is missing is not made.
      absent: Gone, and the objects it owns before it.
    default: present
  create_namespace:
    description:
      - Labels of the namespace of O(definition), which is made first where it is missing. One that exists already stays as it is.
      - In check mode the API server predicts nothing in a namespace that does not exist, so O(definition) is what there would be.
    type: dict
  wait_timeout:
    description: Seconds to wait until it is gone, with O(state=absent).
    type: int
    default: 90
notes:
  - The user needs C(get) for the object, and C(create), C(update) or C(delete) for what O(state) does with it.
seealso:
  - module: pi_controller.raft_migration.k8s_object_info
"""

EXAMPLES = r"""
- name: Make the namespace, with the pod security level that its pods need
  pi_controller.raft_migration.k8s_object:
    state: created
    definition:
      apiVersion: v1
      kind: Namespace
      metadata:
        name: pi-controller
        labels:
          pod-security.kubernetes.io/enforce: privileged
  delegate_to: localhost
"""

RETURN = r"""
resources:
  description: The object as it is now, in a list; empty where there is none. In check mode as it would be.
  returned: success
  type: list
  elements: dict
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from typing import Any, Optional

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import run_module
from ..module_utils._kube.api import KubeApi, connect
from ..module_utils._kube.objects import PREFIXES, ObjectEditor, content, shown

SPEC: dict[str, Any] = {
    "argument_spec": {
        **AUTH_ARG_SPEC,
        "definition": {"type": "dict", "required": True},
        "state": {"type": "str", "choices": ["present", "created", "patched", "absent"], "default": "present"},
        "create_namespace": {"type": "dict"},
        "wait_timeout": {"type": "int", "default": 90},
    },
    "supports_check_mode": True,
}
DOING = "asking Kubernetes"


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    definition, state = module.params["definition"], module.params["state"]
    if definition.get("kind") not in PREFIXES or not (definition.get("metadata") or {}).get("name"):
        raise MigrationError(
            f"definition needs metadata.name and a kind, one of {', '.join(PREFIXES)}; it has {definition.get('kind')}"
        )
    api = connect(module)
    labels = module.params["create_namespace"]
    made = labels is not None and make_namespace(
        api, definition["metadata"].get("namespace"), labels, module.check_mode
    )
    if made and module.check_mode:
        result.update(changed=True, resources=[shown(definition)])
        set_diff(module, result, definition, {}, content(definition))
        return
    editor = ObjectEditor(api, definition, dry_run=module.check_mode)
    if state == "absent":
        before, after = editor.delete(module.params["wait_timeout"]), None
    else:
        before, after = editor.put(create=state != "patched", change=state != "created")
    seen, wanted = content(before), content(after)
    result["changed"] = made or seen != wanted or (before is None) != (after is None)
    result["resources"] = [shown(after)] if after is not None else []
    set_diff(module, result, definition, seen, wanted)


def make_namespace(api: KubeApi, name: Optional[str], labels: dict[str, str], dry_run: bool) -> bool:
    """Whether it was missing. One that is there stays as it is."""
    if not name:
        raise MigrationError("create_namespace is for an object in a namespace; definition has no metadata.namespace")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    before, _after = ObjectEditor(api, namespace, dry_run=dry_run).put(create=True, change=False)
    return before is None


def set_diff(
    module: AnsibleK8SModule, result: dict[str, Any], definition: dict[str, Any], before: Any, after: Any
) -> None:
    if module._diff:
        metadata = definition["metadata"]
        named = " ".join(filter(None, (definition["kind"], metadata.get("namespace"), metadata["name"])))
        result["diff"] = {"before_header": named, "after_header": named, "before": shown(before), "after": shown(after)}


def main() -> None:
    run_module(AnsibleK8SModule(**SPEC), run, DOING)


if __name__ == "__main__":
    main()

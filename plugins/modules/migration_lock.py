#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_lock
short_description: Keep a second operator out while a migration or rollback runs
description:
  - Holds a Kubernetes C(Lease) in the name of the C(ansible-playbook) run that this module works for.
  - A lease that another run holds is refused with its owner's name, since when it is held and when it runs out.
  - A lease is free when it does not exist, when its owner's process on this very machine is dead, or when it has run out
    and nobody renews it while this module looks on for a quarter of O(duration).
  - It does not renew by itself. M(pi_controller.raft_migration.quorum_watch) does, as long as the run lives, and gives
    it back when a run ends without having done so.
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
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - Taking a lease that this run holds renews it, and is no change.
options:
  state:
    description: What becomes of the lease.
    type: str
    required: true
    choices:
      held: This run holds it, or the module fails.
      released: This run does not hold it. Where the API server does not answer, that is a warning, since it runs out.
      checked: Only look.
  namespace:
    description: Namespace of the lease. It must exist.
    type: str
    default: default
  name:
    description: Name of the lease.
    type: str
    required: true
  duration:
    description: Seconds after the last renewal until it runs out. It must outlast a restart of the API server.
    type: int
    default: 60
  take_over:
    description: Take it whoever holds it. The other run is stopped at its next task when its watch finds out.
    type: bool
    default: false
  parent_pid:
    description: The process that stands for the run, where that is not an C(ansible-playbook) above this module.
    type: int
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: pi_controller.raft_migration.quorum_watch
"""

EXAMPLES = r"""
- name: Nobody else migrates this cluster now
  pi_controller.raft_migration.migration_lock:
    state: held
    name: pi-controller-raft-migration
  delegate_to: localhost
  run_once: true

- name: Who migrates it?
  pi_controller.raft_migration.migration_lock:
    state: checked
    name: pi-controller-raft-migration
  delegate_to: localhost
  run_once: true
  register: migration
"""

RETURN = r"""
lock:
  description: The lease as it was found.
  returned: success
  type: dict
  contains:
    holder: {type: str, description: "user@host:pid of the run that holds it, or null."}
    since: {type: str, description: When it was taken.}
    renewed: {type: str, description: When it was renewed last.}
    expires: {type: str, description: When it runs out.}
mine:
  description: Whether this run holds the lease now.
  returned: success
  type: bool
failure:
  description: What was seen and what was wanted.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.failures import RaftError, fail
from ..module_utils._kube.api import KubeError, connect
from ..module_utils._kube.lease import MigrationLock, owner_of

FREE = {"holder": None, "since": None, "renewed": None, "expires": None}


def define_module() -> AnsibleK8SModule:
    return AnsibleK8SModule(
        argument_spec={
            **AUTH_ARG_SPEC,
            "state": {"type": "str", "required": True, "choices": ["held", "released", "checked"]},
            "namespace": {"type": "str", "default": "default"},
            "name": {"type": "str", "required": True},
            "duration": {"type": "int", "default": 60},
            "take_over": {"type": "bool", "default": False},
            "parent_pid": {"type": "int"},
        },
        supports_check_mode=True,
    )


def run(module: AnsibleK8SModule) -> dict[str, Any]:
    params = module.params
    owner = owner_of(params["parent_pid"])
    try:
        lock = MigrationLock(connect(module), params["namespace"], params["name"], owner, params["duration"])
        found = lock.look()
        changed = False
        mine = found is not None and found.belongs_to(owner)
        if params["state"] == "held":
            found, changed = lock.take(force=params["take_over"], check_mode=module.check_mode)
            mine = True
        elif params["state"] == "released":
            changed = lock.release(check_mode=module.check_mode)
            mine = False
    except KubeError as error:
        if params["state"] != "released":
            raise
        module.warn(f"the migration lock {params['namespace']}/{params['name']} was not given back, it runs out by itself: {error}")
        return {"changed": False, "lock": FREE, "mine": False}
    return {"changed": changed, "lock": found.as_dict() if found else FREE, "mine": mine}


def main() -> None:
    module = define_module()
    try:
        result = run(module)
    except RaftError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_config
short_description: Write the configuration files of a Pi's pod from that of its unit
description:
  - Reads the daemon's configuration file on the Pi and writes it again for each state of the pod, whole, with the ports, addresses
    and folders of that state. The published releases read only a few variables of the environment, so a pod needs a file.
  - The content never leaves the Pi, since it may hold secrets. Each file has mode 0600 from the moment it exists, and
    belongs to O(owner). The folder is root's, with mode 0700; with O(group) it is of that group, and has mode 0710.
  - The file is JSON, or YAML in plain block style with its sections at the margin. Anything else is refused by its line.
version_added: 0.2.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details:
      - Shows the keys that the migration sets, and of variables from the inventory only the names. The rest of the file is not shown.
  idempotent:
    support: full
options:
  src:
    description: The unit's configuration file.
    type: str
    required: true
  dest:
    description:
      - The folder for V(temporary.yaml) and V(standard.yaml). It must not be one that a pod can write to.
    type: str
    required: true
  owner:
    description: Number of the user that the pod runs as, whose the files are. Without it they are root's.
    type: int
  group:
    description: Number of that user's group.
    type: int
  address:
    description: The Pi's own address in the Raft cluster.
    type: str
    required: true
  data_dir:
    description: The data folder as the pod sees it.
    type: str
    required: true
  raft_dir:
    description: The Raft folder, relative to O(data_dir).
    type: str
    default: raft
  database:
    description: The SQLite database, relative to O(data_dir).
    type: str
    default: pi-controller.db
  temporary_ports:
    description: C(rest), C(grpc) and C(raft) beside the running unit.
    type: dict
    required: true
  standard_ports:
    description: C(rest), C(grpc) and C(raft) in the end.
    type: dict
    required: true
  environments:
    description:
      - Variables of the environment beside the running unit and in the end, as JSON text with the keys C(temporary) and C(standard). Those
        that correspond to a key of the file are written into it.
      - A value may be a secret, so the text is neither logged on the Pi nor returned. Of a mapping in its place Ansible would leave out
        each value by itself, C(false) and port numbers too, wherever they occur in the result.
    type: json
  bootstrap:
    description:
      - Whether the pod starts a cluster of its own when it reads V(temporary.yaml) next. Only ever for the first start of one pod, since a
        daemon with Raft data refuses to start so. Write the file again without it as soon as that pod leads.
    type: bool
    default: false
  pods_folder:
    description: The pod's data folder, to be made with mode 0700 where it is missing. Folders above it that are missing are made with mode
      0755, and belong to root. Without it no folder is made.
    type: dict
    suboptions:
      path:
        description: The folder.
        type: path
        required: true
      owner:
        description: Number of the user that it belongs to. Without it that stays as it is.
        type: int
      group:
        description: Number of its group. Without it that stays as it is.
        type: int
"""

EXAMPLES = r"""
- name: Write the configuration of this Pi's pod
  pi_controller.raft_migration.pod_config:
    src: /etc/pi-controller/config.yaml
    dest: /var/lib/pi-controller-pods.config
    owner: 999
    group: 999
    address: 10.77.0.11
    data_dir: /var/lib/pi-controller
    temporary_ports: {rest: 8082, grpc: 9093, raft: 9092}
    standard_ports: {rest: 8080, grpc: 9090, raft: 9091}
    environments: "{{ {'temporary': {'PI_CONTROLLER_WEBSOCKET_PORT': '8084'}, 'standard': {}} | to_json }}"
"""

RETURN = r"""
files:
  description: The files, whether they were written now or before.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/pi-controller-pods.config/temporary.yaml]
failure:
  description: What was seen and what was wanted.
  returned: on failure
  type: dict
"""

import json
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import run_module
from ..module_utils._daemon.pod_files import PodFiles, State, User


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    given = module.params
    variables = environments(given["environments"])
    states = [
        State("temporary", given["temporary_ports"], variables["temporary"], bootstrap=given["bootstrap"]),
        State("standard", given["standard_ports"], variables["standard"], bootstrap=False),
    ]
    folders = {name: given[name] for name in ("data_dir", "raft_dir", "database")}
    files = PodFiles(
        Path(given["src"]), Path(given["dest"]), User(given["owner"], given["group"]), given["address"], folders
    )
    changes = files.changes(states)
    result.update(
        changed=bool(changes),
        files=[str(files.path(state)) for state in states],
        diff=[{"before_header": change.header, "after_header": change.header, "before": change.before, "after": change.after}
              for change in changes],
    )  # fmt: skip
    if given["pods_folder"]:
        result["changed"] = make_folder(module, **given["pods_folder"]) or result["changed"]
    if not module.check_mode:
        files.write(changes)


def environments(text: Optional[str]) -> dict[str, dict[str, Any]]:
    """The variables of each state. An error does not show the text."""
    empty: dict[str, dict[str, Any]] = {"temporary": {}, "standard": {}}
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if (
        not isinstance(found, dict)
        or found.keys() - empty
        or not all(isinstance(each, dict) for each in found.values())
    ):
        raise MigrationError(
            "environments is not JSON with the variables of temporary and of standard",
            seen="other text, which may hold secrets and is not shown",
            wanted='{"temporary": {"NAME": "value"}, "standard": {}}',
            next_step="give a mapping with the filter to_json",
        )
    return {**empty, **found}


def make_folder(module: AnsibleModule, path: str, owner: Optional[int], group: Optional[int]) -> bool:
    """Make the folder as it has to be for the pod; whether that changes anything. A new one has its mode from the moment it exists.

    Those above it stay root's: whoever owns them could put another folder in its place, or in that of a file of root's.
    """
    folder = Path(path)
    above = [each for each in reversed(folder.parents) if not each.exists()]
    changed = not folder.exists()
    if changed and module.check_mode:
        return True
    for each in above:
        each.mkdir(mode=0o755)
        # The pod's user has to get through, whatever the umask is.
        each.chmod(0o755)
    if changed:
        folder.mkdir(mode=0o700)
    changed = module.set_mode_if_different(path, 0o700, changed)
    changed = module.set_owner_if_different(path, owner, changed)
    return bool(module.set_group_if_different(path, group, changed))


def define_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec={
            "src": {"type": "str", "required": True},
            "dest": {"type": "str", "required": True},
            "owner": {"type": "int"},
            "group": {"type": "int"},
            "address": {"type": "str", "required": True},
            "data_dir": {"type": "str", "required": True},
            "raft_dir": {"type": "str", "default": "raft"},
            "database": {"type": "str", "default": "pi-controller.db"},
            "temporary_ports": {"type": "dict", "required": True},
            "standard_ports": {"type": "dict", "required": True},
            "environments": {"type": "json", "no_log": True},
            "bootstrap": {"type": "bool", "default": False},
            "pods_folder": {
                "type": "dict",
                "options": {
                    "path": {"type": "path", "required": True},
                    "owner": {"type": "int"},
                    "group": {"type": "int"},
                },
            },
        },
        supports_check_mode=True,
    )


def main() -> None:
    run_module(define_module(), run, doing="writing the pod's configuration")


if __name__ == "__main__":
    main()

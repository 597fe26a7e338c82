#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: private_put
short_description: Write a file that only root can read
description:
  - Does what M(ansible.builtin.copy) does with O(ignore:mode=0600), in one round trip for a file of up to 4 MiB where that needs
    five. Larger files go compressed and in pieces of that size, so their size is no matter of memory.
  - The file appears whole, with the SHA-256 of what was sent, or not at all. No link is followed on the host.
  - Its size and 16 MiB to spare must be free where it goes, or nothing is begun.
version_added: 0.2.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  src:
    description:
      - The file on the control node, as an absolute path.
      - It or O(text) is required.
    type: str
  text:
    description: The content of the file, up to 4 MiB.
    type: str
  kept_at:
    description: A file on the control node, as an absolute path, that gets O(text) as well, with mode 0600 in a folder 0700.
    type: str
  dest:
    description: The file on the host, with mode 0600. Its folder must exist.
    type: str
    required: true
  content:
    description: A piece of the file, compressed and in base64. The action plugin sets it.
    type: str
    default: ""
  length:
    description: Bytes of the file in this piece. The action plugin sets it.
    type: int
    default: 0
  offset:
    description: Where the piece begins. The action plugin sets it.
    type: int
    default: 0
  size:
    description: Bytes of the whole file. The action plugin sets it.
    type: int
    default: 0
  sha256:
    description: SHA-256 of the whole file. The action plugin sets it.
    type: str
    default: ""
seealso:
  - module: pi_controller.raft_migration.private_fetch
  - module: ansible.builtin.copy
"""

EXAMPLES = r"""
- name: Copy what was carried to every Pi
  pi_controller.raft_migration.private_put:
    src: "{{ raft_migration_control_dir }}/cutover/pi-controller.db"
    dest: /var/backups/pi-controller-migration/cutover.pi-controller.db

- name: Write what was taken, here as well
  pi_controller.raft_migration.private_put:
    text: "{{ lookup('ansible.builtin.template', 'manifest.json.j2') }}"
    dest: /var/backups/pi-controller-migration/prepare/manifest.json
    kept_at: "{{ raft_migration_control_dir }}/{{ inventory_hostname }}/manifest.json"
"""

RETURN = r"""
sha256:
  description: SHA-256 of the file.
  returned: success
  type: str
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import base64
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.modules import run_module
from ..module_utils._core.pieces import Arrival, unpack


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    params = module.params
    arrival = Arrival(Path(params["dest"]), params["size"], params["sha256"])
    result["sha256"] = params["sha256"]
    if params["offset"] == 0 and arrival.present():
        return
    result["changed"] = True
    if not module.check_mode:
        arrival.take(unpack(base64.b64decode(params["content"]), params["length"]), params["offset"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "str"},
            "text": {"type": "str"},
            "kept_at": {"type": "str"},
            "dest": {"type": "str", "required": True},
            "content": {"type": "str", "default": "", "no_log": True},
            "length": {"type": "int", "default": 0},
            "offset": {"type": "int", "default": 0},
            "size": {"type": "int", "default": 0},
            "sha256": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    run_module(module, run, doing=f"writing {module.params['dest']}")


if __name__ == "__main__":
    main()

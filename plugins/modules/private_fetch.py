#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: private_fetch
short_description: Copy a file to the control node so that only its owner can read it
description:
  - Does what M(ansible.builtin.fetch) does with O(ignore:flat=true), but the folder has mode 0700 and the file 0600 from the
    moment they exist, whatever the umask is. M(ansible.builtin.fetch) itself has no option for a mode.
  - The file comes compressed and in pieces of 4 MiB, so its size is no matter of memory. No link is followed on the host.
  - The SHA-256 of the copy is verified before it takes its place.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: none
    details:
      - The task is skipped.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  src:
    description: The file on the host.
    type: str
    required: true
  dest:
    description: The file on the control node, as an absolute path. Folders that are missing are made with mode 0700.
    type: str
    required: true
  expected_sha256:
    description: The SHA-256 that the copy must have. Another one fails the task; the copy stays for a look.
    type: str
  offset:
    description: Where the piece begins. The action plugin sets it.
    type: int
    default: 0
  known_sha256:
    description: Of a copy that is there already. The action plugin sets it.
    type: str
    default: ""
seealso:
  - module: pi_controller.raft_migration.private_put
  - module: ansible.builtin.fetch
"""

EXAMPLES = r"""
- name: Copy the manifest off the Pi
  pi_controller.raft_migration.private_fetch:
    src: /var/backups/pi-controller-migration/prepare/manifest.json
    dest: "{{ raft_migration_control_dir }}/{{ inventory_hostname }}/manifest.json"
"""

RETURN = r"""
sha256:
  description: SHA-256 of the copy.
  returned: success
  type: str
dest:
  description: The file on the control node.
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

from ..module_utils._core import pieces
from ..module_utils._core.modules import run_module


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    params = module.params
    # The sum of what arrives is compared with the expected one. Only a copy that is there already has to be compared with the file.
    summed = bool(params["known_sha256"] or not params["expected_sha256"])
    piece = pieces.read(Path(params["src"]), params["offset"], params["known_sha256"], summed)
    result.update(size=piece.size, sha256=piece.sha256, length=piece.length)
    if piece.packed is not None:
        result["content"] = base64.b64encode(piece.packed).decode()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "str", "required": True},
            "dest": {"type": "str", "required": True},
            "expected_sha256": {"type": "str"},
            "offset": {"type": "int", "default": 0},
            "known_sha256": {"type": "str", "default": ""},
        },
    )
    run_module(module, run, doing=f"reading {module.params['src']}")


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_journal_info
short_description: Read a Pi's migration status, and what every phase needs to know of its daemon
description:
  - Reads the journal that M(pi_controller.raft_migration.migration_journal) keeps on a Pi.
  - No journal is a good answer, a damaged one or one of an unknown format is a failure.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  path:
    description: The journal.
    type: path
    required: true
  config_file:
    description: The daemon's configuration file, whose further listeners are returned. Nothing else of it leaves the Pi.
    type: path
  databases:
    description: Where the daemon's database may be. The owner of the first one that is there is returned.
    type: list
    elements: path
    default: []
seealso:
  - module: pi_controller.raft_migration.migration_journal
"""

EXAMPLES = r"""
- name: Read the migration status
  pi_controller.raft_migration.migration_journal_info:
    path: /var/lib/pi-controller-migration/journal.json
  register: journal
"""

RETURN = r"""
exists:
  description: Whether there is a journal.
  returned: success
  type: bool
journal:
  description: The journal, none when there is none.
  returned: success
  type: dict
  sample:
    format: 1
    migration_id: m1
    phases:
      prepare: {state: done, started: "2026-01-31T10:00:00+00:00", finished: "2026-01-31T10:00:09+00:00", facts: {}}
    events:
      - {at: "2026-01-31T10:00:00+00:00", phase: prepare, state: started}
      - {at: "2026-01-31T10:00:09+00:00", phase: prepare, state: done}
phase_states:
  description: The state of every phase; V(pending) where it was never begun.
  returned: success
  type: dict
  sample: {"prepare": "done", "transfer": "started", "validate": "pending"}
current:
  description: The first phase that is not done, none when all are.
  returned: success
  type: str
  sample: transfer
listeners:
  description: The ports beside REST, gRPC and Raft that the daemon listens on, by the variables that move them.
  returned: when O(config_file) is given
  type: dict
  sample: {"PI_CONTROLLER_WEBSOCKET_PORT": 8081}
data_owner:
  description: Owner and group of the database, as numbers; empty where none was found.
  returned: success
  type: dict
  sample: {"uid": 0, "gid": 0}
ansible_facts:
  description: What later tasks go by, until M(pi_controller.raft_migration.migration_journal) writes something else.
  returned: success
  type: dict
  contains:
    raft_migration_journal:
      description: RV(journal), RV(phase_states) and RV(current).
      type: dict
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.journal import FACT, known_by, load
from ..module_utils._core.modules import run_module
from ..module_utils._daemon.pod_files import listeners


def owner_of(paths: list[str]) -> dict[str, int]:
    for path in paths:
        try:
            found = Path(path).stat()
        except OSError:
            continue
        return {"uid": found.st_uid, "gid": found.st_gid}
    return {}


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    journal = load(Path(module.params["path"]))
    known = known_by(journal)
    result.update(exists=journal is not None, **known, ansible_facts={FACT: known})
    result["data_owner"] = owner_of(module.params["databases"])
    if module.params["config_file"]:
        result["listeners"] = listeners(Path(module.params["config_file"]))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "config_file": {"type": "path"},
            "databases": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    run_module(module, run, doing=f"reading {module.params['path']}")


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: raft_carry
short_description: Fence one pi-controller cluster and bring its state into another, in one go
description:
  - What M(pi_controller.raft_migration.raft_fence) and M(pi_controller.raft_migration.raft_snapshot) do one after the
    other, without a connection to this host in between. All of it lies in the time in which writes wait, so it counts.
  - Fences every node of O(from_urls), takes the snapshot of the daemon on this host, verifies and copies it to O(dest),
    restores it through the leader of O(to_urls), waits until all members there have applied it, and reads what the
    database of the daemon on this host holds by then.
  - Needs the capabilities C(read-only) and C(snapshot) on one side and C(restore) on the other.
  - Runs on the host of the leader of O(from_urls).
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.rest
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: none
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - A state is carried every time, since it says nothing of what was written after it.
options:
  urls:
    description: The daemon on this host, which leads the cluster the state is taken from.
    required: true
  from_urls:
    description: Base URLs of all nodes of that cluster. Every one of them is fenced.
    type: list
    elements: str
    required: true
  to_urls:
    description: Base URLs of all nodes of the cluster the state is brought into.
    type: list
    elements: str
    required: true
  term:
    description:
      - The Raft term in which the daemon on this host was seen to lead. Once all nodes are fenced, it has to lead in it, and a majority of
        them to be in it. What another leader has acknowledged meanwhile may be missing here.
    type: int
    required: true
  raft_dir:
    description: The Raft folder of the daemon on this host.
    type: path
    required: true
  dest:
    description:
      - Folder for the snapshot; made with mode 0700. The state is a copy with mode 0600, or a hard link to the daemon's own file where that
        is this user's alone and on the same file system.
    type: path
    required: true
  database:
    description: The database of the daemon on this host.
    type: path
    required: true
  exclude_tables:
    description: Tables of it that are no part of RV(digest).
    type: list
    elements: str
    default: []
  lease:
    description:
      - What lifts the fences by itself, see M(pi_controller.raft_migration.cutover_lease). No node is fenced once its time is over, and
        if the fences took longer, the module fails.
    type: dict
    required: true
    suboptions:
      seconds:
        description: How long after O(lease.since) a node may be fenced.
        type: float
        required: true
      since:
        description: The RV(pi_controller.raft_migration.traffic_gate#module:clock) of an earlier task on this host.
        type: dict
        required: true
        suboptions:
          boot:
            description: The boot.
            type: str
            required: true
          seconds:
            description: The time since then.
            type: float
            required: true
  wait_timeout:
    description:
      - Seconds for each of snapshot, restore, and applying it everywhere, and for the other cluster to be at rest before writes
        wait.
      - A member of it that goes away while writes wait is waited for a third as long.
    type: float
    default: 60
  wait_leader:
    description: Seconds to wait for a leader of O(to_urls), before anything is fenced.
    type: float
    default: 10
seealso:
  - module: pi_controller.raft_migration.raft_fence
  - module: pi_controller.raft_migration.raft_snapshot
"""

EXAMPLES = r"""
- name: Fence the old cluster and carry the last difference over
  pi_controller.raft_migration.raft_carry:
    url: http://10.77.0.11:8080
    from_urls: [http://10.77.0.11:8080, http://10.77.0.12:8080, http://10.77.0.13:8080]
    to_urls: [http://10.77.0.11:8082, http://10.77.0.12:8082, http://10.77.0.13:8082]
    term: 7
    raft_dir: /var/lib/pi-controller/raft
    dest: /var/backups/pi-controller-migration/cutover/snapshot
    database: /var/lib/pi-controller/pi-controller.db
    exclude_tables: [raft_applied]
    lease:
      seconds: 27
      since: "{{ gate_checked.clock }}"
"""

RETURN = r"""
id:
  description: The snapshot's ID.
  returned: success
  type: str
state_size:
  description: Bytes of the state.
  returned: success
  type: int
sha256:
  description: SHA-256 of the state.
  returned: success
  type: str
digest:
  description: Of what the database on this host holds once the state is carried over, as
    M(pi_controller.raft_migration.sqlite_info) gives it. Every database of O(to_urls) has to hold the same.
  returned: success
  type: str
index:
  description: Index of the leader of O(to_urls) after the restore.
  returned: success
  type: int
steps:
  description: Seconds from the start to the end of each step.
  returned: success
  type: dict
  sample: {"fenced": 0.02, "taken": 0.05, "restored": 0.21, "read": 0.22}
asked_at:
  description: When the task began, by the control node's clock, in seconds since the epoch.
  returned: always
  type: float
  sample: 1767225600.125
answered_at:
  description: When it was over, by the same clock.
  returned: always
  type: float
  sample: 1767225600.625
failure:
  description: The URL asked, its HTTP status, what was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.modules import run_module
from ..module_utils._daemon.drivers import clients_of, rest_options
from ..module_utils._gate.lease import Moment
from ..module_utils._gate.options import SINCE
from ..module_utils._raft.carry import Carry
from ..module_utils._raft.leader import LeaderSession, TimeLimits
from ..module_utils._raft.state import settle
from ..module_utils._sqlite.proof import digesting


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    params = module.params
    result["steps"] = {}
    carry = Carry(
        clients_of(params)[0], params["raft_dir"], Path(params["dest"]), params["wait_timeout"], result["steps"]
    )
    # Waited for first: a cluster that cannot take the state must not cost a write pause.
    session = LeaderSession(clients_of({**params, "urls": params["to_urls"]}), TimeLimits(leader=params["wait_leader"]))
    settle(session, params["wait_timeout"])
    # From here on the nodes refuse writes.
    result["changed"] = True
    since, seconds = Moment.of(params["lease"]["since"]), params["lease"]["seconds"]
    fenced = clients_of({**params, "urls": params["from_urls"]})
    carry.fence(fenced, lambda: since.left_of(seconds, "so a fence could outlast the lease that lifts it"))
    carry.require_leader(fenced, params["term"])
    snapshot = carry.take()
    result.update(id=snapshot.id, state_size=snapshot.size)
    with digesting(Path(params["database"]), params["exclude_tables"]) as digest:
        result["index"], result["sha256"] = carry.restore(session, snapshot)
        # Last: a write that was under way when the fence fell has landed by now, and shows.
        result["digest"] = digest()
    carry.done("read")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **rest_options(),
            "from_urls": {"type": "list", "elements": "str", "required": True},
            "to_urls": {"type": "list", "elements": "str", "required": True},
            "term": {"type": "int", "required": True},
            "raft_dir": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "database": {"type": "path", "required": True},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "lease": {
                "type": "dict",
                "required": True,
                "options": {
                    "seconds": {"type": "float", "required": True},
                    "since": {**SINCE, "required": True},
                },
            },
            "wait_timeout": {"type": "float", "default": 60},
            "wait_leader": {"type": "float", "default": 10},
        },
    )
    run_module(module, run, doing="carrying the state over")


if __name__ == "__main__":
    main()

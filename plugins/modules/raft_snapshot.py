#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: raft_snapshot
short_description: Take a verified copy of a Raft snapshot, or restore a cluster from one
description:
  - V(present) asks the daemon for a snapshot where its release has the capability C(snapshot). Otherwise it takes the
    newest finished one from the daemon's Raft folder.
  - The copy is compared with the size and the CRC-64 in C(meta.json) while it is made, and is on disk when the module
    returns. A snapshot that fails this is never given its name in O(dest).
  - A snapshot is taken from C(snapshots) in O(raft_dir) alone, whatever path the daemon answers. Its files are regular files
    and reached without symbolic links, and the state has the size that C(meta.json) declares before any of it is read.
  - V(restored) sends a state to the leader, once all members follow it, and waits until they have applied it.
  - V(caught_up) frees members that a restore has left behind. When the leader is deposed while it restores, HashiCorp
    Raft leaves it with a log that no later leader can continue. It is sent the same older snapshot again and again,
    which fills its disk, also after a restart. A snapshot that the present leader takes anew ends that. Where a member does not
    answer, it may be such a leader, so snapshots are taken before it is back.
  - Runs on the host of the daemon whose folder it reads.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.rest
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: partial
    details:
      - What the daemon would call a new snapshot cannot be known, so RV(id) is that of the newest one there is.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - A daemon that is asked takes a new snapshot every time, unless nothing was written since.
      - A restore is never skipped, since a state says nothing of what was written after it.
      - V(caught_up) changes nothing where no member is behind.
options:
  state:
    description: What to do; see above.
    type: str
    choices: [present, restored, caught_up]
    default: present
  urls:
    description: With O(state=present) the one daemon on this host. Without it O(raft_dir) of a stopped daemon is read.
  raft_dir:
    description: The daemon's Raft folder, the one that contains C(snapshots). Required to take a snapshot.
    type: path
  dest:
    description: Folder for C(state.bin) and C(meta.json); made with mode 0700, the files with 0600.
    type: path
  link:
    description:
      - Let C(state.bin) in O(dest) be a hard link to the file that was found, which takes no room of its own. HashiCorp Raft never writes
        to a finished snapshot, and what it removes stays in O(dest).
      - A file that another user owns or may read, one on another file system or mount, and one where there are no hard links, is copied.
      - Not for the folder of a daemon that is not trusted, such as a pod's, which could change the file after it was verified.
    type: bool
    default: false
  reuse:
    description:
      - Folder with a snapshot of this daemon that an earlier task has verified. If it is there and sound, O(dest) gets this one, and the
        daemon is not asked for another.
    type: path
  src:
    description: File with the state to restore. A C(meta.json) beside it is verified first.
    type: path
  alone:
    description:
      - With O(state=restored), act on the one daemon of O(urls), which has to be the leader itself, without asking the
        others. For a cluster whose nodes can each be reached from their own host only, as behind a traffic gate.
      - Whether the others have applied the state is then for the caller to find out.
    type: bool
    default: false
  wait_timeout:
    description: Seconds the daemon may take for the call, and as many for all members to apply a restored state.
    type: float
    default: 60
  patience:
    description: With O(state=caught_up), seconds that a member may be behind before a snapshot is taken.
    type: float
    default: 3
  wait_leader:
    description: With O(state=restored) and O(state=caught_up), seconds to wait for a leader with a quorum.
    type: float
    default: 30
seealso:
  - module: pi_controller.raft_migration.sqlite_backup
"""

EXAMPLES = r"""
- name: Snapshot of the leader, copied and verified
  pi_controller.raft_migration.raft_snapshot:
    url: http://127.0.0.1:8080
    raft_dir: /var/lib/pi-controller/raft
    dest: /var/backups/pi-controller/20260101T120000Z/raft
  register: snapshot

- name: Restore the pods' cluster from it
  pi_controller.raft_migration.raft_snapshot:
    state: restored
    urls:
      - http://10.77.0.11:8082
      - http://10.77.0.12:8082
      - http://10.77.0.13:8082
    src: "{{ snapshot.path }}/state.bin"

- name: Free a member that was left behind by a restore
  pi_controller.raft_migration.raft_snapshot:
    state: caught_up
    urls:
      - http://10.77.0.11:8082
      - http://10.77.0.12:8082
      - http://10.77.0.13:8082
"""

RETURN = r"""
found:
  description: Whether there is a snapshot.
  returned: with O(state=present)
  type: bool
msg:
  description: Why there is none.
  returned: when RV(found) is false
  type: str
id:
  description: The snapshot's ID.
  returned: when found
  type: str
  sample: 7-1234-1795591827688
index:
  description: Last index in the snapshot; with O(state=restored) the leader's index after it.
  returned: when found, or restored
  type: int
term:
  description: Term of that index.
  returned: when found
  type: int
members:
  description: Members at that index.
  returned: when found
  type: list
  elements: dict
state_size:
  description: Bytes of the state.
  returned: when found
  type: int
sha256:
  description: SHA-256 of the state.
  returned: when found
  type: str
crc_ok:
  description: Whether size and CRC-64 are those of C(meta.json).
  returned: when found
  type: bool
path:
  description: Folder of the verified copy.
  returned: when found
  type: str
taken_by:
  description: V(api) where the daemon was asked, V(folder) where the newest finished one was taken, V(reuse) where it is that of O(reuse).
  returned: when found
  type: str
leader:
  description: The leader that took the state.
  returned: with O(state=restored) and O(state=caught_up)
  type: dict
behind:
  description: Why members were behind or away, if the leader was asked for a snapshot because of them.
  returned: with O(state=caught_up)
  type: list
  elements: str
  sample: ["pi-2 (10.77.0.12:9092): applied 9, wanted 14"]
elapsed:
  description: Seconds until all members had applied it.
  returned: with O(state=restored)
  type: float
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.modules import run_module
from ..module_utils._daemon.drivers import rest_options
from ..module_utils._raft.snapshot_request import SnapshotRequest

DOING = {
    "present": "taking a snapshot into {dest}",
    "restored": "restoring {src}",
    "caught_up": "freeing members that are behind",
}


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    request = SnapshotRequest(module.params, module.check_mode, result)
    getattr(request, module.params["state"])()


def define_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec={
            **rest_options(urls_required=False),
            "state": {"type": "str", "choices": ["present", "restored", "caught_up"], "default": "present"},
            "raft_dir": {"type": "path"},
            "dest": {"type": "path"},
            "link": {"type": "bool", "default": False},
            "reuse": {"type": "path"},
            "alone": {"type": "bool", "default": False},
            "src": {"type": "path"},
            "patience": {"type": "float", "default": 3},
            "wait_timeout": {"type": "float", "default": 60},
            "wait_leader": {"type": "float", "default": 30},
        },
        required_if=[
            ("state", "present", ["dest"]),
            ("state", "restored", ["urls", "src"]),
            ("state", "caught_up", ["urls"]),
        ],
        supports_check_mode=True,
    )


def main() -> None:
    module = define_module()
    run_module(module, run, doing=DOING[module.params["state"]].format_map(module.params))


if __name__ == "__main__":
    main()

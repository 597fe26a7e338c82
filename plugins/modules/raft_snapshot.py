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
    which fills its disk, also after a restart. A snapshot that the present leader takes anew ends that.
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
    description: With O(state=present) the one daemon on this host, or nothing to read O(raft_dir) of a stopped one.
  raft_dir:
    description: The daemon's Raft folder, the one that contains C(snapshots). Required to take a snapshot.
    type: path
  dest:
    description: Folder for C(state.bin) and C(meta.json); made with mode 0700, the files with 0600.
    type: path
  required:
    description: Fail where no snapshot has been taken yet, instead of RV(found=false).
    type: bool
    default: false
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
  description: V(api) where the daemon was asked, V(folder) where the newest finished one was taken.
  returned: when found
  type: str
leader:
  description: The leader that took the state.
  returned: with O(state=restored) and O(state=caught_up)
  type: dict
behind:
  description: Why members were behind, if the leader was asked for a snapshot because of them.
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

import os
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.failures import RaftError, fail
from ..module_utils._core.safe_open import open_file
from ..module_utils._raft import snapshots
from ..module_utils._raft.arguments import clients_of, rest_options
from ..module_utils._raft.leader import LeaderSession, Limits
from ..module_utils._raft.state import free, newest, restore, take


class RaftSnapshot:
    """One snapshot: taken and copied, or restored."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.wanted: dict[str, Any] = module.params
        self.result: dict[str, Any] = {"changed": False}

    def present(self) -> None:
        asks = self._daemon_takes_snapshots()
        taken_by = "api" if asks else "folder"
        if asks and not self.module.check_mode:
            snapshot, taken_by = take(clients_of(self.wanted)[0], self.wanted["raft_dir"], self.wanted["wait_timeout"])
        else:
            snapshot = newest(self.wanted["raft_dir"])
        if snapshot is None:
            self._none_yet(would_ask=asks)
            return
        dest = Path(self.wanted["dest"])
        before = _snapshot_in(dest)
        self.result.update(
            found=True,
            id=snapshot.id,
            index=snapshot.index,
            term=snapshot.term,
            members=[{"id": member.id, "address": member.address, "voter": member.voter} for member in snapshot.members],
            # Not `size`: beside a `path`, Ansible overwrites that with the size of the folder.
            state_size=snapshot.size,
            crc_ok=False,
            path=str(dest),
            taken_by=taken_by,
        )
        # Verified before it is believed to be the same: a copy can rot where it lies.
        same = before is not None and before.id == snapshot.id and _sound(before)
        if same or self.module.check_mode:
            self.result["sha256"] = snapshots.verify(snapshot)
        else:
            self.result["sha256"] = snapshots.copy(snapshot, dest)
        self.result["crc_ok"] = True
        # In check mode the daemon was not asked, and would have been.
        self.result["changed"] = not same or (asks and self.module.check_mode)
        self._diff({"id": before.id if before else None}, {"id": snapshot.id})

    def restored(self) -> None:
        src = Path(self.wanted["src"])
        _check_file(src)
        if (src.parent / snapshots.META).exists() and src.name == snapshots.STATE:
            snapshots.verify(snapshots.read_snapshot(src.parent))
        if self.wanted["alone"]:
            self._restored_alone(src)
            return
        limits = Limits(leader=self.wanted["wait_leader"])
        session = LeaderSession(clients_of(self.wanted), limits, dry_run=self.module.check_mode)
        began, before = time.monotonic(), session.leader.commit_index
        if "restore" not in session.capabilities():
            raise session.error(
                f"{session.leader.id} leads, and this release has no call to restore a state",
                wanted="capability restore",
                next_step="start the nodes on the restored state instead",
            )
        self.result.update(changed=True, leader=session.leader.as_dict(), index=before, elapsed=0.0)
        if not self.module.check_mode:
            self.result["index"] = restore(session, src, self.wanted["wait_timeout"])
            self.result["elapsed"] = round(time.monotonic() - began, 3)
        self._diff({"state": f"as of index {before}"}, {"state": f"of {src}"})

    def caught_up(self) -> None:
        session = LeaderSession(
            clients_of(self.wanted), Limits(leader=self.wanted["wait_leader"]), dry_run=self.module.check_mode
        )
        behind = free(session, self.wanted["patience"], self.wanted["wait_timeout"])
        self.result.update(changed=bool(behind), leader=session.leader.as_dict(), behind=behind)
        self._diff({"behind": behind}, {"behind": []})

    def _restored_alone(self, src: Path) -> None:
        client = clients_of(self.wanted)[0]
        status = client.status()
        if not status.is_leader or "restore" not in client.capabilities():
            raise RaftError(
                f"{client.url} does not lead, or its release has no call to restore a state",
                url=client.url,
                seen={"is_leader": status.is_leader, "leader": status.leader},
                wanted="the leader, with the capability restore",
                next_step="run this on the leader's host",
            )
        self.result.update(changed=True, index=status.commit_index, elapsed=0.0)
        if not self.module.check_mode:
            began = time.monotonic()
            client.restore(src, timeout=self.wanted["wait_timeout"])
            self.result.update(index=client.status().commit_index, elapsed=round(time.monotonic() - began, 3))
        self._diff({"state": f"as of index {status.commit_index}"}, {"state": f"of {src}"})

    def _daemon_takes_snapshots(self) -> bool:
        clients = clients_of(self.wanted)
        if len(clients) > 1:
            raise RaftError(
                "a snapshot is taken by one daemon, the one on this host",
                seen=[client.url for client in clients],
                wanted="one URL",
                next_step="give one `url`",
            )
        return bool(clients) and "snapshot" in clients[0].capabilities()

    def _none_yet(self, *, would_ask: bool) -> None:
        message = (
            f"no snapshot has been taken under {self.wanted['raft_dir']} yet "
            "(a daemon takes one every 30 min or 8192 entries, and this release has no call for it)"
        )
        if would_ask:
            message = "the daemon would be asked for its first snapshot"
        elif self.wanted["required"]:
            raise RaftError(message, seen=None, wanted="a snapshot", next_step="use the SQLite backup instead")
        self.result.update(changed=would_ask, found=False, msg=message)

    def _diff(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        if self.module._diff:
            self.result["diff"] = {"before": before, "after": after}


def _check_file(src: Path) -> None:
    """A regular file that can be opened, and is reached without a link."""
    try:
        os.close(open_file(src))
    except OSError as error:
        raise RaftError(
            f"{src} cannot be read ({error.strerror})",
            seen=error.strerror,
            wanted=f"a state in {src}",
            next_step="correct `src`",
        ) from error


def _snapshot_in(folder: Path) -> snapshots.Snapshot | None:
    try:
        return snapshots.read_snapshot(folder)
    except RaftError:
        return None


def _sound(snapshot: snapshots.Snapshot) -> bool:
    try:
        snapshots.verify(snapshot)
    except RaftError:
        return False
    return True


def define_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec={
            **rest_options(urls_required=False),
            "state": {"type": "str", "choices": ["present", "restored", "caught_up"], "default": "present"},
            "raft_dir": {"type": "path"},
            "dest": {"type": "path"},
            "required": {"type": "bool", "default": False},
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
    task = RaftSnapshot(module)
    try:
        getattr(task, module.params["state"])()
    except RaftError as error:
        fail(module, error, **task.result)
    module.exit_json(**task.result)


if __name__ == "__main__":
    main()

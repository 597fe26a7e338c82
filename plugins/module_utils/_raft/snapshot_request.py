# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The three things that raft_snapshot does: a verified copy, a restore, and freeing members that a restore left behind."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from .._core.failures import MigrationError
from .._core.safe_open import open_file
from .._daemon.drivers import clients_of
from . import snapshots
from .leader import LeaderSession, TimeLimits
from .state import free, newest, restore, settle, take


class SnapshotRequest:
    """`wanted` are the options of the module raft_snapshot, and its result is filled as far as the work has come."""

    def __init__(self, wanted: dict[str, Any], check_mode: bool, result: dict[str, Any]) -> None:
        self.wanted = wanted
        self.check_mode = check_mode
        self.result = result

    def present(self) -> None:
        reused = self._reused()
        asks = reused is None and self._daemon_takes_snapshots()
        snapshot: snapshots.Snapshot | None
        if reused is not None:
            snapshot, taken_by = reused, "reuse"
        elif asks and not self.check_mode:
            snapshot, taken_by = take(clients_of(self.wanted)[0], self.wanted["raft_dir"], self.wanted["wait_timeout"])
        else:
            snapshot, taken_by = newest(self.wanted["raft_dir"]), "api" if asks else "folder"
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
            members=[
                {"id": member.id, "address": member.address, "voter": member.voter} for member in snapshot.members
            ],
            # Not `size`: beside a `path`, Ansible overwrites that with the size of the folder.
            state_size=snapshot.size,
            crc_ok=False,
            path=str(dest),
            taken_by=taken_by,
        )
        # Verified before it is believed to be the same: a copy can rot where it lies.
        same = before is not None and before.id == snapshot.id and _sound(before)
        if same or self.check_mode:
            self.result["sha256"] = snapshots.verify(snapshot)
        else:
            self.result["sha256"] = snapshots.copy(snapshot, dest, link=self.wanted["link"])
        self.result["crc_ok"] = True
        # In check mode the daemon was not asked, and would have been.
        self.result["changed"] = not same or (asks and self.check_mode)
        self._diff({"id": before.id if before else None}, {"id": snapshot.id})

    def _reused(self) -> snapshots.Snapshot | None:
        """The snapshot in `reuse`, if it is a sound one."""
        if not self.wanted["reuse"]:
            return None
        folder = Path(self.wanted["reuse"])
        try:
            found = snapshots.read_snapshot(folder)
            snapshots.verify(found)
        except MigrationError as error:
            if folder.exists():
                self.result["warnings"] = [f"another snapshot was taken, as the one in {folder} is not sound: {error}"]
            return None
        return found

    def restored(self) -> None:
        src = Path(self.wanted["src"])
        _check_file(src)
        if (src.parent / snapshots.META).exists() and src.name == snapshots.STATE:
            with snapshots.opened(snapshots.read_snapshot(src.parent)) as state:
                # Now, so that nothing is asked for a damaged one; and once more while it is sent.
                state.verified()
                self._restored(src, state)
        else:
            self._restored(src, src)

    def _restored(self, src: Path, state: Path | snapshots.CheckedState) -> None:
        if self.wanted["alone"]:
            self._restored_alone(src, state)
            return
        limits = TimeLimits(leader=self.wanted["wait_leader"])
        session = LeaderSession(clients_of(self.wanted), limits, dry_run=self.check_mode)
        began, before = time.monotonic(), session.leader.commit_index
        if "restore" not in session.capabilities():
            raise session.error(
                f"{session.leader.id} leads, and this release has no call to restore a state",
                wanted="capability restore",
                next_step="start the nodes on the restored state instead",
            )
        self.result.update(changed=True, leader=session.leader.as_dict(), index=before, elapsed=0.0)
        if not self.check_mode:
            settle(session, self.wanted["wait_timeout"])
            self.result["index"] = restore(session, state, self.wanted["wait_timeout"])
            self.result["elapsed"] = round(time.monotonic() - began, 3)
        self._diff({"state": f"as of index {before}"}, {"state": f"of {src}"})

    def caught_up(self) -> None:
        session = LeaderSession(
            clients_of(self.wanted), TimeLimits(leader=self.wanted["wait_leader"]), dry_run=self.check_mode
        )
        behind = free(session, self.wanted["patience"], self.wanted["wait_timeout"])
        self.result.update(changed=bool(behind), leader=session.leader.as_dict(), behind=behind)
        self._diff({"behind": behind}, {"behind": []})

    def _restored_alone(self, src: Path, state: Path | snapshots.CheckedState) -> None:
        client = clients_of(self.wanted)[0]
        status = client.status()
        if not status.is_leader or "restore" not in client.capabilities():
            raise MigrationError(
                f"{client.url} does not lead, or its release has no call to restore a state",
                url=client.url,
                seen={"is_leader": status.is_leader, "leader": status.leader},
                wanted="the leader, with the capability restore",
                next_step="run this on the leader's host",
            )
        self.result.update(changed=True, index=status.commit_index, elapsed=0.0)
        if not self.check_mode:
            began = time.monotonic()
            client.restore(state, timeout=self.wanted["wait_timeout"])
            self.result.update(index=client.status().commit_index, elapsed=round(time.monotonic() - began, 3))
        self._diff({"state": f"as of index {status.commit_index}"}, {"state": f"of {src}"})

    def _daemon_takes_snapshots(self) -> bool:
        clients = clients_of(self.wanted)
        if len(clients) > 1:
            raise MigrationError(
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
        self.result.update(changed=would_ask, found=False, msg=message)

    def _diff(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        self.result["diff"] = {"before": before, "after": after}


def _check_file(src: Path) -> None:
    """A regular file that can be opened, and is reached without a link."""
    try:
        os.close(open_file(src))
    except OSError as error:
        raise MigrationError(
            f"{src} cannot be read ({error.strerror})",
            seen=error.strerror,
            wanted=f"a state in {src}",
            next_step="correct `src`",
        ) from error


def _snapshot_in(folder: Path) -> snapshots.Snapshot | None:
    try:
        return snapshots.read_snapshot(folder)
    except MigrationError:
        return None


def _sound(snapshot: snapshots.Snapshot) -> bool:
    try:
        snapshots.verify(snapshot)
    except MigrationError:
        return False
    return True

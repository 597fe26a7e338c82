# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking the state of one daemon, and giving a state to a cluster."""

from __future__ import annotations

from pathlib import Path

from . import _raft_snapshots as snapshots
from ._failures import RaftError
from ._raft_client import RaftClient
from ._raft_leader import POLL, LeaderSession
from ._waiting import wait_until


def take(client: RaftClient, raft_dir: str | None, timeout: float) -> tuple[snapshots.Snapshot | None, str]:
    """Ask the daemon on this host for a snapshot; returns it and how it was come by (`api` or `folder`)."""
    try:
        taken = client.snapshot(timeout=timeout)
    except RaftError as error:
        # Raft refuses where nothing was written since the last one: that one is as good.
        if error.status == 409 or "nothing new to snapshot" in str(error):
            return newest(raft_dir), "folder"
        raise
    places = [Path(taken.path)] if taken.path else []
    if raft_dir:
        places.append(Path(raft_dir) / "snapshots" / taken.id)
    for place in places:
        if (place / snapshots.META).exists():
            return snapshots.read_snapshot(place), "api"
    raise RaftError(
        f"{client.url} took snapshot {taken.id}, which is not on this host",
        url=client.url,
        seen=taken.path,
        wanted=f"a folder among {', '.join(map(str, places)) or 'none: neither a path nor raft_dir'}",
        next_step="run this on the daemon's own host, with its `raft_dir`",
    )


def newest(raft_dir: str | None) -> snapshots.Snapshot | None:
    """The newest finished snapshot in a daemon's Raft folder."""
    if not raft_dir:
        raise RaftError(
            "without `raft_dir` there is nowhere to look for a snapshot",
            wanted="the daemon's Raft folder",
            next_step="give `raft_dir`",
        )
    return next(iter(snapshots.list_snapshots(Path(raft_dir))), None)


def restore(session: LeaderSession, src: Path, timeout: float) -> int:
    """Send a state to the leader and wait until every member, learners too, has applied it; returns the index."""
    session.client().restore(src, timeout=timeout)
    session.view, session.leader = session.find_leader()
    target = session.leader.commit_index or 0

    def behind() -> list[str]:
        view = session.look()
        if view.leader is None:
            return [view.describe()]
        reasons = [member.why_behind(view.leader, target) for member in view.members]
        return [reason for reason in reasons if reason]

    waited = wait_until(behind, lambda reasons: not reasons, timeout, POLL)
    if not waited.met:
        raise session.error(
            f"restored, but not applied everywhere after {waited.elapsed:.1f} s: {'; '.join(waited.value)}",
            seen=waited.value,
            wanted=f"every member at index {target} or above",
            next_step="bring the named members back; they apply it then",
        )
    return target

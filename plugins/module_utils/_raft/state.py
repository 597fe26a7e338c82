# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking the state of one daemon, and giving a state to a cluster."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Callable

from .._core.failures import MigrationError
from .._core.safe_open import held_inside
from .._core.waiting import Waited, wait_until
from .._daemon.interface import Daemon, State, TakenSnapshot
from . import snapshots
from .cluster import MemberView
from .leader import POLL, LeaderSession


def take(client: Daemon, raft_dir: str | None, timeout: float) -> tuple[snapshots.Snapshot | None, str]:
    """Ask the daemon on this host for a snapshot; returns it and how it was come by (`api` or `folder`)."""
    taken = client.snapshot(timeout=timeout)
    if taken is None:
        # The one there is is as good.
        return newest(raft_dir), "folder"
    places = _places(taken, raft_dir)
    for place in places:
        if os.path.lexists(place / snapshots.META):
            return snapshots.read_snapshot(place), "api"
    raise MigrationError(
        f"{client.url} took snapshot {taken.id!r}, which is not on this host in {raft_dir or '`raft_dir`, which is not given'}",
        url=client.url,
        seen={"id": taken.id, "path": taken.path},
        wanted=f"a folder among {', '.join(map(str, places))}" if places else "a snapshot in raft_dir/snapshots",
        next_step="run this on the daemon's own host, with its `raft_dir`",
    )


def _places(taken: TakenSnapshot, raft_dir: str | None) -> list[Path]:
    """Where the snapshot can be. The answer names it, and is not believed where it leads out of the Raft folder."""
    if not raft_dir:
        return []
    base = Path(raft_dir) / "snapshots"
    named = [str(taken.path)] if isinstance(taken.path, str) else []
    candidates = [held_inside(base, path) for path in (*named, f"{base.absolute()}/{taken.id}")]
    # The snapshot's own folder and nothing below it.
    return [place for place in candidates if place and place.parent == base.absolute()]


def newest(raft_dir: str | None) -> snapshots.Snapshot | None:
    """The newest finished snapshot in a daemon's Raft folder."""
    if not raft_dir:
        raise MigrationError(
            "without `raft_dir` there is nowhere to look for a snapshot",
            wanted="the daemon's Raft folder",
            next_step="give `raft_dir`",
        )
    return next(iter(snapshots.list_snapshots(Path(raft_dir))), None)


def _applied(
    session: LeaderSession, target: int, timeout: float, whom: Callable[[MemberView], bool] = lambda _member: True
) -> Waited[list[str]]:
    """Wait until members, learners too, have applied `target`; the value is why some have not."""

    def behind() -> list[str]:
        view = session.look()
        if view.leader is None:
            return [view.describe()]
        reasons = [member.why_behind(view.leader, target) for member in view.members if whom(member)]
        return [reason for reason in reasons if reason]

    return wait_until(behind, lambda reasons: not reasons, timeout, POLL)


def _all_applied(session: LeaderSession, timeout: float, failure: str, next_step: str) -> int:
    """Wait until every member follows one leader and has applied what that had committed; returns the index."""
    target = session.leader.commit_index or 0
    waited = _applied(session, target, timeout)
    if not waited.met:
        raise session.error(
            f"{failure} after {waited.elapsed:.1f} s: {'; '.join(waited.value)}",
            seen=waited.value,
            wanted=f"every member in contact with one leader, and at index {target} or above",
            next_step=next_step,
        )
    return target


def settle(session: LeaderSession, timeout: float) -> None:
    """Wait until every member follows one leader and has applied what it had committed.

    A restore leaves a hole in the leader's log, and is over once others have it as well. A leader that is deposed in
    between keeps a log that no other leader can continue (see `free`). The moment to see one coming is before: a member
    that was cut off comes back with a higher term, and deposes the leader as soon as it is heard.
    """
    _all_applied(
        session,
        timeout,
        "not restored, since the cluster is not at rest",
        "bring the named members back, then run the same command again",
    )


# Snapshots, each an entry of the log. A deposed leader alone has a few entries after its restore: clients write to no cluster that a
# state is restored into.
AHEAD = 8


def free(session: LeaderSession, patience: float, timeout: float) -> list[str]:
    """Have the leader take a snapshot where a member that answers stays behind for longer than `patience` (seconds), or one is away.

    After a restore that was cut short by an election the deposed leader refuses every entry ("failed to get previous
    log"), is sent the leader's last snapshot, which is older than its own log, and so on without an end, hundreds of
    times a second, until its disk is full. A restart does not help. A snapshot that is newer than its log does. A member that is
    away may be such a leader, and on a small disk it is too late when it has come back and another run finds it behind.

    Returns why members were behind, and nothing where none was or where this release has no call for a snapshot.
    """

    def answers(member: MemberView) -> bool:
        return member.status is not None

    target = session.leader.commit_index or 0
    waited = _applied(session, target, patience, answers)
    away = [member for member in session.look().members if not answers(member)]
    reasons = [
        *([] if waited.met else waited.value),
        *(f"{m.member.id} ({m.member.address}): does not answer" for m in away),
    ]
    if not reasons or "snapshot" not in session.capabilities():
        return []
    if session.dry_run:
        return reasons
    for _number in range(AHEAD if away else 0):
        session.client().snapshot(timeout=timeout)
    if waited.met:
        return reasons
    until = time.monotonic() + timeout
    while True:
        # The first one can be older still than what the deposed leader wrote last.
        session.client().snapshot(timeout=timeout)
        after = _applied(session, target, patience, answers)
        if after.met:
            return reasons
        if time.monotonic() > until:
            raise session.error(
                f"still behind after the leader took a snapshot: {'; '.join(after.value)}",
                seen=after.value,
                wanted=f"every member that answers at index {target} or above",
                next_step="read the log of the named daemons",
            )


def restore(session: LeaderSession, src: Path | State, timeout: float) -> int:
    """Send a state to the leader of a cluster at rest and wait until every member, learners too, has applied it.

    Returns the leader's index.
    """
    session.client().restore(src, timeout=timeout)
    session.view, session.leader = session.find_leader()
    return _all_applied(
        session, timeout, "restored, but not applied everywhere", "bring the named members back; they apply it then"
    )

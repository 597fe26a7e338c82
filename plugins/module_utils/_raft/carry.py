# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a fence to a restored state in one go: each part of it is time in which writes wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .._core.failures import MigrationError
from .._daemon.interface import Daemon
from . import snapshots
from .leader import LeaderSession
from .state import restore, settle, take


class Carry:
    """`client` is the daemon on this host, `steps` gets the seconds from the start to the end of each step."""

    def __init__(self, client: Daemon, raft_dir: str, dest: Path, timeout: float, steps: dict[str, float]) -> None:
        self.client = client
        self.raft_dir = raft_dir
        self.dest = dest
        self.timeout = timeout
        self.steps = steps
        self._began = time.monotonic()

    def done(self, step: str) -> None:
        self.steps[step] = round(time.monotonic() - self._began, 3)

    def fence(self, clients: Iterable[Daemon], in_time: Callable[[], object]) -> None:
        """Make every one of these nodes refuse writes, as long as `in_time` does not raise."""
        for client in clients:
            in_time()
            client.set_read_only(True)
        in_time()
        self.done("fenced")

    def require_leader(self, clients: Sequence[Daemon], term: int) -> None:
        """Raise where another node may have led since `term`, and have acknowledged what the daemon on this host does not have.

        A leader that has lost its disk or its network for a moment does not know of the next one. That one has acknowledged nothing
        without a majority in its own term, and by now no node takes a write.
        """
        own = self.client.status()
        terms = [client.status().term for client in clients]
        if own.is_leader and own.term == term and terms.count(term) * 2 > len(terms):
            return
        seen = f"{self.client.url} is {own.role} in term {own.term}, the nodes are in {', '.join(map(str, terms))}"
        raise MigrationError(
            f"leadership of the old cluster moved before it was fenced: {seen}",
            url=self.client.url,
            seen=seen,
            wanted=f"leader in term {term}, with a majority of the nodes in it",
            next_step="run the cutover again",
        )

    def take(self) -> snapshots.Snapshot:
        """The newest state of the daemon on this host."""
        snapshot, _taken_by = take(self.client, self.raft_dir, self.timeout)
        if snapshot is None:
            raise MigrationError(
                f"{self.client.url} took no snapshot",
                url=self.client.url,
                wanted="a snapshot",
                next_step="read the daemon's log",
            )
        self.done("taken")
        return snapshot

    def restore(self, session: LeaderSession, snapshot: snapshots.Snapshot) -> tuple[int, str]:
        """Bring it into the other cluster, and keep it in `dest`; returns the index of the other leader and the state's SHA-256.

        It is read once, while it is sent: a state that is not the one that was written never arrives as a whole.
        """
        with snapshots.placed(snapshot, self.dest) as state:
            # It was at rest before writes began to wait. A member that is gone since then may be away for long, and the old
            # cluster would serve meanwhile.
            settle(session, self.timeout / 3)
            index = restore(session, state, self.timeout)
            sha256 = state.verified()
        self.done("restored")
        return index, sha256

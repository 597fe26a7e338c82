# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commit of a cutover, on the old leader's Pi: the fence has held until now, and from now on it stays.

In this order, so that a crash between two steps loses no write and shows no stale row: the lease's unit is void, the daemon is seen
to be fenced or to lead as before, the gate stays, the journal says `opening`. The next boot knows the gate only after that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._core.failures import MigrationError
from .._daemon.interface import Daemon
from .._gate.change import completed, set_gate
from .._gate.lease import Lease, LeaseEnded, Moment
from .._gate.nft import Nft
from .._gate.table import Gate
from .order import LeaseError, Order
from .unit import LeaseUnit


@dataclass(frozen=True)
class Commit:
    """`since` and `seconds` bound it in time; `daemon` is the one that was made read-only, None where the network is the fence.

    There nothing keeps a unit from taking writes that is elected meanwhile, so `leader` is the daemon of this Pi, and `term` the one
    in which it has led since before.
    """

    since: Moment
    seconds: float
    daemon: Daemon | None
    leader: Daemon | None = None
    term: int | None = None

    def check(self, unit: LeaseUnit) -> Order:
        """The order in force. Raises LeaseEnded where anything has lapsed, or would before every Pi has followed."""
        self.since.left_of(self.seconds, "too long to make the fence permanent before it ends")
        order = unit.file.load()
        if order is None or order.ended is not None or order.boot != self.since.boot or order.left() <= 0:
            seen = "none" if order is None else f"ended, {order.left():.1f} s left"
            raise LeaseEnded("the lease of this Pi has ended", seen=seen, wanted="one that holds")
        self._check_fenced()
        return order

    @staticmethod
    def gate_of_before(unit: LeaseUnit, nft: Nft, gate: Gate) -> Gate | None:
        """The gate that an earlier commit of this content has left; None where a lease is in force or this gate does not stay."""
        table = nft.table()
        gate = completed(gate, table)
        return gate if table == gate.expected() and unit.file.load() is None else None

    def _check_fenced(self) -> None:
        if self.daemon is not None and not self.daemon.read_only():
            raise LeaseEnded(f"{self.daemon.url} takes writes", seen="it takes writes", wanted="read-only")
        if self.leader is not None:
            self._check_leads(self.leader)

    def _check_leads(self, leader: Daemon) -> None:
        status = leader.status()
        if not status.is_leader or status.term != self.term:
            seen = f"{status.role} in term {status.term} with leader {status.leader}"
            raise LeaseEnded(
                f"leadership of the old cluster moved while it was fenced: {leader.url} is {seen}",
                seen=seen,
                wanted=f"leader in term {self.term}",
            )

    def run(
        self, unit: LeaseUnit, nft: Nft, gate: Gate, record: Callable[[], Any], rearm: Callable[[Order], Any]
    ) -> Gate:
        """`record` writes the journal; `rearm` arms the order again where the fence did not hold and nothing was recorded.

        Returns the gate as it is set now.
        """
        order = self.check(unit)
        before = nft.table()
        gate = completed(gate, before)
        unit.void()
        try:
            # Once more: only now nothing on this Pi can lift it.
            self._check_fenced()
            set_gate(nft, gate, before, "reset", 0, Lease(held=True))
        except (MigrationError, OSError) as error:
            try:
                rearm(order)
            except (MigrationError, OSError) as other:
                raise LeaseError(
                    f"{error}; and the lease, without which nothing opens this Pi by itself, is not in force again: {other}",
                    seen=str(other),
                    wanted="a lease in force",
                    next_step="run the same command again at once: it opens the old cluster, or finishes the cutover",
                ) from error
            raise
        record()
        return gate

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the migration asks of a daemon, whichever it is, and the values it gets back.

A driver is a package beside this file that implements `Daemon` and has the same functions in its `settings`; `drivers`
chooses one. Nothing outside a driver knows a path, a key or a variable of its daemon.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# Optional calls, by the names under which `capabilities` lists them.
LEARNERS, READ_ONLY, RESTORE, SNAPSHOT, TRANSFER = "learners", "read-only", "restore", "snapshot", "transfer"


class Unreadable(ValueError):
    """An answer that is not what this call answers."""


@dataclass(frozen=True)
class Member:
    """One server of the Raft configuration."""

    id: str
    address: str
    voter: bool = True


@dataclass(frozen=True)
class NodeStatus:
    """What one node says of itself and of the cluster; a key the release does not send is None."""

    role: str | None
    leader: str | None
    is_leader: bool
    members: tuple[Member, ...] = ()
    health: Mapping[str, Any] | None = None
    term: int | None = None
    last_index: int | None = None
    # Of the last entry of its log, or of its last snapshot where that is newer.
    last_term: int | None = None
    commit_index: int | None = None
    applied_index: int | None = None
    # Batches that wait for the state machine, of up to 64 entries each. `applied_index` counts them already.
    fsm_pending: int | None = None
    snapshot_index: int | None = None
    # Seconds since the leader was last heard; None is "never".
    last_contact: float | None = None


@dataclass(frozen=True)
class TakenSnapshot:
    """A snapshot that a daemon has just taken; `path` is where it says it is."""

    id: str
    index: int | None
    term: int | None
    size: int | None
    path: str | None


class State(Protocol):
    """A state that is read while it is sent. What it raises ends the call, and the daemon never gets all of it."""

    @property
    def size(self) -> int:
        """Bytes."""

    def rewind(self) -> None:
        """To the start, before it is sent the first time or again."""

    def read(self, size: int = -1) -> bytes:
        """The next part, empty at the end."""


class Daemon(Protocol):
    """One daemon, asked at its own address. Every call raises MigrationError with what was asked of whom, and why it failed.

    Calls are bounded in time (`timeout`, seconds, from connecting to the last byte) and size. `status` of the error is that
    of HTTP, None where there was no answer: then the outcome of the call is open.
    """

    url: str
    host: str
    port: int
    timeout: float

    def status(self) -> NodeStatus:
        """What the node says of itself and of the cluster, its members included."""

    def report(self) -> dict[str, Any]:
        """The same as JSON for a reader elsewhere, who makes a NodeStatus of it with `drivers.read_report`."""

    def capabilities(self) -> frozenset[str]:
        """The optional calls that this release has; none for a release that knows no such list."""

    def add_member(self, node_id: str, address: str, voter: bool | None = None) -> None:
        """Add a member, or update the address of a known one. `voter` is sent only where it is not None."""

    def remove_member(self, node_id: str) -> None:
        """Remove a member. Asked of the leader, as every change is."""

    def transfer(self, target_id: str) -> None:
        """Hand leadership to this member."""

    def read_only(self) -> bool:
        """Whether the node refuses writes."""

    def set_read_only(self, enabled: bool) -> None:
        """Make the node refuse writes, or take them again; returns when no write is under way any more."""

    def snapshot(self, timeout: float | None = None) -> TakenSnapshot | None:
        """Have the node take a snapshot; None where nothing was written since the last one, which is as good."""

    def restore(self, state: bytes | str | os.PathLike[str] | State, timeout: float | None = None) -> None:
        """Replace the state of the whole cluster: by these bytes, or by a file's or another state's, which is streamed."""

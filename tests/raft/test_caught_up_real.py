# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""raft_info against a member whose index is ahead of its content, as after each start of a daemon with a long log."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from tests.daemon.clusters import Cluster, Daemon

WRITES = 20


@contextlib.contextmanager
def slow(node: Daemon) -> Iterator[None]:
    """The node's state machine waits for its database, while Raft goes on."""
    with contextlib.closing(sqlite3.connect(node.folder / "pi-controller.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def test_a_member_with_entries_but_not_their_content_is_behind(
    cluster: Cluster, run_module: Callable[..., dict[str, Any]]
) -> None:
    follower = cluster.nodes[1]

    def info(timeout: float) -> dict[str, Any]:
        wanted = {"leader": True, "voters": 3, "caught_up": True}
        return run_module("raft_info", {"urls": cluster.urls, "wait_for": wanted, "wait_timeout": timeout})

    cluster.write()
    assert info(20)["caught_up"] is True
    with slow(follower):
        cluster.write(WRITES)
        lagging = info(1.5)
        assert len(cluster.names(follower)) == 1
        member = next(member for member in lagging["members"] if member["id"] == follower.id)
        # Its index does not show that.
        assert member["lag"] == 0, member
        assert lagging.get("failed") is True, lagging
        assert "wait to be applied to its database" in lagging["msg"]
    assert info(20)["caught_up"] is True
    # The module has waited: no more waiting here.
    assert len(cluster.names(follower)) == WRITES + 1

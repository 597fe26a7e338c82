# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The turns of `rolling` with a member that has no vote, against real HashiCorp Raft: each member stays what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.daemon.clusters import Cluster, Daemon, eventually


@pytest.fixture
def profile() -> str:
    """Others know no learners."""
    return "full"


@pytest.fixture
def learner(cluster: Cluster) -> Daemon:
    """n2, once it has no vote any more."""
    node = cluster.nodes[1]
    assert cluster.leader.ask("DELETE", f"/api/v1/raft/members/{node.id}")[0] == 200
    body = {"node_id": node.id, "address": node.address, "voter": False}
    assert cluster.leader.ask("POST", "/api/v1/raft/members", body)[0] == 200
    eventually(lambda: node.status().get("leader") == cluster.leader.address, "the learner follows")
    return node


def test_each_member_has_its_turn_and_stays_what_it_is(
    cluster: Cluster, learner: Daemon, run_module: Callable[..., dict[str, Any]]
) -> None:
    def others(node: Daemon) -> list[str]:
        return [other.host for other in cluster.nodes if other is not node]

    def traffic(state: str, node: Daemon, wait_for: dict[str, Any], **more: Any) -> dict[str, Any]:
        wait = {"wait_for": {"leader": True, "learners": True, **wait_for}, "wait_timeout": 20}
        result = run_module("member_traffic", {"state": state, "urls": cluster.urls, **wait, **more})
        assert "failed" not in result, result
        return result

    for node in (learner, cluster.nodes[2], cluster.nodes[0]):
        # The neighbour of the last one, which leads, is the learner.
        traffic("away", node, {"caught_up_at": others(node)}, address=node.host, successor=learner.host)
        assert cluster.leader is not node, "leadership has gone to the other voter"
        node.stop()
        if node is learner:
            # With one of two voters away no write is taken.
            cluster.write(20)
        node.start()
        back = traffic("back", node, {"voters": 3, "caught_up": True})
        assert {member["id"]: member["voter"] for member in back["members"]} == {"n1": True, "n2": False, "n3": True}
        assert len(cluster.names(node)) == cluster.count, f"{node.id} has every write when its clients come back"
    assert cluster.leader.id == "n3"

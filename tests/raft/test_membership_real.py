# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""raft_membership against real HashiCorp Raft, where an address change is the trap it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.daemon.clusters import STANDARD, Cluster, Daemon, eventually


@pytest.fixture
def change(run_module: Callable[..., dict[str, Any]], cluster: Cluster) -> Callable[..., dict[str, Any]]:
    def run(node: Daemon, **args: Any) -> dict[str, Any]:
        return run_module("raft_membership", {"urls": cluster.urls, "node_id": node.id, **args})

    return run


@pytest.fixture
def info(run_module: Callable[..., dict[str, Any]], cluster: Cluster) -> Callable[..., dict[str, Any]]:
    def run(**wait_for: Any) -> dict[str, Any]:
        return run_module("raft_info", {"urls": cluster.urls, "wait_for": wait_for, "wait_timeout": 20})

    return run


def moved(node: Daemon) -> str:
    return f"{node.host}:{STANDARD['raft']}"


def voters(result: dict[str, Any]) -> dict[str, str]:
    return {member["id"]: member["address"] for member in result["members_after"] if member["voter"]}


def move(cluster: Cluster, node: Daemon, change: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Restart a node on the standard ports, a pod's start later, while the module waits for it."""
    node.stop()
    timer = threading.Timer(0.7, node.start, [STANDARD])
    timer.start()
    try:
        return change(node, address=moved(node), replace=True, wait_for_listener=20, wait_caught_up=20)
    finally:
        timer.join()


def test_a_plain_update_reaches_a_moved_follower(cluster, change):
    """With HashiCorp Raft from 1.2 on. Older ones need `replace`, and which one a daemon has cannot be seen from outside."""
    node = cluster.nodes[1]
    node.stop()
    node.start(STANDARD)
    result = change(node, address=moved(node), wait_for_listener=10, wait_caught_up=20)

    assert result["changed"] is True, result
    assert voters(result)["n2"] == moved(node)
    assert node.status()["leader"] == cluster.leader.address
    cluster.write(5)
    eventually(lambda: len(cluster.names(node)) == 5, "the moved node has every write")


def test_replace_moves_a_follower_and_leadership_stays(cluster, change, info, profile):
    cluster.write(20)
    before = info(caught_up=True)
    node = cluster.nodes[1]
    result = move(cluster, node, change)

    assert result["changed"] is True, result
    assert voters(result) == {"n1": cluster.nodes[0].address, "n2": moved(node), "n3": cluster.nodes[2].address}
    after = info(caught_up=True, voters=3)
    assert (after["leader"]["id"], after["term"]) == ("n1", before["term"]), "no election was needed"
    cluster.write(5)
    eventually(lambda: len(cluster.names(node)) == 25, "the moved node has every write")
    added = [step["step"].rsplit(" ", 1)[1] for step in result["steps"] if step["step"].startswith("add")]
    assert added == (["learner", "voter"] if profile == "full" else ["voter"])
    assert change(node, address=moved(node), replace=True)["changed"] is False


def test_a_whole_cluster_moves_under_writes_and_none_is_lost(cluster, change, info, profile):
    stop, faults = threading.Event(), []

    def write() -> None:
        try:
            while not stop.is_set():
                cluster.write()
        except AssertionError as error:
            faults.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for node in cluster.nodes[1:]:
            assert move(cluster, node, change)["changed"] is True
        if profile == "full":
            handed = change(cluster.nodes[1], state="leader")
            assert handed["leader_after"]["id"] == "n2", handed
        # In profile upstream the leader is moved by stopping it: the module finds the next one by itself.
        assert move(cluster, cluster.nodes[0], change)["changed"] is True
    finally:
        stop.set()
        writer.join()
    assert not faults
    result = info(caught_up=True, voters=3)
    assert {member["address"] for member in result["members"]} == {moved(node) for node in cluster.nodes}
    wanted = {f"write-{number}" for number in range(1, cluster.count + 1)}
    for node in cluster.nodes:
        eventually(lambda node=node: cluster.names(node) >= wanted, f"{node.id} has all {cluster.count} writes")


def test_the_leader_is_updated_and_returns_at_its_new_address(cluster, change, info):
    leader = cluster.nodes[0]
    result = change(leader, address=moved(leader), replace=True)
    assert voters(result)["n1"] == moved(leader)
    assert result["leader_after"]["id"] == "n1", "it leads on, at its old address, until it is restarted"

    leader.stop()
    leader.start(STANDARD)
    result = info(caught_up=True, voters=3)
    assert result["unanswered"], "the old ports are silent"
    assert leader.status()["leader"] == result["leader"]["address"]


def test_nothing_changes_while_another_voter_is_down(cluster, change):
    cluster.nodes[2].stop()
    began = time.monotonic()
    result = change(cluster.nodes[1], state="absent", wait_caught_up=1)
    assert result["failed"] is True
    assert result["changed"] is False
    assert "n3" in result["msg"]
    assert time.monotonic() - began < 60 / 2, "beside the 60 s of wait_caught_up by default"


def test_a_removed_member_can_be_added_again(cluster, change):
    node = cluster.nodes[2]
    assert change(node, state="absent")["changed"] is True
    cluster.write(3)
    result = change(node, address=node.address, wait_for_listener=5, wait_caught_up=20)
    assert voters(result)["n3"] == node.address, result
    eventually(lambda: len(cluster.names(node)) == 3, "it has what was written without it")

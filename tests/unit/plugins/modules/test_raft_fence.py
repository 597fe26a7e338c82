# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from fake_raft import FakeCluster


def test_check_mode_predicts_what_then_happens(run_module, cluster: FakeCluster) -> None:
    wanted = {"urls": cluster.urls, "enabled": True}
    predicted = run_module("raft_fence", wanted, check_mode=True, diff=True)
    assert not any(node.read_only for node in cluster.nodes.values())
    done = run_module("raft_fence", wanted, diff=True)
    assert all(node.read_only for node in cluster.nodes.values())
    assert {key: predicted[key] for key in ("changed", "before", "after", "diff")} == {
        key: done[key] for key in ("changed", "before", "after", "diff")
    }
    assert done["changed"]


def test_a_second_run_changes_nothing(run_module, cluster: FakeCluster) -> None:
    wanted = {"urls": cluster.urls, "enabled": True}
    run_module("raft_fence", wanted)
    cluster.calls.clear()
    again = run_module("raft_fence", wanted)
    assert again["changed"] is False
    assert [call for call in cluster.calls if call[0] == "PUT"] == []


def test_only_fenced_nodes_are_unfenced(run_module, cluster: FakeCluster) -> None:
    cluster.nodes["n2"].read_only = True
    done = run_module("raft_fence", {"urls": cluster.urls, "enabled": False})
    assert done["changed"]
    assert sum(done["before"].values()) == 1
    assert not cluster.nodes["n2"].read_only


def test_a_release_without_the_call_fails_and_changes_nothing(run_module, cluster: FakeCluster) -> None:
    cluster.profile = "upstream"
    refused = run_module("raft_fence", {"urls": cluster.urls, "enabled": True})
    assert refused["failed"]
    assert refused["failure"]["status"] == 404
    assert not any(node.read_only for node in cluster.nodes.values())


def test_a_silent_node_fails_with_its_url(run_module, cluster: FakeCluster) -> None:
    cluster.nodes["n3"].alive = False
    refused = run_module("raft_fence", {"urls": cluster.urls, "enabled": True})
    assert refused["failed"]
    assert refused["failure"]["url"] == cluster.nodes["n3"].url
    # Nothing is set before every node has been asked.
    assert not any(node.read_only for node in cluster.nodes.values())


def test_a_failure_tells_of_the_nodes_that_were_changed(run_module, cluster: FakeCluster) -> None:
    for node in cluster.nodes.values():
        node.read_only = True
    cluster.before_change = lambda node, _method, _call: (500, {"error": "disk full"}) if node.id == "n3" else None
    done = run_module("raft_fence", {"urls": cluster.urls, "enabled": False})
    assert done["failed"]
    assert done["changed"] is True
    assert list(done["before"].values()) == [True, True, True]
    assert list(done["after"].values()) == [False, False, True]


def test_to_open_one_silent_node_does_not_keep_the_others_closed(run_module, cluster: FakeCluster) -> None:
    """It restarts, and is asked again; writes wait for none of it."""
    for node in cluster.nodes.values():
        node.read_only = True
    cluster.nodes["n1"].alive = False
    refused = run_module("raft_fence", {"urls": cluster.urls, "enabled": False})
    assert refused["failed"]
    assert refused["failure"]["url"] == cluster.nodes["n1"].url
    assert [node.read_only for node in cluster.nodes.values()] == [True, False, False]

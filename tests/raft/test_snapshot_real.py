# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""raft_snapshot against the snapshots that real HashiCorp Raft takes and restores."""

from __future__ import annotations

import sqlite3

import pytest
from standin import Cluster, eventually


@pytest.fixture
def take(run_module, cluster: Cluster, tmp_path):
    def run(number: int = 0, **args):
        node = cluster.nodes[number]
        options = {
            "url": f"http://{node.host}:{node.ports['rest']}",
            "raft_dir": str(node.raft_dir),
            "dest": str(tmp_path / "copy"),
            **args,
        }
        return run_module("raft_snapshot", options)

    return run


def test_the_leaders_snapshot_is_its_state(cluster, take, profile, tmp_path):
    cluster.write(10)
    result = take()
    if profile == "upstream":
        assert result["found"] is False, "today's releases have taken none yet"
        return
    assert (result["taken_by"], result["crc_ok"], result["changed"]) == ("api", True, True)
    assert [one["id"] for one in result["members"]] == ["n1", "n2", "n3"]
    with sqlite3.connect(tmp_path / "copy" / "state.bin") as database:
        assert database.execute("SELECT count(*) FROM nodes").fetchone() == (10,)


def test_a_followers_snapshot_may_be_taken_as_well(cluster, take, profile):
    cluster.write(3)
    eventually(lambda: len(cluster.names(cluster.nodes[1])) == 3, "n2 has applied the writes")
    assert take(1)["found"] is (profile == "full")


def test_a_restore_brings_every_node_back(cluster, take, run_module, profile, tmp_path):
    if profile == "upstream":
        result = run_module(
            "raft_snapshot", {"state": "restored", "urls": cluster.urls, "src": str(tmp_path / "n1" / "config.yaml")}
        )
        assert "no call to restore" in result["msg"]
        return
    cluster.write(10)
    assert take()["found"] is True
    cluster.write(5)
    result = run_module(
        "raft_snapshot", {"state": "restored", "urls": cluster.urls, "src": str(tmp_path / "copy" / "state.bin")}
    )
    assert result["changed"] is True, result
    # The module has waited for all of them: no more waiting here.
    assert [len(cluster.names(node)) for node in cluster.nodes] == [10, 10, 10]
    cluster.write(1)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""raft_snapshot against the snapshots that real HashiCorp Raft takes and restores."""

from __future__ import annotations

import http.client
import signal
import sqlite3
from pathlib import Path

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._raft import snapshot_request, snapshots

from tests.daemon.clusters import Cluster, Daemon, eventually


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
    assert [member["id"] for member in result["members"]] == ["n1", "n2", "n3"]
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


@pytest.mark.parametrize("profile", ["full"], indirect=True)
def test_a_state_damaged_while_it_is_sent_is_not_restored(cluster, take, run_module, monkeypatch, tmp_path):
    """Most of it has been sent by then; the daemon never has the end."""
    cluster.write(3)
    for number in range(10):
        status, _answer = cluster.leader.ask("POST", "/api/v1/clusters", {"name": f"c{number}", "note": "x" * 200_000})
        assert status == 201
    assert take(link=True)["found"] is True
    copy = tmp_path / "copy" / "state.bin"
    # The daemon's own file has mode 0644.
    assert (copy.stat().st_nlink, copy.stat().st_mode & 0o777) == (1, 0o600)
    cluster.write(2)
    sent: list[int] = []
    whole = snapshots.CheckedState.read

    def damaged(state, size=-1):
        part = whole(state, size)
        sent.append(len(part))
        if sum(sent) > 1 << 20:
            with copy.open("r+b") as file:
                file.seek(-5000, 2)
                file.write(bytes(5000))
        return part

    options = {"state": "restored", "urls": cluster.urls, "src": str(copy), "wait_timeout": 5}
    settle = snapshot_request.settle

    def before(session, timeout):
        settle(session, timeout)
        monkeypatch.setattr(snapshots.CheckedState, "read", damaged)

    monkeypatch.setattr(snapshot_request, "settle", before)
    result = run_module("raft_snapshot", options)
    assert "is not what meta.json says" in result["msg"]
    assert sum(sent) > 1 << 20
    monkeypatch.undo()
    cluster.write(1)
    eventually(lambda: level(cluster), "all have applied the writes")
    assert [len(cluster.names(node)) for node in cluster.nodes] == [6, 6, 6]
    again = take(link=True)
    assert (again["crc_ok"], again["taken_by"]) == (True, "api")
    assert run_module("raft_snapshot", options)["changed"] is True


def restore_raw(node: Daemon, state: Path) -> int:
    """As a client that checks nothing beforehand: the status."""
    connection = http.client.HTTPConnection(node.host, node.ports["rest"], timeout=30)
    try:
        connection.request("POST", "/api/v1/raft/restore", body=state.read_bytes())
        return connection.getresponse().status
    finally:
        connection.close()


def level(cluster) -> bool:
    """Whether all have applied as much as any other. The index alone counts entries that wait for the database."""
    applied = {node.status().get("raft_stats", {}).get("applied_index") for node in cluster.nodes}
    return len(applied) == 1 and len({frozenset(cluster.names(node)) for node in cluster.nodes}) == 1


def signalled(node: Daemon, number: signal.Signals) -> None:
    assert node.process is not None
    node.process.send_signal(number)


def depose_during_restore(cluster: Cluster, state: Path, others_die: bool = False) -> Daemon:
    """Stop the others while the leader restores, so that one of them leads next; returns the one that led, which is stopped.

    What it had sent may reach the others after all, from their sockets' buffers, unless they die and start anew.
    """
    deposed = cluster.leader
    others = [node for node in cluster.nodes if node is not deposed]
    for node in others:
        if others_die:
            node.stop(signal.SIGKILL)
        else:
            signalled(node, signal.SIGSTOP)
    assert restore_raw(deposed, state) == 503
    signalled(deposed, signal.SIGSTOP)
    for node in others:
        if others_die:
            node.start()
        else:
            signalled(node, signal.SIGCONT)
    eventually(lambda: any(node.status().get("is_leader") for node in others), "another one leads")
    return deposed


@pytest.fixture
def state(cluster, take, tmp_path) -> Path:
    """A snapshot's, restored once, as in transfer: from here on the others' logs begin with a snapshot."""
    cluster.write(5)
    assert take()["found"] is True
    taken: Path = tmp_path / "copy" / "state.bin"
    restored_once(cluster, taken)
    return taken


def restored_once(cluster: Cluster, state: Path) -> None:
    assert restore_raw(cluster.leader, state) == 200
    cluster.write(3)
    eventually(lambda: level(cluster), "all have applied the writes")


@pytest.mark.parametrize("profile", ["full"], indirect=True)
def test_a_leader_deposed_during_restore_lags_until_a_snapshot(cluster, run_module, state):
    """What HashiCorp Raft does without help: without the snapshot this ends when the disk is full."""
    options = {"state": "caught_up", "urls": cluster.urls, "wait_timeout": 10}
    for attempt in range(5):
        if attempt:
            # It came back by itself. Begin as the first time, with logs of the others that begin with a snapshot.
            restored_once(cluster, state)
        deposed = depose_during_restore(cluster, state)
        signalled(deposed, signal.SIGCONT)
        assert cluster.leader is not deposed
        if run_module("raft_snapshot", options, check_mode=True)["changed"]:
            break
    else:
        pytest.fail("it came back by itself each time, so there was nothing to free")
    log = deposed.folder / "log"
    assert "failed to get previous log" in log.read_text()

    result = run_module("raft_snapshot", options)
    assert result["changed"] is True, result
    assert any(reason.startswith(f"{deposed.id} ") for reason in result["behind"])
    cluster.write(2)
    eventually(lambda: level(cluster), "all have applied the writes")
    size = log.stat().st_size
    cluster.write(1)
    eventually(lambda: level(cluster), "all have applied the write")
    assert log.read_text()[size:].count("Installed remote snapshot") == 0


@pytest.mark.parametrize("profile", ["full"], indirect=True)
def test_a_leader_deposed_during_restore_is_behind_whatever_its_index(cluster, run_module, state):
    """Its own entries have the numbers of those that the others have, so by its index it has caught up. The next restore levels all."""
    deposed = depose_during_restore(cluster, state, others_die=True)
    signalled(deposed, signal.SIGCONT)
    assert cluster.leader is not deposed
    options = {"state": "caught_up", "urls": cluster.urls, "wait_timeout": 10}
    seen = run_module("raft_snapshot", options, check_mode=True)
    assert seen["changed"] is True
    assert any(reason.startswith(f"{deposed.id} ") for reason in seen["behind"]), seen
    assert run_module("raft_snapshot", options)["changed"] is True
    restored_once(cluster, state)


@pytest.mark.parametrize("profile", ["full"], indirect=True)
def test_a_deposed_leader_that_is_away_comes_back_to_a_newer_snapshot(cluster, run_module, state):
    """As a Pi that loses power while it restores. Sent older snapshots without an end, it has filled a disk of 1 GB within half a minute."""
    deposed = depose_during_restore(cluster, state)
    result = run_module("raft_snapshot", {"state": "caught_up", "urls": cluster.urls, "wait_timeout": 10})
    assert result["changed"] is True, result
    size = (deposed.folder / "log").stat().st_size
    signalled(deposed, signal.SIGCONT)
    cluster.write(2)
    eventually(lambda: level(cluster), "all have applied the writes")
    assert (deposed.folder / "log").read_text()[size:].count("Installed remote snapshot") <= 2

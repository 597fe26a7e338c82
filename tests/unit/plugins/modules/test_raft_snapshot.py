# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

REAL = Path(__file__).parents[1] / "module_utils" / "fixtures" / "filesnapshotstore"
REAL_ID = "7-1234-1795591827688"


@pytest.fixture
def take(run_module, raft_dir, tmp_path):
    def run(*, check_mode: bool = False, diff: bool = False, **args):
        options = {"raft_dir": str(raft_dir), "dest": str(tmp_path / "dest"), **args}
        return run_module("raft_snapshot", options, check_mode=check_mode, diff=diff)

    return run


def takes_snapshots(raft_dir: Path, name: str, path: bool = True):
    """Make the fake daemon take a snapshot called `name` when asked."""

    def answer(_node, _method, call):
        if call != "snapshot":
            return None
        folder = raft_dir / "snapshots" / name
        shutil.copytree(raft_dir / "snapshots" / REAL_ID, folder)
        meta = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(json.dumps({**meta, "ID": name, "Index": 2000}))
        return 200, {"id": name, "index": 2000, "term": 7, "size": 1003, "path": str(folder) if path else None}

    return answer


def test_copies_the_newest_of_the_folder(take, tmp_path):
    result = take()
    assert result["changed"] is True
    assert (result["found"], result["id"], result["index"], result["term"]) == (True, REAL_ID, 1234, 7)
    assert (result["taken_by"], result["state_size"], result["crc_ok"]) == ("folder", 1003, True)
    assert result["members"][2] == {"id": "pi-3", "address": "10.77.0.13:9091", "voter": False}
    assert (tmp_path / "dest" / "state.bin").stat().st_size == 1003


def test_a_second_copy_of_the_same_changes_nothing(take):
    take()
    assert take()["changed"] is False


def test_a_copy_that_has_rotted_is_made_again(take, tmp_path):
    take()
    (tmp_path / "dest" / "state.bin").write_bytes(b"rot")
    assert take()["changed"] is True
    assert (tmp_path / "dest" / "state.bin").stat().st_size == 1003


@pytest.mark.parametrize("path", [True, False])
def test_asks_a_daemon_that_can(take, cluster, raft_dir, path):
    cluster.before_change = takes_snapshots(raft_dir, "7-2000-1", path)
    result = take(url=cluster.urls[1])
    assert (result["id"], result["index"], result["taken_by"]) == ("7-2000-1", 2000, "api")


def test_a_daemon_with_nothing_new_to_snapshot_has_a_good_one(take, cluster):
    cluster.before_change = lambda *_call: (500, {"error": "nothing new to snapshot"})
    result = take(url=cluster.urls[0])
    assert (result["id"], result["taken_by"]) == (REAL_ID, "folder")


def test_another_refusal_is_a_failure_and_no_silent_fallback(take, cluster):
    cluster.before_change = lambda *_call: (500, {"error": "disk full"})
    result = take(url=cluster.urls[0])
    assert result["failed"] is True
    assert "disk full" in result["msg"]


def test_todays_releases_are_not_asked(take, cluster):
    cluster.profile = "upstream"
    result = take(url=cluster.urls[0])
    assert result["taken_by"] == "folder"
    assert cluster.changes == []


def test_a_snapshot_on_another_host_does_not_count(take, cluster):
    cluster.before_change = lambda *_call: (200, {"id": "7-2000-1", "path": "/elsewhere/7-2000-1"})
    result = take(url=cluster.urls[0])
    assert result["failed"] is True
    assert "not on this host" in result["msg"]


def test_none_yet_is_an_answer(take, tmp_path):
    empty = str(tmp_path / "empty")
    result = take(raft_dir=empty)
    assert (result["changed"], result["found"]) == (False, False)
    assert "no snapshot has been taken" in result["msg"]


def test_a_damaged_snapshot_fails_and_leaves_no_copy(take, raft_dir, tmp_path):
    (raft_dir / "snapshots" / REAL_ID / "state.bin").write_bytes(b"x" * 1003)
    result = take()
    assert result["failed"] is True
    assert result["crc_ok"] is False
    assert result["changed"] is False
    assert not (tmp_path / "dest" / "state.bin").exists()


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_snapshot_that_was_just_taken_is_used_again(take, cluster, tmp_path, check_mode):
    first = tmp_path / "first"
    take(dest=str(first), link=True)
    result = take(url=cluster.urls[0], link=True, reuse=str(first), check_mode=check_mode)
    assert cluster.changes == []
    assert (result["id"], result["taken_by"], result["crc_ok"]) == (REAL_ID, "reuse", True)
    if not check_mode:
        assert (tmp_path / "dest" / "state.bin").samefile(first / "state.bin")


@pytest.mark.parametrize("damage", ["gone", "rotten"])
def test_a_snapshot_that_is_no_longer_sound_is_not_used_again(take, cluster, raft_dir, tmp_path, damage):
    first = tmp_path / "first"
    if damage == "rotten":
        take(dest=str(first))
        (first / "state.bin").write_bytes(b"x" * 1003)
    cluster.before_change = takes_snapshots(raft_dir, "7-2000-1")
    result = take(url=cluster.urls[0], reuse=str(first))
    assert (result["id"], result["taken_by"]) == ("7-2000-1", "api")
    assert len(result.get("warnings", [])) == (damage == "rotten")


def test_check_mode_copies_nothing_and_says_what_it_would(take, tmp_path):
    result = take(check_mode=True, diff=True)
    assert (result["changed"], result["crc_ok"]) == (True, True)
    assert result["diff"] == {"before": {"id": None}, "after": {"id": REAL_ID}}
    assert not (tmp_path / "dest").exists()
    take()
    assert take(check_mode=True)["changed"] is False


def test_check_mode_asks_no_daemon_for_a_snapshot(take, cluster):
    assert take(check_mode=True, url=cluster.urls[0])["changed"] is True
    assert cluster.changes == []


@pytest.fixture
def restore(run_module, cluster):
    def run(src: Path, *, check_mode: bool = False, **args):
        options = {"state": "restored", "urls": cluster.urls, "src": str(src), "wait_timeout": 2, "wait_leader": 1}
        return run_module("raft_snapshot", {**options, **args}, check_mode=check_mode, diff=True)

    return run


def test_restores_through_the_leader_and_waits_for_all(restore, cluster):
    src = REAL / "snapshots" / REAL_ID / "state.bin"
    cluster.nodes["n3"].pending = 4
    result = restore(src)
    assert cluster.restored == src.read_bytes()
    assert (result["changed"], result["leader"]["id"], result["index"]) == (True, "n1", cluster.commit)
    assert cluster.nodes["n3"].applied == cluster.commit


def test_a_learner_has_to_apply_it_as_well(restore, cluster):
    cluster.members["n3"] = ("127.0.2.3:9092", False)
    cluster.nodes["n3"].pending = 10**6
    result = restore(REAL / "snapshots" / REAL_ID / "state.bin", wait_timeout=0.3)
    assert result["failed"] is True
    assert result["changed"] is True
    assert "n3" in result["msg"]


def test_a_damaged_state_is_not_sent(restore, cluster, raft_dir):
    state = raft_dir / "snapshots" / REAL_ID / "state.bin"
    state.write_bytes(b"x" * 1003)
    assert restore(state)["failed"] is True
    assert cluster.changes == []


def test_a_release_without_the_call_is_not_asked(restore, cluster):
    cluster.profile = "upstream"
    result = restore(REAL / "snapshots" / REAL_ID / "state.bin")
    assert result["failed"] is True
    assert "no call to restore" in result["msg"]
    assert cluster.changes == []


def test_check_mode_restores_nothing(restore, cluster):
    result = restore(REAL / "snapshots" / REAL_ID / "state.bin", check_mode=True)
    assert result["changed"] is True
    assert cluster.changes == []
    assert result["diff"]["before"] == {"state": f"as of index {cluster.commit}"}


def test_a_file_that_is_not_there_is_named(restore, tmp_path):
    assert str(tmp_path / "no") in restore(tmp_path / "no")["msg"]


def test_a_leader_that_cannot_see_the_others_may_restore_alone(run_module, cluster, raft_dir):
    src = raft_dir / "snapshots" / REAL_ID / "state.bin"
    for node in ("n2", "n3"):
        cluster.nodes[node].alive = False
    result = run_module(
        "raft_snapshot", {"state": "restored", "alone": True, "url": cluster.nodes["n1"].url, "src": str(src)}
    )
    assert not result.get("failed"), result
    assert cluster.restored == src.read_bytes()


def test_a_follower_does_not_restore_alone(run_module, cluster, raft_dir):
    src = raft_dir / "snapshots" / REAL_ID / "state.bin"
    result = run_module(
        "raft_snapshot", {"state": "restored", "alone": True, "url": cluster.nodes["n2"].url, "src": str(src)}
    )
    assert result["failed"]
    assert "does not lead" in result["msg"]
    assert cluster.restored is None


@pytest.fixture
def free(run_module, cluster):
    def run(*, check_mode: bool = False, **args):
        options = {"state": "caught_up", "urls": cluster.urls, "patience": 0.2, "wait_timeout": 0.5, "wait_leader": 1}
        return run_module("raft_snapshot", {**options, **args}, check_mode=check_mode, diff=True)

    return run


def stuck(cluster, node_id: str, *, until_snapshot: bool = True) -> None:
    """It hears the leader and applies nothing; a new snapshot of the leader frees it, or does not."""
    cluster.nodes[node_id].applied, cluster.nodes[node_id].pending = 9, 10**6

    def answer(node, _method, call):
        if call != "snapshot":
            return None
        assert node.id == cluster.leader, "no follower's snapshot is sent to others"
        if until_snapshot:
            cluster.nodes[node_id].pending = 0
        return 200, {"id": REAL_ID, "index": cluster.commit, "term": 7, "size": 1003, "path": None}

    cluster.before_change = answer


def snapshots_asked_for(cluster) -> int:
    return sum(path.endswith("/snapshot") for _method, path, _body in cluster.changes)


def test_no_snapshot_is_taken_while_no_member_is_behind(free, cluster):
    result = free()
    assert (result["changed"], result["behind"], cluster.changes) == (False, [], [])


def test_a_member_that_only_takes_its_time_is_given_it(free, cluster):
    cluster.nodes["n3"].applied, cluster.nodes["n3"].pending = 9, 2
    assert free()["changed"] is False
    assert cluster.changes == []


def test_a_member_left_behind_is_freed_by_a_snapshot_of_the_leader(free, cluster):
    stuck(cluster, "n3")
    result = free()
    assert not result.get("failed"), result
    assert (result["changed"], snapshots_asked_for(cluster)) == (True, 1)
    assert result["behind"] == [f"n3 (127.0.2.3:9092): applied 9, wanted {cluster.commit}"]
    assert free()["changed"] is False


def test_a_member_that_a_snapshot_does_not_free_is_named(free, cluster):
    stuck(cluster, "n3", until_snapshot=False)
    result = free()
    assert result["failed"]
    assert "still behind" in result["msg"]
    assert "n3" in result["msg"]


def test_a_leader_gets_ahead_of_a_member_that_is_away(free, cluster):
    stuck(cluster, "n3")
    cluster.nodes["n3"].alive = False
    result = free(check_mode=True)
    assert (result["changed"], cluster.changes) == (True, [])
    result = free()
    assert result["behind"] == ["n3 (127.0.2.3:9092): does not answer"]
    assert (result["changed"], snapshots_asked_for(cluster)) == (True, 8)


def test_a_release_without_snapshots_is_not_asked_for_one(free, cluster):
    stuck(cluster, "n3")
    cluster.profile = "upstream"
    assert (free()["changed"], cluster.changes) == (False, [])


def test_check_mode_predicts_that_a_member_will_be_freed(free, cluster):
    stuck(cluster, "n3")
    assert (free(check_mode=True)["changed"], cluster.changes) == (True, [])
    assert free()["changed"] is True

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import databases
import pytest
from conftest import import_plugin
from fake_raft import FakeCluster

Moment = import_plugin("module_utils._gate.lease").Moment
carry_steps = import_plugin("module_utils._raft.carry")
proof = import_plugin("module_utils._sqlite.proof")
snapshots = import_plugin("module_utils._raft.snapshots")
# The servers of the fake clusters are threads of this process; on a Pi the module is a process of its own.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
REAL = Path(__file__).parents[1] / "module_utils" / "fixtures" / "filesnapshotstore"
REAL_ID = "7-1234-1795591827688"
WAIT_TIMEOUT = 3


@pytest.fixture
def old() -> Iterator[FakeCluster]:
    one = FakeCluster.start(3)
    yield one
    one.stop()


@pytest.fixture
def new() -> Iterator[FakeCluster]:
    one = FakeCluster.start(3)
    yield one
    one.stop()


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(proof, "WORTH_A_PROCESS", 0)
    return databases.make(tmp_path / "pi-controller.db")


@pytest.fixture
def carry(run_module, old: FakeCluster, new: FakeCluster, raft_dir: Path, tmp_path: Path, database: Path):
    term = old.term

    def run(since=None):
        return run_module(
            "raft_carry",
            {
                "url": old.nodes["n1"].url,
                "from_urls": old.urls,
                "to_urls": new.urls,
                "raft_dir": str(raft_dir),
                "dest": str(tmp_path / "copy"),
                "database": str(database),
                "term": term,
                "exclude_tables": ["raft_applied"],
                "wait_timeout": WAIT_TIMEOUT,
                "wait_leader": 1,
                "lease": {"seconds": 60, "since": since or Moment.now().as_dict()},
            },
        )

    return run


def fenced_when_asked(old: FakeCluster, seen: list[bool]):
    """Answer for a snapshot, noting whether every node refused writes by then."""

    def answer(_node, _method, call):
        if call != "snapshot":
            return None
        seen.append(all(node.read_only for node in old.nodes.values()))
        return 200, {"id": REAL_ID, "index": 1234, "term": 7, "size": 1003, "path": None}

    return answer


def test_every_node_is_fenced_before_the_state_is_taken(carry, old, new, raft_dir, tmp_path):
    fenced: list[bool] = []
    old.before_change = fenced_when_asked(old, fenced)
    result = carry()
    assert not result.get("failed"), result
    assert fenced == [True]
    assert new.restored == (raft_dir / "snapshots" / REAL_ID / "state.bin").read_bytes()
    assert (result["id"], result["state_size"], result["changed"]) == (REAL_ID, 1003, True)
    assert list(result["steps"]) == ["fenced", "taken", "restored", "read"]
    kept = tmp_path / "copy" / "state.bin"
    assert kept.read_bytes() == new.restored
    assert [path.stat().st_mode & 0o777 for path in (kept, kept.parent)] == [0o600, 0o700]


def test_what_it_holds_is_read_after_the_state_was_carried(carry, run_module, old, new, database):
    """A write that was acknowledged just before the fence, and reaches the database after the snapshot, has to show."""
    old.before_change = fenced_when_asked(old, [])

    def late(_node, _method, call):
        if call == "restore":
            databases.execute(database, "INSERT INTO gpio VALUES ('late', 1)")

    new.before_change = late
    result = carry()
    assert databases.execute(database, "SELECT count(*) FROM gpio WHERE name = 'late'") == [(1,)]
    info = run_module("sqlite_info", {"path": str(database), "exclude_tables": ["raft_applied"]})
    assert result["digest"] == info["digest"]


@pytest.mark.parametrize("aware", [True, False], ids=["it follows", "it has not noticed"])
def test_a_leader_that_moved_since_the_look_is_not_carried_from(carry, old, new, aware):
    """What the next one has acknowledged since then, this one may not have."""
    answer = fenced_when_asked(old, [])

    def moves(node, method, call):
        if call == "read-only" and old.leader == "n1":
            old.elect("n2")
            old.nodes["n1"].stalled = not aware
        return answer(node, method, call)

    old.before_change = moves
    result = carry()
    assert result["failed"]
    assert "leadership of the old cluster moved" in result["msg"]
    assert "snapshot" not in [path.rsplit("/", 1)[-1] for _method, path, _body in old.changes]
    assert new.restored is None


def test_a_cluster_that_cannot_take_it_costs_no_fence(carry, old, new):
    new.elect(None)
    new.leader = None
    old.before_change = fenced_when_asked(old, [])
    result = carry()
    assert result["failed"]
    assert not any(node.read_only for node in old.nodes.values())


@pytest.mark.parametrize("late", [{"seconds": -61}, {"boot": "another"}], ids=["too late", "rebooted"])
def test_no_node_is_fenced_that_no_lease_would_open_again(carry, old, late):
    now = Moment.now().as_dict()
    result = carry(since={**now, **late, "seconds": now["seconds"] + late.get("seconds", 0)})
    assert result["failed"]
    assert "a fence could outlast the lease" in result["msg"]
    assert not any(node.read_only for node in old.nodes.values())


def test_fences_that_took_too_long_are_no_pause(carry, old):
    """The run opens them again; what was fenced late its lease opens at once."""
    began = Moment.now()

    def slow(_node, _method, call):
        if call == "read-only":
            while Moment.now().seconds - began.seconds < 1:
                pass

    old.before_change = slow
    result = carry(since={**began.as_dict(), "seconds": began.seconds - 59.5})
    assert result["failed"]
    assert [call for call in old.calls if call[1].endswith("/snapshot")] == []


def test_a_damaged_snapshot_is_not_restored(carry, old, new, raft_dir):
    old.before_change = fenced_when_asked(old, [])
    state = raft_dir / "snapshots" / REAL_ID / "state.bin"
    state.write_bytes(state.read_bytes()[:-1] + b"\x00")
    result = carry()
    assert result["failed"]
    assert new.restored is None


@pytest.mark.parametrize("linked", [True, False], ids=["linked", "copied"])
def test_a_state_that_is_damaged_before_it_is_sent_never_arrives(carry, old, new, tmp_path, monkeypatch, linked):
    """The other cluster is at rest, so the state is there under the name of a part; its last bytes are held back until all are checked."""
    old.before_change = fenced_when_asked(old, [])
    if not linked:
        monkeypatch.setattr(snapshots, "_linked", lambda *_: False)
    settle = carry_steps.settle

    def damage(session, timeout):
        settle(session, timeout)
        with (tmp_path / "copy" / ".state.bin.part").open("r+b") as file:
            file.write(b"another")

    monkeypatch.setattr(carry_steps, "settle", damage)
    result = carry()
    assert result["failed"]
    assert "is not what meta.json says" in result["msg"]
    assert new.restored is None
    assert list((tmp_path / "copy").iterdir()) == [], "nothing unverified gets a name"


def test_a_digest_counts_only_if_the_process_that_made_it_answers(carry, run_module, old, database, monkeypatch):
    old.before_change = fenced_when_asked(old, [])
    monkeypatch.setattr(proof, "_read_aside", lambda *_: os._exit(1))
    result = carry()
    assert (
        result["digest"]
        == run_module("sqlite_info", {"path": str(database), "exclude_tables": ["raft_applied"]})["digest"]
    )


def test_a_member_that_does_not_apply_it_is_named(carry, old, new):
    old.before_change = fenced_when_asked(old, [])

    def falls_behind(_node, _method, call):
        if call == "restore":
            new.nodes["n3"].pending = 10_000

    new.before_change = falls_behind
    result = carry()
    assert result["failed"]
    assert "restored, but not applied everywhere" in result["msg"]
    assert "n3" in result["msg"]


def test_writes_do_not_wait_for_a_cluster_in_an_election(carry, old, new):
    """It comes back from behind a partition at this very moment: the leader will be deposed, and a restore with it."""
    old.before_change = fenced_when_asked(old, [])
    new.sends_to["n3"] = "127.0.2.3:1"
    result = carry()
    assert result["failed"]
    assert "not restored, since the cluster is not at rest" in result["msg"]
    assert new.restored is None
    assert (result["changed"], result["steps"]) == (False, {})
    assert not any(node.read_only for node in old.nodes.values())


def test_writes_do_not_wait_long_for_a_member_that_goes_away(carry, old, new):
    """The kubelet starts a container again at once, or only after many seconds where it has ended before."""
    fenced = fenced_when_asked(old, [])

    def goes_away(node, method, call):
        if call == "read-only":
            new.sends_to["n3"] = "127.0.2.3:1"
        return fenced(node, method, call)

    old.before_change = goes_away
    result = carry()
    assert result["failed"]
    (waited,) = re.findall(r"not restored, since the cluster is not at rest after ([0-9.]+) s", result["msg"])
    assert float(waited) < WAIT_TIMEOUT
    assert new.restored is None
    assert list(result["steps"]) == ["fenced", "taken"]

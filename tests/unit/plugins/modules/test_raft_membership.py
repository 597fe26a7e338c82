# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._raft import membership
from conftest import import_plugin
from fake_raft import FakeCluster

raft_membership = import_plugin("modules.raft_membership")
lease_gate = import_plugin("module_utils._lease.gate")
failures = import_plugin("module_utils._core.failures")
NEW = "127.0.2.2:9091"
PATIENCE = 20.0
OPEN = {"state": "open", "established": "finish"}


@pytest.fixture(params=["full", "upstream"])
def cluster(request) -> Iterator[FakeCluster]:
    one = FakeCluster.start(3, profile=request.param)
    yield one
    one.stop()


@pytest.fixture
def full() -> Iterator[FakeCluster]:
    one = FakeCluster.start(3)
    yield one
    one.stop()


@pytest.fixture
def upstream() -> Iterator[FakeCluster]:
    one = FakeCluster.start(3, profile="upstream")
    yield one
    one.stop()


@pytest.fixture
def change(run_module):
    """Run raft_membership with short patience."""

    def run(cluster: FakeCluster, *, check_mode: bool = False, diff: bool = False, **args):
        options = {"urls": cluster.urls, "node_id": "n2", "wait_caught_up": 3, "wait_leader": 2, **args}
        given = {name: value for name, value in options.items() if value is not None}
        return run_module("raft_membership", given, check_mode=check_mode, diff=diff)

    return run


def members(result, key="members_after"):
    return {member["id"]: (member["address"], member["voter"]) for member in result[key]}


def test_replace_moves_a_member_the_leader_cannot_reach(change, cluster):
    cluster.nodes["n2"].listens = NEW
    result = change(cluster, address=NEW, replace=True)

    assert result["changed"] is True, result
    assert members(result, "members_before")["n2"] == ("127.0.2.2:9092", True)
    assert members(result)["n2"] == (NEW, True)
    assert cluster.sends_to["n2"] == NEW
    assert [step["step"] for step in result["steps"]][0] == "remove n2"
    assert result["leader_before"]["id"] == result["leader_after"]["id"] == "n1"


def test_an_address_update_waits_until_the_voter_caught_up(change, cluster):
    # The trap of HashiCorp Raft before 1.2: the configuration is right and the leader still sends elsewhere.
    cluster.nodes["n2"].listens = NEW
    result = change(cluster, address=NEW, wait_caught_up=0.5)

    assert result["failed"] is True
    assert result["changed"] is True
    assert members(result)["n2"] == (NEW, True)
    assert "replace=true" in result["failure"]["next_step"]


def test_replace_starts_over_with_a_member_the_leader_does_not_reach(change, cluster, monkeypatch):
    monkeypatch.setattr(membership, "SILENCE", 0.3)
    cluster.nodes["n2"].listens = NEW
    cluster.members["n2"] = (NEW, True)
    result = change(cluster, address=NEW, replace=True)

    assert result["changed"] is True
    assert cluster.changes[0][:2] == ("DELETE", "/api/v1/raft/members/n2")
    assert cluster.sends_to["n2"] == NEW


def test_with_learners_the_vote_comes_last(change, full):
    full.nodes["n2"].listens = NEW
    change(full, address=NEW, replace=True)
    assert [body.get("voter") for method, _path, body in full.changes if method == "POST"] == [False, True]


def test_todays_releases_are_not_sent_a_vote_field(change, upstream):
    upstream.nodes["n2"].listens = NEW
    change(upstream, address=NEW, replace=True)
    assert [body for method, _path, body in upstream.changes if method == "POST"] == [{"node_id": "n2", "address": NEW}]


def test_several_members_are_added_one_after_the_other(change, cluster):
    for name in ("n2", "n3"):
        del cluster.members[name], cluster.sends_to[name]
    wanted = {"n3": "127.0.2.3:9092", "n2": "127.0.2.2:9092"}
    predicted = change(cluster, node_id=None, members=wanted, check_mode=True)
    assert members(predicted) == {**members(predicted, "members_before"), **{n: (a, True) for n, a in wanted.items()}}
    assert cluster.changes == []

    result = change(cluster, node_id=None, members=wanted)
    assert {name: at for name, (at, _voter) in members(result).items()} == {"n1": "127.0.2.1:9092", **wanted}
    steps = [step["step"] for step in result["steps"]]
    assert steps.index("n3 has caught up") < next(number for number, step in enumerate(steps) if "add n2" in step)
    assert steps[-1] == "n2 has caught up"

    again = change(cluster, node_id=None, members=wanted)
    assert again["changed"] is False
    assert change(cluster, node_id=None, members={})["changed"] is False, "one pod alone has no others"


def test_several_members_stop_at_the_first_that_fails(change, cluster):
    for name in ("n2", "n3"):
        del cluster.members[name], cluster.sends_to[name]
    cluster.nodes["n2"].alive = False
    result = change(cluster, node_id=None, members={"n2": "127.0.2.2:9092", "n3": "127.0.2.3:9092"}, wait_caught_up=0.5)
    assert result["failed"] is True
    assert "n3" not in members(result)
    assert "'nowhere' is not a Raft address" in change(cluster, node_id=None, members={"n2": "nowhere"})["msg"]


def test_what_names_one_member_does_not_go_with_several(change, cluster):
    for more in ({"node_id": "n2"}, {"address": NEW}, {"state": "absent"}, {"state": "leader"}):
        options = {"node_id": None, "members": {"n2": NEW}, **more}
        assert change(cluster, **options)["failed"] is True, more


def test_a_second_run_changes_nothing(change, cluster):
    result = change(cluster, address="127.0.2.2:9092", replace=True)
    assert result["changed"] is False
    assert result["steps"][-1]["step"] == "n2 has caught up"
    assert cluster.changes == []


def test_a_run_killed_after_remove_is_continued_by_add(change, cluster):
    cluster.nodes["n2"].listens = NEW
    del cluster.members["n2"], cluster.sends_to["n2"]
    result = change(cluster, address=NEW, replace=True)

    assert members(result)["n2"] == (NEW, True)
    assert not [change for change in cluster.changes if change[0] == "DELETE"]


@pytest.mark.parametrize("trouble", ["down", "behind", "unheard"])
def test_nothing_changes_while_another_voter_is_unhealthy(change, cluster, trouble, monkeypatch):
    monkeypatch.setattr(membership, "SILENCE", 0.3)
    cluster.nodes["n2"].listens = NEW
    if trouble == "down":
        cluster.nodes["n3"].alive = False
        cluster.members["n2"] = ("127.0.2.2:9092", True)
        cluster.nodes["n2"].listens = "127.0.2.2:9092"
    elif trouble == "behind":
        cluster.commit += 5
        cluster.nodes["n3"].pending = 10**6
    else:
        cluster.sends_to["n3"] = "127.0.2.3:1"
        cluster.nodes["n2"].listens = "127.0.2.2:9092"
    result = change(cluster, address=NEW, replace=True, wait_caught_up=0.3, wait_leader=0.5)

    assert result["failed"] is True
    assert cluster.changes == []
    assert "n3" in result["msg"]
    assert result["failure"]["next_step"]


def test_the_leader_is_only_readdressed(change, cluster):
    result = change(cluster, node_id="n1", address="127.0.2.1:9091", replace=True)

    assert result["changed"] is True
    assert [change[0] for change in cluster.changes] == ["POST"]
    assert members(result)["n1"] == ("127.0.2.1:9091", True)


def test_a_leader_that_restarts_is_followed_to_its_new_address(change, cluster):
    # Its successor came to power after the update, and knows the new address.
    new, node = "127.0.2.1:9091", cluster.nodes["n1"]

    def restart() -> None:
        node.listens = new
        cluster.elect("n3")

    timer = threading.Timer(0.4, restart)
    with socket.create_server(("127.0.2.1", 9091)):
        timer.start()
        result = change(cluster, node_id="n1", address=new, replace=True, wait_for_listener=2)
        timer.join()
    assert [change[0] for change in cluster.changes] == ["POST"]
    assert members(result)["n1"] == (new, True)


def test_a_deposed_leader_is_replaced_like_any_member(change, cluster, monkeypatch):
    # Its successor was in power already when the update came, and goes on sending to the old address.
    monkeypatch.setattr(membership, "SILENCE", 0.3)
    new, node = "127.0.2.1:9091", cluster.nodes["n1"]

    def depose(asked, _method, _path):
        if asked is node and cluster.leader == "n1":
            node.listens = new
            cluster.elect("n2")
            return 503, {"error": "leadership lost"}
        return None

    cluster.before_change = depose
    with socket.create_server(("127.0.2.1", 9091)):
        result = change(cluster, node_id="n1", address=new, replace=True, wait_for_listener=2)
    assert "remove n1" in [step["step"] for step in result["steps"]], result
    assert cluster.sends_to["n1"] == new
    assert result["leader_after"]["id"] == "n2"


def test_a_member_that_comes_to_lead_is_not_removed(change, cluster):
    def crown(_node, method, _path):
        if method == "DELETE" and cluster.leader == "n1":
            cluster.elect("n2")

    cluster.before_change = crown
    result = change(cluster, state="absent")
    assert result["failed"] is True
    assert "never removed" in result["msg"]
    assert "n2" in cluster.members


def test_what_is_refused_here_is_not_tried_again(change, cluster, monkeypatch):
    """It would end the same way, and the next step would be lost."""

    def removed(session, node_id):
        session.change(
            f"remove {node_id}",
            lambda _client: (_ for _ in ()).throw(session._never_removed(node_id)),
            lambda _view: False,
        )

    monkeypatch.setattr(membership.MembershipChange, "_remove", removed)
    patience = 60
    began = time.monotonic()
    result = change(cluster, state="absent", wait_leader=patience)
    assert "never removed" in result["msg"]
    assert "hand leadership over first" in result["msg"]
    assert time.monotonic() - began < patience / 2


def test_a_member_elected_before_its_removal_gets_its_address(change, cluster, monkeypatch):
    """Its pod has moved and leads: as for any leader, its address is changed in place."""
    node, healthy = cluster.nodes["n2"], membership.MembershipChange._others_healthy
    monkeypatch.setattr(membership, "SILENCE", 0.3)

    def elected(session, node_id):
        healthy(session, node_id)
        if cluster.leader != "n2":
            node.listens = NEW
            cluster.elect("n2")
            session.look()

    monkeypatch.setattr(membership.MembershipChange, "_others_healthy", elected)
    with socket.create_server(("127.0.2.2", 9091)):
        result = change(cluster, address=NEW, replace=True, wait_for_listener=2)
    assert result.get("failed") is not True, result
    assert "DELETE" not in [change[0] for change in cluster.changes]
    assert members(result)["n2"] == (NEW, True)


@pytest.mark.parametrize("address", ["127.0.2.2", "127.0.2.2:raft", "127.0.2.2:"])
@pytest.mark.parametrize("old_port", [None, 9092])
def test_an_address_that_is_none_is_refused_by_its_name(change, cluster, address, old_port):
    result = change(cluster, address=address, replace=True, old_port=old_port, wait_for_listener=0.2)
    assert result["failed"] is True
    assert address in result["msg"]
    assert "Traceback" not in str(result)


def test_the_leader_is_never_removed(change, cluster):
    result = change(cluster, node_id="n1", state="absent")
    assert result["failed"] is True
    assert cluster.changes == []


def test_absent_removes_a_follower_once(change, cluster):
    first = change(cluster, node_id="n3", state="absent")
    second = change(cluster, node_id="n3", state="absent")

    assert (first["changed"], second["changed"]) == (True, False)
    assert "n3" not in members(first)
    assert len(cluster.changes) == 1


def test_follows_a_leader_that_moves_in_the_middle(change, cluster):
    cluster.nodes["n2"].listens = NEW

    def move(_node, method, _path):
        if method == "POST" and cluster.leader == "n1":
            cluster.elect("n3")

    cluster.before_change = move
    result = change(cluster, address=NEW, replace=True)

    assert members(result)["n2"] == (NEW, True), result
    assert (result["leader_before"]["id"], result["leader_after"]["id"]) == ("n1", "n3")


def test_a_refusal_that_is_no_matter_of_leadership_ends_it(change, cluster):
    cluster.before_change = lambda _node, _method, _path: (500, {"error": "disk full"})
    result = change(cluster, address=NEW, replace=True)
    assert result["failed"] is True
    assert "disk full" in result["msg"]
    assert result["failure"]["status"] == 500


def test_it_adds_as_soon_as_the_listener_is_up(change, cluster):
    node, opened = cluster.nodes["n2"], {}
    node.listens = NEW

    def listen() -> None:
        opened["at"] = time.monotonic()
        opened["socket"] = socket.create_server(("127.0.2.2", 9091))

    def added(_node, method, _path) -> None:
        if method == "POST":
            opened.setdefault("added", time.monotonic())

    cluster.before_change = added
    timer = threading.Timer(0.4, listen)
    timer.start()
    try:
        result = change(cluster, address=NEW, replace=True, wait_for_listener=PATIENCE)
    finally:
        timer.join()
        opened["socket"].close()
    assert result["changed"] is True
    assert 0 <= opened["added"] - opened["at"] < PATIENCE / 4


def test_a_listener_that_never_comes_leaves_a_way_on(change, cluster):
    cluster.nodes["n2"].listens = NEW
    result = change(cluster, address=NEW, replace=True, wait_for_listener=0.2)

    assert result["failed"] is True
    assert "nothing listens on 127.0.2.2:9091" in result["msg"]
    assert "n2" not in members(result)
    assert "remove n2" in [step["step"] for step in result["steps"]]


def test_a_member_stays_one_until_its_old_daemon_is_down(change, cluster):
    """Its pod may have been asked to stop long before a kubelet that has lost the API server hears of it."""
    node, seen = cluster.nodes["n2"], {}
    old = socket.create_server(("127.0.2.2", 9092))

    def stop() -> None:
        seen["down"] = time.monotonic()
        old.close()
        node.listens = NEW

    def removed(_node, method, _path) -> None:
        if method == "DELETE":
            seen["removed"] = time.monotonic()

    cluster.before_change = removed
    timer = threading.Timer(0.6, stop)
    with socket.create_server(("127.0.2.2", 9091)):
        timer.start()
        result = change(cluster, address=NEW, replace=True, wait_for_listener=PATIENCE)
        timer.join()
    assert result["changed"] is True, result
    assert 0 <= seen["removed"] - seen["down"] < PATIENCE / 4


def test_a_member_whose_old_daemon_runs_on_is_not_removed(change, cluster):
    with socket.create_server(("127.0.2.2", 9092)):
        result = change(cluster, address=NEW, replace=True, wait_for_listener=0.3)
    assert result["failed"] is True
    assert "127.0.2.2:9092 still listens" in result["msg"]
    assert cluster.changes == []


def test_the_index_to_catch_up_with_is_the_one_at_the_start(change, cluster):
    # Writes go on: the new member never has the newest entry, but soon those from before it came.
    node = cluster.add_node(4, "127.0.2.4:9091")
    node.pending = 10**6
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.01):
            cluster.commit += 1
            node.applied = cluster.commit - 20

    writer = threading.Thread(target=write)
    writer.start()
    try:
        result = change(cluster, node_id="n4", address="127.0.2.4:9091")
    finally:
        stop.set()
        writer.join()
    assert result.get("failed", False) is False, result


def test_a_new_member_joins(change, cluster):
    cluster.add_node(4, "127.0.2.4:9091")
    result = change(cluster, node_id="n4", address="127.0.2.4:9091")
    assert members(result)["n4"] == ("127.0.2.4:9091", True)


def test_promoting_needs_no_removal_even_with_replace(change, full):
    full.members["n2"] = ("127.0.2.2:9092", False)
    result = change(full, address="127.0.2.2:9092", replace=True)
    assert [change[0] for change in full.changes] == ["POST"]
    assert members(result)["n2"][1] is True


def test_leadership_is_handed_over(change, full):
    first = change(full, state="leader")
    second = change(full, state="leader")
    assert first["leader_after"]["id"] == "n2"
    assert first["supported"] is True
    assert (first["changed"], second["changed"]) == (True, False)


def test_an_election_that_another_wins_is_held_again(change, full):
    def lose(_node, _method, path):
        if path == "leader/transfer" and full.leader == "n1":
            full.elect("n3")
            return 500, {"error": "leadership did not arrive at n2"}
        return None

    full.before_change = lose
    assert change(full, state="leader")["leader_after"]["id"] == "n2"


def test_without_the_call_leadership_stays_and_it_says_so(change, upstream):
    result = change(upstream, state="leader")
    assert result["failed"] is True
    assert result["supported"] is False
    assert result["changed"] is False
    assert upstream.changes == []


def test_a_learner_cannot_lead(change, full):
    full.members["n2"] = ("127.0.2.2:9092", False)
    assert change(full, state="leader")["failed"] is True
    assert full.changes == []


@pytest.mark.parametrize(
    "args",
    [{"address": NEW, "replace": True}, {"state": "absent"}, {"state": "leader"}],
    ids=["replace", "absent", "leader"],
)
def test_check_mode_predicts_and_changes_nothing(change, full, args):
    predicted = change(full, check_mode=True, diff=True, **args)
    assert full.changes == []
    assert predicted["changed"] is True

    full.nodes["n2"].listens = args.get("address", full.nodes["n2"].listens)
    real = change(full, diff=True, **args)
    assert members(predicted) == members(real)
    assert predicted["leader_after"]["id"] == real["leader_after"]["id"]
    assert predicted["diff"]["before"] == real["diff"]["before"]
    changes = [step["step"] for step in real["steps"] if "caught up" not in step["step"]]
    assert [step["step"] for step in predicted["steps"]] == changes


def test_without_a_quorum_nothing_is_tried(change, cluster):
    cluster.nodes["n2"].alive = cluster.nodes["n3"].alive = False
    result = change(cluster, address=NEW, replace=True, wait_leader=0.2)
    assert result["failed"] is True
    assert cluster.changes == []
    assert "no leader with a quorum" in result["msg"]


def test_two_members_have_no_leader_until_the_moved_one_is_back(change):
    """As long as wait_leader says, which the role sets."""
    cluster = FakeCluster.start(2)
    cluster.nodes["n2"].listens = NEW
    cluster.elect(None)
    try:
        result = change(cluster, address=NEW, replace=True, wait_leader=0.3)
        assert "no leader with a quorum within 0.3 s" in result["msg"]
        assert cluster.changes == []

        def back() -> None:
            # As behind the port that is routed to the new one.
            cluster.elect("n1")
            cluster.sends_to["n2"] = NEW

        timer = threading.Timer(0.6, back)
        timer.start()
        result = change(cluster, address=NEW, replace=True, wait_leader=PATIENCE)
        timer.join()
        assert result["changed"] is True, result
        assert members(result)["n2"] == (NEW, True)
    finally:
        cluster.stop()


@pytest.mark.parametrize("address", ["127.0.2.2", "127.0.2.2:raft", ":9091"])
def test_an_address_without_a_port_is_refused(change, full, address):
    result = change(full, address=address)
    assert result["failed"] is True
    assert result["failure"]["seen"] == address


def test_a_node_that_cannot_be_checked_is_refused_first(change, cluster):
    result = change(cluster, urls=cluster.urls[::2], address="127.0.2.2:9091", replace=True)
    assert result["failed"] is True
    assert "none of the URLs is on 127.0.2.2" in result["msg"]
    assert cluster.changes == []


@pytest.fixture
def manifest(tmp_path):
    """As prepare has written it."""
    path = tmp_path / "manifest.json"
    path.write_text(
        json.dumps({"members": [{"id": f"n{number}", "address": f"127.0.2.{number}:9091"} for number in (1, 2, 3)]})
    )
    return path


def test_a_member_that_is_missing_is_known_from_the_manifest(change, cluster, manifest):
    del cluster.members["n2"], cluster.sends_to["n2"]
    cluster.nodes["n2"].listens = NEW
    result = change(cluster, node_id=None, address=NEW, manifest=str(manifest))
    assert result["changed"] is True, result
    assert members(result)["n2"] == (NEW, True)


def test_a_given_id_is_not_looked_for(change, cluster, tmp_path):
    result = change(cluster, node_id="n2", address="127.0.2.2:9092", manifest=str(tmp_path / "gone.json"))
    assert "failed" not in result, result


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"members": []}', "has 0 members on 127.0.2.2"),
        ('{"members": 3}', "is not a manifest"),
        ("[]", "is not a manifest"),
        ("{", "is not a manifest"),
        (None, "gone.json"),
    ],
)
def test_a_manifest_without_the_member_changes_nothing(change, cluster, tmp_path, text, wanted):
    path = tmp_path / "gone.json"
    if text is not None:
        path.write_text(text)
    result = change(cluster, node_id=None, address=NEW, manifest=str(path))
    assert wanted in result["msg"]
    assert cluster.changes == []


@pytest.fixture
def gate(monkeypatch, cluster):
    """The kernel's gate: what the member's address was whenever it was set. tests/network has a real one."""
    seen: list[str] = []

    def apply(_module, wanted):
        assert (wanted["state"], wanted["established"]) == ("open", "finish")
        seen.append(cluster.sends_to["n2"])
        return {
            "changed": True,
            "state": "open",
            "began": 1.5,
            "ended": 2.5,
            "diff": {"before": "forwarded", "after": "open"},
        }

    monkeypatch.setattr(lease_gate, "apply_option", apply)
    monkeypatch.setattr(lease_gate, "gate_state", lambda _module: "forwarded")
    return seen


@pytest.mark.parametrize(
    ("meanwhile", "opens"), [("fenced", False), ("redirected", False), ("open", True), ("lapsed", True)]
)
def test_a_gate_that_another_run_has_set_meanwhile_is_left(change, cluster, gate, monkeypatch, meanwhile, opens):
    """A module outlives a connection that was lost. By then a rollback may keep clients from all pods."""
    standing = ["forwarded"]
    monkeypatch.setattr(lease_gate, "gate_state", lambda _module: standing[0])
    cluster.nodes["n2"].listens = NEW

    def fence(_node, _method, _path):
        standing[0] = meanwhile

    cluster.before_change = fence
    result = change(cluster, address=NEW, replace=True, gate=OPEN)
    assert members(result)["n2"] == (NEW, True)
    assert (bool(gate), "failed" not in result) == (opens, opens)
    if not opens:
        assert f"set the gate to open: the gate of this Pi was forwarded and is {meanwhile} now" in result["msg"]
        assert (result["failure"]["seen"], result["failure"]["wanted"]) == (meanwhile, "forwarded")


def test_without_a_gate_to_set_none_is_read(change, cluster, monkeypatch):
    def read(_module):
        raise AssertionError("nft may not be there")

    monkeypatch.setattr(lease_gate, "gate_state", read)
    cluster.nodes["n2"].listens = NEW
    assert change(cluster, address=NEW, replace=True)["changed"] is True


def test_the_gate_opens_once_the_member_has_moved(change, cluster, gate):
    cluster.nodes["n2"].listens = NEW
    result = change(cluster, address=NEW, replace=True, gate=OPEN, diff=True)
    assert (gate, result["gate"]["state"], result["changed"]) == ([NEW], "open", True)
    assert [part["after"] for part in result["diff"]][1] == "open"


def test_a_gate_opens_for_a_member_that_an_earlier_run_has_moved(change, cluster, gate):
    result = change(cluster, address="127.0.2.2:9092", replace=True, gate=OPEN)
    assert (len(gate), result["changed"], cluster.changes) == (1, True, [])


def test_a_member_that_does_not_catch_up_leaves_its_gate(change, cluster, gate):
    cluster.nodes["n2"].listens = NEW
    result = change(cluster, address=NEW, wait_caught_up=0.5, gate=OPEN)
    assert (result["failed"], gate) == (True, [])


def test_a_gate_that_breaks_leaves_the_member_moved_and_is_named(change, cluster, monkeypatch):
    def breaks(_module, _wanted):
        raise failures.MigrationError("the kernel says no", next_step="look at nft")

    monkeypatch.setattr(lease_gate, "apply_option", breaks)
    monkeypatch.setattr(lease_gate, "gate_state", lambda _module: "forwarded")
    cluster.nodes["n2"].listens = NEW
    result = change(cluster, address=NEW, replace=True, gate=OPEN)
    assert result["failed"]
    assert "set the gate to open: the kernel says no" in result["msg"]
    assert (members(result)["n2"], result["failure"]["next_step"]) == ((NEW, True), "look at nft")

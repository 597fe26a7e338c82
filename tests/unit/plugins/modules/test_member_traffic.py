# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Pi's clients go when the cluster allows it, and come back when it is whole again. tests/network has a real gate."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from conftest import import_plugin
from fake_raft import FakeCluster

member_traffic = import_plugin("modules.member_traffic")
lease_gate = import_plugin("module_utils._lease.gate")
failures = import_plugin("module_utils._core.failures")
procfs = import_plugin("module_utils._core.procfs")
GATE = {"state": "forwarded", "ports": [{"standard": 8080, "temporary": 8082}], "forward_to": "192.0.2.99"}


def fall_behind(cluster: FakeCluster) -> None:
    """n3 does not apply what has been committed."""
    cluster.commit += 1
    cluster.nodes["n3"].pending = 1000


class Gate:
    """The kernel's gate, as far as the module asks for it; it may break when it is set."""

    def __init__(self) -> None:
        self.state = "open"
        self.breaks = False
        self.asked = 0
        # What another run sets it to once it was looked at.
        self.meanwhile = ""

    def look(self, _module: Any) -> str:
        seen, self.state = self.state, self.meanwhile or self.state
        return seen

    def apply(self, module: Any, wanted: Any) -> dict[str, Any]:
        self.asked += 1
        if self.breaks:
            raise failures.MigrationError("the kernel says no", next_step="look at nft")
        before, after = self.state, wanted["state"]
        self.state = before if module.check_mode else after
        return {
            "changed": before != after,
            "state": after,
            "began": 1.5,
            "ended": 2.5,
            "diff": {"before": before, "after": after},
        }


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    found = Gate()
    monkeypatch.setattr(lease_gate, "apply_option", found.apply)
    monkeypatch.setattr(lease_gate, "gate_state", found.look)
    return found


@pytest.fixture(autouse=True)
def pi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this machine's listeners those of n1: on a Pi there is one address, here the same port may be that of another test."""

    def of_n1(ports: Any, unit: str) -> list[Any]:
        return [found for found in procfs.listeners(ports, unit) if found.address == "127.0.2.1"]

    monkeypatch.setattr(member_traffic.MemberTraffic, "listeners", staticmethod(of_n1))


@pytest.fixture
def away(run_module: Any, cluster: FakeCluster, gate: Gate) -> Any:
    """The clients of n1, which leads, are routed away; n2 is its neighbour."""

    def run(check_mode: bool = False, **more: Any) -> dict[str, Any]:
        given = {
            "state": "away",
            "urls": cluster.urls,
            "address": "127.0.2.1",
            "successor": "127.0.2.2",
            "wait_for": {"leader": True, "caught_up_at": ["127.0.2.2", "127.0.2.3"]},
            "wait_timeout": 0.3,
            "keep_leaders_gate": True,
            "gate": GATE,
            **more,
        }
        result: dict[str, Any] = run_module("member_traffic", given, check_mode=check_mode)
        return result

    return run


def test_leadership_goes_first_then_the_gate_closes(away: Any, cluster: FakeCluster, gate: Gate) -> None:
    states: list[str] = []
    cluster.before_change = lambda _node, _method, _path: states.append(gate.state)
    result = away()
    assert (cluster.leader, gate.state, states) == ("n2", "forwarded", ["open"])
    assert result["steps"] == ["hand leadership to n2", "set the gate to forwarded"]
    assert result["leader"]["id"] == "n1", "what was seen before"
    assert (result["changed"], result["gate"]["began"]) == (True, 1.5)
    again = away()
    assert (again["changed"], again["steps"]) == (False, [])


def test_a_wait_that_fails_changes_nothing(away: Any, cluster: FakeCluster, gate: Gate) -> None:
    cluster.nodes["n3"].alive = False
    result = away()
    assert "caught_up_at" in result["msg"]
    assert (cluster.leader, gate.state, cluster.changes) == ("n1", "open", [])


def test_a_daemon_that_was_stopped_already_has_nothing_to_lose(away: Any, cluster: FakeCluster, gate: Gate) -> None:
    own = cluster.nodes["n1"]
    own.close()
    fall_behind(cluster)
    # As the others report it.
    cluster.members["n1"] = ("127.0.2.1:raft", True)
    assert away()["failed"] is True
    assert away(own_url=cluster.urls[1])["failed"] is True, "another one does not count"
    result = away(own_url=own.url)
    assert "failed" not in result, result
    assert (gate.state, cluster.changes) == ("forwarded", [])


@pytest.mark.parametrize("trouble", ["dropped", "error", "token", "hangs"])
@pytest.mark.parametrize("leader", ["n1", "n2"])
def test_a_daemon_that_listens_was_not_stopped(
    away: Any, cluster: FakeCluster, gate: Gate, trouble: str, leader: str
) -> None:
    """Whatever it answers: it votes, and with n3 away the cluster has no quorum without it."""
    own = cluster.nodes["n1"]
    cluster.elect(leader)
    cluster.nodes["n3"].close()
    if trouble == "dropped":
        own.alive = False
    elif trouble == "error":
        own.error = 500
    elif trouble == "token":
        cluster.token = "another"
    else:
        own.hangs = True
    result = away(own_url=own.url, timeout=0.2)
    assert result["failed"] is True, result
    assert (gate.state, cluster.changes) == ("open", [])
    assert f"the daemon of this Pi has not been stopped: port {own.url.rpartition(':')[2]} is in use" in result["msg"]
    assert own.url in result["msg"], "with what it answered"


def test_a_daemon_that_does_not_answer_yet_may_vote(away: Any, cluster: FakeCluster, gate: Gate) -> None:
    """One that starts takes part in Raft before it answers clients."""
    own = cluster.nodes["n1"]
    cluster.elect("n2")
    own.close()
    cluster.nodes["n3"].close()
    with socket.create_server(("127.0.2.1", 0)) as raft:
        port = raft.getsockname()[1]
        cluster.members["n1"] = (f"127.0.2.1:{port}", True)
        result = away(own_url=own.url)
    assert f"port {port} is in use" in result["msg"]
    assert (gate.state, cluster.changes) == ("open", [])


@pytest.mark.parametrize(("leads", "keeps"), [(True, True), (True, False), (False, True)])
def test_a_leader_that_cannot_hand_over_may_keep_its_clients(
    gate: Gate, away: Any, cluster: FakeCluster, leads: bool, keeps: bool
) -> None:
    cluster.profile = "upstream"
    if not leads:
        cluster.elect("n3")
    result = away(keep_leaders_gate=keeps)
    assert "failed" not in result, result
    assert cluster.changes == []
    assert (gate.state, gate.asked) == (("open", 0) if leads and keeps else ("forwarded", 1))
    assert (result["gate"] is None) == (leads and keeps)


@pytest.mark.parametrize("more", [{"gate": None}, {"successor": None}, {"gate": None, "successor": None}])
def test_without_a_gate_or_a_successor_that_step_is_left_out(
    away: Any, cluster: FakeCluster, gate: Gate, more: dict[str, Any]
) -> None:
    result = away(**more)
    assert cluster.leader == ("n1" if "successor" in more else "n2")
    assert gate.state == ("open" if "gate" in more else "forwarded")
    assert len(result["steps"]) == 2 - len(more)


def test_a_run_that_broke_between_the_steps_is_repeated_as_a_whole(away: Any, cluster: FakeCluster, gate: Gate) -> None:
    gate.breaks = True
    broken = away()
    assert broken["msg"] == "set the gate to forwarded: the kernel says no. Next: look at nft"
    assert (broken["changed"], broken["steps"], cluster.leader) == (True, ["hand leadership to n2"], "n2")
    gate.breaks = False
    result = away()
    assert (result["steps"], cluster.leader, gate.state) == (["set the gate to forwarded"], "n2", "forwarded")


@pytest.mark.parametrize("alone", [False, True])
def test_a_learner_is_no_successor(away: Any, cluster: FakeCluster, gate: Gate, alone: bool) -> None:
    for name in ("n2", "n3") if alone else ("n2",):
        cluster.members[name] = (cluster.nodes[name].listens, False)
    result = away(wait_for={"leader": True, "caught_up_at": ["127.0.2.2", "127.0.2.3"], "learners": True})
    assert "failed" not in result, result
    # The only voter keeps its clients too, until its daemon has to go.
    assert (cluster.leader, gate.state) == (("n1", "open") if alone else ("n3", "forwarded"))


def test_a_transfer_that_fails_leaves_the_gate_open(away: Any, cluster: FakeCluster, gate: Gate) -> None:
    cluster.before_change = lambda _node, _method, _path: (422, {"error": "not now"})
    result = away()
    assert result["msg"].startswith("hand leadership to n2: ")
    assert (cluster.leader, gate.state, gate.asked) == ("n1", "open", 0)


def test_a_successor_that_is_no_member_is_named(away: Any, gate: Gate) -> None:
    result = away(successor="127.0.2.9")
    assert "no member is at 127.0.2.9" in result["msg"]
    assert gate.asked == 0


def test_check_mode_predicts_and_changes_nothing(away: Any, cluster: FakeCluster, gate: Gate) -> None:
    result = away(check_mode=True)
    assert (result["changed"], result["diff"]) == (True, {"before": "open", "after": "forwarded"})
    assert result["steps"] == ["hand leadership to n2", "set the gate to forwarded"]
    assert (cluster.leader, gate.state) == ("n1", "open")


@pytest.fixture
def back(run_module: Any, cluster: FakeCluster, gate: Gate) -> Any:
    """The clients of n1 are with its neighbour, and are to come back."""
    gate.state = "forwarded"

    def run(check_mode: bool = False, **more: Any) -> dict[str, Any]:
        given = {
            "state": "back",
            "urls": cluster.urls,
            "wait_for": {"leader": True, "voters": 3, "caught_up": True},
            "wait_timeout": 0.3,
            "gate": {"state": "open"},
            **more,
        }
        result: dict[str, Any] = run_module("member_traffic", given, check_mode=check_mode)
        return result

    return run


def test_clients_come_back_once_the_same_members_have_caught_up(back: Any, cluster: FakeCluster, gate: Gate) -> None:
    two = {"n1": "127.0.2.1:9092", "n2": "127.0.2.2:9092"}
    others = {"members": two, "next_step": "look for a changed ID"}
    result = back(same_members=others)
    assert result["msg"].endswith("Next: look for a changed ID")
    # What was seen by then is returned as with every failure.
    assert [member["id"] for member in result["members"]] == ["n1", "n2", "n3"]
    fall_behind(cluster)
    assert "caught_up" in back()["msg"]
    assert (gate.state, gate.asked) == ("forwarded", 0)
    cluster.nodes["n3"].pending = 1
    result = back(same_members={"members": {**two, "n3": "127.0.2.3:9092"}})
    assert (gate.state, result["steps"], result["gate"]["ended"]) == ("open", ["set the gate to open"], 2.5)
    assert cluster.leader == "n1"


@pytest.mark.parametrize("own", ["n1", "n2"])
def test_a_member_that_has_caught_up_serves_whatever_another_one_does(
    back: Any, cluster: FakeCluster, gate: Gate, own: str
) -> None:
    """Its neighbour may be the one that is away, and its clients have no other daemon then."""
    cluster.nodes["n3"].close()
    result = back(address=cluster.nodes[own].host)
    assert (gate.state, result["gate"]["state"]) == ("open", "open")
    assert (result["failed"], result["changed"], result["steps"]) == (True, True, ["set the gate to open"])
    assert result["msg"].startswith("this Pi's clients are back, and the cluster is not whole: ")
    assert "n3" in result["msg"]
    assert "failed" not in back(address=cluster.nodes[own].host, wait_for=None)


@pytest.mark.parametrize("trouble", ["behind", "no leader", "no quorum", "another address"])
def test_a_member_that_does_not_follow_gets_no_clients(
    back: Any, cluster: FakeCluster, gate: Gate, trouble: str
) -> None:
    more: dict[str, Any] = {}
    if trouble == "behind":
        fall_behind(cluster)
    elif trouble == "no leader":
        cluster.elect(None)
    elif trouble == "no quorum":
        cluster.nodes["n1"].close()
        cluster.nodes["n2"].close()
    else:
        known = {name: address for name, (address, _voter) in cluster.members.items()}
        more = {"same_members": {"members": {**known, "n3": "127.0.2.3:9091"}}}
    assert back(address=cluster.nodes["n3"].host, **more)["failed"] is True
    assert (gate.state, gate.asked) == ("forwarded", 0)


@pytest.mark.parametrize("meanwhile", ["fenced", "redirected"])
@pytest.mark.parametrize("own", [None, "127.0.2.1"])
def test_a_gate_that_another_run_has_set_meanwhile_is_left(
    back: Any, gate: Gate, meanwhile: str, own: str | None
) -> None:
    """A module outlives a connection that was lost. By then a rollback may keep clients from all pods."""
    gate.meanwhile = meanwhile
    result = back(address=own)
    assert f"set the gate to open: the gate of this Pi was forwarded and is {meanwhile} now" in result["msg"]
    assert (gate.state, gate.asked, result["gate"]) == (meanwhile, 0, None)


def test_a_lease_that_ends_meanwhile_was_not_set_by_another_run(back: Any, gate: Gate) -> None:
    gate.meanwhile = "lapsed"
    assert "failed" not in back()
    assert gate.state == "open"


def test_clients_that_are_back_are_left_alone(back: Any, gate: Gate) -> None:
    result = back(address="127.0.2.1")
    assert ("failed" in result, gate.state) == (False, "open")
    assert back(address="127.0.2.1")["changed"] is False


def test_check_mode_lets_no_client_back(back: Any, gate: Gate) -> None:
    result = back(check_mode=True, address="127.0.2.1")
    assert (result["changed"], gate.state) == (True, "forwarded")

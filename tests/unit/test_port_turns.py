# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `port_migration`, run by Ansible on this machine with modules that only write down how they were called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_rolling_cutover import PIS, World, journals

BEFORE = ("prepare", "transfer", "validate", "cutover", "systemd_shutdown")
AT_WORK = ("raft_membership", "k8s_daemonset_pod_aside", "traffic_gate", "k8s_daemonset_pod")


def at_work_on(call: dict[str, Any]) -> str | None:
    """The Pi whose turn this call belongs to; what asks Kubernetes runs on the control node and names the node."""
    host: str = call["args"].get("node", f"node-{call['host']}").removeprefix("node-")
    return host if call["module"] in AT_WORK else None


class PortWorld(World):
    strategy = "parallel"
    phase = "port_migration"

    def write(self, leader: str, fails: dict[str, dict[str, str]], ports: dict[str, int] | None = None) -> None:
        state = {"leader": leader, "fails": fails, "ports": {**dict.fromkeys(PIS, 9092), **(ports or {})}}
        (self.folder / "state.json").write_text(json.dumps(state))

    def begin(self, turns: dict[str, str]) -> None:
        """All before the ports is done, and these Pis have the phase in this state in their journals."""
        for pi in PIS:
            known = None
            for phase in BEFORE:
                known = journals.marked(known, phase, "done", {}, "m-1", journals.now(), "parallel")
            if pi in turns:
                known = journals.marked(known, "port_migration", turns[pi], {}, "m-1", journals.now())
            journals.save(self.journal(pi), known)

    def of(self, pi: str) -> list[str]:
        """What is done in this Pi's turn, in order."""
        return [self._step(call) for call in self.calls if at_work_on(call) == pi]

    @property
    def moved(self) -> list[dict[str, Any]]:
        """What was asked of each member that moved to the other port."""
        return [call["args"] for call in self.calls if call["args"].get("old_port")]

    @staticmethod
    def _step(call: dict[str, Any]) -> str:
        how = call["args"].get("state") or call["args"].get("wait_for") or ""
        after = (
            f", gate {gate['state']}"
            if call["module"] == "raft_membership" and (gate := call["args"].get("gate"))
            else ""
        )
        return f"{call['module']} {how}{after}".strip()


@pytest.fixture
def world(tmp_path: Path, ansible_playbook: str) -> PortWorld:
    return PortWorld(tmp_path, ansible_playbook)


TURN = [
    "k8s_daemonset_pod_aside",
    "traffic_gate forwarded",
    "k8s_daemonset_pod none",
    "raft_membership present, gate open",
]


def test_one_pi_after_the_other_the_leader_last(world: PortWorld) -> None:
    world.begin({})
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert [world.of(pi) for pi in PIS] == [[TURN[0], "raft_membership leader", *TURN[1:]], TURN, TURN]
    turns = [at_work_on(call) for call in world.calls if call["module"] == "k8s_daemonset_pod_aside"]
    assert turns == ["pi-2", "pi-3", "pi-1"]
    # A turn is over before the next one begins, and its end is recorded.
    at_work = [host for call in world.calls if (host := at_work_on(call))]
    assert at_work == sorted(at_work, key=turns.index)
    for pi in PIS:
        assert journals.load(world.journal(pi))["phases"]["port_migration"]["state"] == "done"
    # The last one is recorded by the phase, once every pod is Ready.
    (ready,) = (call["args"] for call in world.calls if call["module"] == "k8s_daemonset_pod_info")
    assert (ready["expected_nodes"], ready["wait_for"]) == ([f"node-{pi}" for pi in PIS], "ready")
    # Three members have a leader meanwhile.
    assert [moved["wait_leader"] - moved["wait_for_listener"] for moved in world.moved] == [0, 0, 0]


@pytest.mark.parametrize("members", [1, 2])
def test_a_pod_has_as_long_to_come_back_as_the_owner_says(world: PortWorld, members: int) -> None:
    """One or two members have no leader meanwhile, from the moment at which the old pod is asked to stop."""
    peers = PIS[:members]
    world.begin(dict.fromkeys(peers[1:], "done"))
    done = world.run(peers)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    (moved,) = world.moved
    assert moved["wait_leader"] == moved["wait_for_listener"] + 40


def test_the_others_are_waited_for_before_a_pod_goes(world: PortWorld) -> None:
    world.begin({"pi-1": "done", "pi-3": "done"})
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    proxies = [call for call in world.calls if call["module"] == "kube_proxy_info"]
    assert sorted(call["host"] for call in proxies) == list(PIS)
    assert {tuple(call["args"]["forgotten"]) for call in proxies} == {("10.77.0.12:8082",)}
    asked = [
        (call["host"], call["args"]["wait_for"]["caught_up_at"])
        for call in world.calls
        if call["module"] in ("raft_info", "member_traffic")
        and (call["args"].get("wait_for") or {}).get("caught_up_at")
    ]
    # Once the Service is routed past its pod, and before that goes.
    assert asked == [("pi-2", ["10.77.0.11", "10.77.0.13"])]
    (left,) = (call["args"] for call in world.calls if call["module"] == "k8s_daemonset_pod_aside")
    assert (left["node"], left["others"]) == ("node-pi-2", ["node-pi-1", "node-pi-3"])
    order = [(call["module"], call["args"].get("state")) for call in world.calls]
    assert order.index(("member_traffic", "away")) > order.index(("kube_proxy_info", None))
    assert order.index(("kube_proxy_info", None)) > order.index(("k8s_daemonset_pod_aside", None))
    assert order.index(("traffic_gate", "forwarded")) > order.index(("kube_proxy_info", None))
    assert not world.of("pi-1")
    assert not world.of("pi-3")


def test_a_proxy_that_does_not_follow_stops_the_turn(world: PortWorld) -> None:
    world.begin({})
    world.fails("kube_proxy_info", "pi-3", "a proxy still routes there")
    done = world.run()
    assert done.returncode != 0
    assert "a proxy still routes there" in done.stdout
    assert world.of("pi-2") == ["k8s_daemonset_pod_aside"]
    assert not world.of("pi-1")
    assert journals.load(world.journal("pi-2"))["phases"]["port_migration"]["state"] == "failed"


def test_a_pod_that_has_moved_is_let_in_and_not_taken_away_again(world: PortWorld) -> None:
    world.write(leader="pi-1", fails={}, ports={"pi-3": 9091})
    world.begin({"pi-2": "done"})
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert world.of("pi-3") == TURN[3:]
    assert world.moved[0]["node_id"] == "pi-3", "known by the look at the beginning"
    assert next(filter(None, map(at_work_on, world.calls))) == "pi-3"


def test_no_pod_goes_while_another_is_not_ready(world: PortWorld) -> None:
    """A turn ends with its member, so the next one waits for its pod."""
    world.begin({"pi-2": "done"})
    world.fails("k8s_daemonset_pod_aside", "localhost", "node-pi-2 is not Ready")
    done = world.run()
    assert done.returncode != 0
    assert "node-pi-2 is not Ready" in done.stdout
    assert not world.moved
    assert "traffic_gate" not in [call["module"] for call in world.calls]


def test_a_pi_whose_pod_is_not_ready_is_not_done(world: PortWorld) -> None:
    """Killed or failed there, the next run finds it moved and waits once more."""
    world.begin({"pi-1": "done", "pi-3": "done"})
    world.fails("k8s_daemonset_pod_info", "localhost", "its readiness probe fails")
    done = world.run()
    assert done.returncode != 0
    assert len(world.moved) == 1
    assert journals.load(world.journal("pi-2"))["phases"]["port_migration"]["state"] == "failed"
    world.write(leader="pi-1", fails={}, ports={"pi-2": 9091})
    before = len(world.calls)
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    again = [call["module"] for call in world.calls[before:]]
    assert "k8s_daemonset_pod_aside" not in again
    assert again.index("raft_membership") < again.index("k8s_daemonset_pod_info")
    assert journals.load(world.journal("pi-2"))["phases"]["port_migration"]["state"] == "done"


def test_a_pod_that_is_listed_where_it_was_has_its_turn_first(world: PortWorld) -> None:
    """It has moved and is reached through its old port. No other pod goes while its clients are with its neighbour."""
    world.write(leader="pi-1", fails={}, ports={"pi-3": 9091})
    world.note(listed={"pi-3": 9092})
    world.begin({})
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    turns = [
        at_work_on(call) for call in world.calls if call["module"] == "raft_membership" and call["args"].get("old_port")
    ]
    assert turns == ["pi-3", "pi-2", "pi-1"]

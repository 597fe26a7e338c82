# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn is next in a rollback Pi by Pi, and when that way is taken at all."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from conftest import import_plugin

next_turn = import_plugin("filter.next_turn").FilterModule().filters()["next_turn"]
not_by_turns = import_plugin("filter.not_by_turns").FilterModule().filters()["not_by_turns"]
pods_agreed = import_plugin("filter.pods_agreed").FilterModule().filters()["pods_agreed"]

PIS = ["pi-1", "pi-2", "pi-3"]
ADDRESSES = dict(zip(PIS, ["10.77.0.11", "10.77.0.12", "10.77.0.13"]))
RAFT = {pi: f"{address}:9091" for pi, address in ADDRESSES.items()}


def case(turns: dict[str, str], leader: str | None, last: str = "") -> tuple[Any, ...]:
    """Arguments of the filter for three Pis; `turns` has the states in their journals, `last` the Pi whose turn has just ended."""
    seen = {"leader": {"address": RAFT[leader]} if leader else None}
    return {pi: turns.get(pi, "waiting") for pi in PIS}, last, seen, ADDRESSES


ORDER = [
    (case({}, "pi-1"), "pi-2"),
    (case({}, "pi-2"), "pi-1"),
    # Leadership has moved since: whoever leads now waits.
    (case({"pi-1": "started"}, "pi-2", last="pi-1"), "pi-3"),
    (case({"pi-1": "done", "pi-3": "started"}, "pi-2", last="pi-3"), "pi-2"),
    # Left in its turn by an earlier run, also where it leads or no pod does.
    (case({"pi-1": "done", "pi-3": "started"}, "pi-1"), "pi-3"),
    (case({"pi-3": "started"}, "pi-3"), "pi-3"),
    (case({"pi-3": "started"}, None), "pi-3"),
    # Killed while it wrote down the end of one turn and the start of the next.
    (case({"pi-1": "started", "pi-2": "started"}, "pi-3"), "pi-1"),
    (case({"pi-1": "started", "pi-2": "started"}, "pi-3", last="pi-1"), "pi-2"),
]


@pytest.mark.parametrize(("case", "wanted"), ORDER)
def test_half_way_first_then_followers_the_leader_last(case: tuple[Any, ...], wanted: str) -> None:
    turns, last, _seen, _addresses = case
    chosen = next_turn(*case)
    assert chosen["host"] == wanted
    ended = {last: "done"} if last else {}
    assert chosen["turns"] == {**turns, **ended, wanted: "started"}
    half_way = any(state == "started" for pi, state in turns.items() if pi != last)
    over = [pi for pi in PIS if pi == last or (turns[pi] == "done" and not half_way)]
    assert chosen["standing"] == over
    assert chosen["waiting"] == [pi for pi in PIS if pi not in (last, wanted) and turns[pi] != "done"]


def test_a_turn_too_many_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="every Pi has had its turn"):
        next_turn(*case({"pi-1": "done", "pi-2": "started", "pi-3": "done"}, "pi-1", last="pi-2"))
    # A cluster that gives no answer has no leader either.
    assert next_turn({"pi-1": "waiting"}, "", {"failed": True, "msg": "no URL answers"}, ADDRESSES)["host"] == "pi-1"


def pod(leader: str | None, leads: bool = False, capabilities: list[str] | None = None) -> dict[str, Any]:
    found = {"address": RAFT[leader], "url": "http://x" if leads else None} if leader else None
    return {
        "leader": found,
        "capabilities": ["snapshot", "restore", "read-only"] if capabilities is None else capabilities,
    }


@pytest.mark.parametrize(
    ("views", "leader", "follow"),
    [
        ([pod("pi-1", leads=True), pod("pi-1"), pod("pi-1")], "pi-1", PIS),
        ([pod("pi-2"), pod("pi-2", leads=True), pod(None)], "pi-2", ["pi-1", "pi-2"]),
        # Left behind by a leader of before.
        ([pod("pi-3"), pod("pi-2", leads=True), pod("pi-2")], "pi-2", ["pi-2", "pi-3"]),
        ([pod("pi-2"), pod("pi-2"), pod("pi-2")], "", []),
        ([pod(None), {"failed": True, "msg": "no answer"}, {}], "", []),
    ],
)
def test_the_pods_that_follow_one_leader(views: list[dict[str, Any]], leader: str, follow: list[str]) -> None:
    found = pods_agreed(dict(zip(PIS, views)))
    assert (found["leader"], found["follow"]) == (leader, follow)
    assert found["url"] == ("http://x" if leader else None)
    assert found["text"] == (f"Only {', '.join(follow)} follow the pod of {leader}" if leader else "No pod leads")


def test_how_their_state_is_taken_is_up_to_the_pod_that_leads() -> None:
    able, unable = pod("pi-1", leads=True), pod("pi-1", leads=True, capabilities=["snapshot"])
    follower, simple = pod("pi-1"), pod("pi-1", capabilities=[])
    found = [pods_agreed({"pi-1": first, "pi-2": second}) for first, second in ((able, simple), (unable, follower))]
    assert [(each["fence"], each["carry"]) for each in found] == [("read-only", "api"), ("network", "sqlite")]


def members(port: int = 9091) -> dict[str, Any]:
    return {"members": [{"id": pi, "address": f"{address}:{port}"} for pi, address in ADDRESSES.items()]}


WELL = {"changed": True}


@pytest.mark.parametrize(
    ("takeover", "daemonset", "seen", "reasons"),
    [
        (WELL, WELL, members(), []),
        ({"msg": "on different file systems"}, WELL, members(), ["on different file systems"]),
        (WELL, {"msg": "there is no DaemonSet"}, members(), ["there is no DaemonSet"]),
        (WELL, WELL, {**members(), "msg": "caught_up: pi-3"}, ["caught_up: pi-3"]),
        # One that has no answer at all has no members either.
        (WELL, WELL, {"msg": "no URL answers"}, ["no URL answers"]),
        (
            WELL,
            WELL,
            members(port=9092),
            ["the members are at 10.77.0.11:9092, 10.77.0.12:9092, 10.77.0.13:9092, wanted 10.77.0.11:9091"],
        ),
        ({"msg": "a"}, {"msg": "b"}, {"msg": "c"}, ["a", "b", "c"]),
    ],
)
def test_pods_and_units_go_together_where_anything_is_in_the_way(
    takeover: Any, daemonset: Any, seen: Any, reasons: list[str]
) -> None:
    found = not_by_turns({"pi-1": WELL, "pi-2": takeover, "pi-3": WELL}, daemonset, seen, list(RAFT.values()))
    assert len(found) == len(reasons), found
    assert all(text.startswith(reason) for text, reason in zip(found, reasons)), found


def test_a4_units_of_ipv6_take_over_pi_by_pi() -> None:
    seen = {"members": [{"id": "pi-1", "address": "[fd00:0::11]:9091"}, {"id": "pi-2", "address": "[fd00::12]:9091"}]}
    assert not_by_turns({"pi-1": WELL, "pi-2": WELL}, WELL, seen, ["[fd00::11]:9091", "[fd00::12]:9091"]) == []

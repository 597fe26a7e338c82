# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.failures import MigrationError
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.interface import Member, NodeStatus
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.pi_controller.client import (
    PiController,
)
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._raft.cluster import (
    Answer,
    ClusterView,
    assemble,
)

MEMBERS = tuple(Member(f"pi-{n}", f"10.77.0.1{n}:9091") for n in (1, 2, 3))
LEADS = NodeStatus("leader", "10.77.0.11:9091", True, MEMBERS, term=5, commit_index=40, applied_index=40)
FOLLOWS = NodeStatus(
    "follower", "10.77.0.11:9091", False, MEMBERS, term=5, commit_index=40, applied_index=40, last_contact=0.02
)


def answer(number: int, status: NodeStatus | None, port: int = 8080) -> Answer:
    client = PiController(f"http://10.77.0.1{number}:{port}")
    return Answer(client, status, None if status else MigrationError("silent"))


def view(
    second: NodeStatus | None, third: NodeStatus | None = FOLLOWS, first: NodeStatus | None = LEADS
) -> ClusterView:
    return assemble((answer(1, first), answer(2, second), answer(3, third)))


def follower(**changes) -> NodeStatus:
    return dataclasses.replace(FOLLOWS, **changes)


def test_all_is_well():
    well = view(FOLLOWS)
    assert well.leader
    assert well.leader.id == "pi-1"
    assert well.quorate
    assert well.why_behind(40) == []


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (None, "does not answer"),
        (follower(last_contact=None), "last contact None"),
        (follower(last_contact=1.4), "last contact 1.4 s ago"),
        (follower(applied_index=39), "applied 39, wanted 40"),
        (follower(applied_index=None), "applied None, wanted 40"),
        (follower(last_term=4), "its log ends in term 4, wanted 5"),
        (follower(fsm_pending=3), "3 batches of entries wait to be applied to its database, wanted none"),
        (follower(term=4), "in term 4"),
        (follower(leader="10.77.0.13:9091"), "with leader 10.77.0.13:9091"),
        (follower(role="candidate", leader=None), "candidate in term 5"),
    ],
)
def test_why_a_voter_does_not_count_as_caught_up(second, reason):
    (reported,) = view(second).why_behind(40)
    assert reported.startswith("pi-2 (10.77.0.12:9091): ")
    assert reason in reported


def test_a_voter_on_a_host_without_a_url_does_not_count_either():
    half = assemble((answer(1, LEADS), answer(2, FOLLOWS)))
    assert half.quorate
    assert half.why_behind(40) == ["pi-3 (10.77.0.13:9091): no URL given for its host"]
    assert half.why_behind(40, without="pi-3") == []


def test_a_learner_neither_counts_nor_delays():
    members = (*MEMBERS[:2], Member("pi-3", "10.77.0.13:9091", voter=False))
    leads = dataclasses.replace(LEADS, members=members)
    assert view(FOLLOWS, None, leads).why_behind(40) == []
    assert not view(None, FOLLOWS, leads).quorate, "one of two voters is no majority, whatever learners say"


@pytest.mark.parametrize("stray", [follower(term=4), follower(leader="10.77.0.12:9091"), None])
def test_an_election_under_way_is_no_quorum(stray):
    assert view(FOLLOWS, stray).quorate
    assert not view(stray, stray).quorate


def test_of_two_urls_on_a_host_the_one_that_follows_speaks():
    both = assemble((answer(1, LEADS), answer(2, None), answer(2, FOLLOWS, 8082), answer(3, FOLLOWS)))
    assert [member.url for member in both.members] == [
        "http://10.77.0.11:8080",
        "http://10.77.0.12:8082",
        "http://10.77.0.13:8080",
    ]
    stale = follower(leader="10.77.0.11:9999")
    both = assemble((answer(1, LEADS), answer(2, stale), answer(2, FOLLOWS, 8082), answer(3, FOLLOWS)))
    assert both.members[1].url == "http://10.77.0.12:8082"


def test_a_leader_with_an_updated_address_is_found_by_host():
    members = (Member("pi-1", "10.77.0.11:9092"), *MEMBERS[1:])
    assert view(FOLLOWS, FOLLOWS, dataclasses.replace(LEADS, members=members)).leader.id == "pi-1"


def test_a_remembered_leader_that_denies_leading_does_not_count():
    deposed = dataclasses.replace(LEADS, role="follower", is_leader=False, leader=None)
    assert view(FOLLOWS, FOLLOWS, deposed).leader is None
    assert "no leader in term 5" in view(FOLLOWS, FOLLOWS, deposed).describe()


def test_a_leader_behind_a_forwarded_port_is_known_from_others():
    """A gate routes its port to a neighbour: it cannot be asked, so how far it is cannot be seen."""
    hidden = view(FOLLOWS, FOLLOWS, FOLLOWS)
    assert hidden.leader.as_dict() == {"id": "pi-1", "address": "10.77.0.11:9091", "url": None}
    assert hidden.quorate
    assert [member.status is None for member in hidden.members] == [True, False, False]
    assert "cannot be seen" in hidden.why_behind_at("10.77.0.12", 0)[0]


def test_rivals_are_named():
    rival = dataclasses.replace(LEADS, leader="10.77.0.12:9091")
    split = view(rival)
    assert split.rivals == ("http://10.77.0.11:8080", "http://10.77.0.12:8080")
    assert "both claim to lead in term 5" in split.describe()
    assert not split.quorate

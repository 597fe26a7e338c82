# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What members answer, tick by tick, and which alerts that makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from conftest import import_plugin

client = import_plugin("module_utils._daemon.pi_controller.client")
types = import_plugin("module_utils._daemon.interface")
plan = import_plugin("module_utils._watch.plan")
sampling = import_plugin("module_utils._watch.sample")
judging = import_plugin("module_utils._watch.judge")

TICK = 0.4
URLS = {
    "standard": [f"http://10.77.0.1{n}:8080" for n in (1, 2, 3)],
    "temporary": [f"http://10.77.0.1{n}:8082" for n in (1, 2, 3)],
}
SILENT = None
# It answers 429, and has not answered anything else before.
LIMITED = object()


def members(port: int, *ports: int):
    """Three of them, on one port or on a port each."""
    each = ports or (port, port, port)
    return tuple(types.Member(f"pi-{n}", f"10.77.0.1{n}:{each[n - 1]}") for n in (1, 2, 3))


UNITS = members(9091)
PODS = members(9092)


def leads(number: int = 1, term: int = 5, all_members=UNITS, **changes):
    address = all_members[number - 1].address
    made = types.NodeStatus(
        "leader", address, True, all_members, term=term, last_index=40, commit_index=40, applied_index=40
    )
    return dataclasses.replace(made, **changes)


def follows(number: int | None = 1, term: int = 5, all_members=UNITS, contact: float = 0.05, **changes):
    address = all_members[number - 1].address if number else None
    role = "follower" if number else "candidate"
    made = types.NodeStatus(
        role, address, False, all_members, term=term, last_index=40, commit_index=40, applied_index=40
    )
    return dataclasses.replace(made, last_contact=contact, **changes)


WELL = (leads(), follows(), follows())


class Watched:
    """One cluster through one phase, with a clock of its own."""

    def __init__(self, phase: str = "prepare", cluster: str = "old", **limits: float) -> None:
        self.at = 1000.0
        self.cluster = cluster
        self.judge = judging.ClusterJudge(cluster, judging.AlertLimits(interval=TICK, **limits))
        self.alerts: list = []
        self.samples: list = []
        self.known: tuple = ()
        self.clients = {url: client.PiController(url) for urls in URLS.values() for url in urls}
        self.last: dict = {}
        self.begin(phase)

    def begin(self, phase: str, replaced: str | None = None) -> None:
        """As the process does it at an order that changes what is expected."""
        wanted = plan.expectations(phase, URLS, replaced=replaced, foreign_port=9092)
        self.expectation = wanted[self.cluster]
        self.alerts += self.judge.renew(self.at)

    def see(self, *statuses, seconds: float = TICK) -> Watched:
        """For so long, the URLs of the phase answer so, in their order."""
        for _tick in range(max(1, round(seconds / TICK))):
            self.at += TICK
            readings = [self.reading(url, status) for url, status in zip(self.expectation.urls, statuses)]
            if sampling.undecided(readings, self.known):
                continue
            sample, self.known = sampling.take(self.at, self.cluster, self.expectation, readings, self.known)
            self.samples.append(sample)
            self.alerts += self.judge.hear(sample, self.expectation)
        return self

    def reading(self, url: str, status):
        if status is LIMITED:
            return sampling.Reading(self.clients[url], self.at, limited=True)
        return sampling.Reading(self.clients[url], self.at, status, 0.002 if status else None)

    @property
    def kinds(self) -> list[str]:
        return [alert.kind for alert in self.alerts]

    @property
    def sample(self) -> dict:
        return self.samples[-1].record()


def test_a_sample_has_the_leader_and_each_members_own_status():
    sample = Watched().see(leads(), follows(applied_index=38), SILENT).sample
    assert {
        name: sample[name] for name in ("quorum", "leader", "leader_address", "term", "voters", "answering", "watched")
    } == {
        "quorum": True,
        "leader": "pi-1",
        "leader_address": "10.77.0.11:9091",
        "term": 5,
        "voters": 3,
        "answering": 2,
        "watched": True,
    }
    assert sample["members"]["10.77.0.12:9091"] == {
        "voter": True,
        "answers": True,
        "latency_ms": 2.0,
        "state": "follower",
        "term": 5,
        "last_log_index": 40,
        "commit_index": 40,
        "applied_index": 38,
    }
    assert sample["members"]["10.77.0.13:9091"]["answers"] is False
    assert sample["members"]["10.77.0.13:9091"]["latency_ms"] is None


def test_neither_health_nor_a_dead_follower_raises_an_alert():
    assert Watched().see(*WELL, seconds=30).see(leads(), follows(), SILENT, seconds=30).alerts == []


def test_a_frozen_leader_raises_one_alert_until_it_is_over():
    watched = Watched().see(*WELL, seconds=4)
    froze = watched.at
    watched.see(SILENT, follows(), follows(), seconds=1.2)
    watched.see(SILENT, leads(2, 6), follows(2, 6), seconds=4)
    watched.see(follows(2, 6), leads(2, 6), follows(2, 6), seconds=4)
    raised, over = watched.alerts
    assert (raised.kind, raised.cluster, raised.began, raised.ended) == ("leader_lost", "old", froze, None)
    assert 3.0 < raised.at - froze < 3.0 + 2 * TICK
    assert "pi-1 (10.77.0.11:9091), has not answered for 3." in raised.message
    assert "pi-2 (10.77.0.12:9091) leads now" in raised.message
    assert (over.kind, over.began) == ("leader_lost", froze)
    assert over.ended == pytest.approx(froze + 5.2 + TICK)


@pytest.mark.parametrize("seconds", [0.4, 1.2, 2.8])
def test_a_short_freeze_raises_no_alert(seconds):
    watched = Watched().see(*WELL, seconds=4).see(SILENT, follows(), follows(), seconds=seconds)
    assert watched.see(*WELL, seconds=20).alerts == []


def test_an_election_without_a_dead_leader_is_no_alert():
    watched = Watched().see(*WELL, seconds=4).see(follows(None, 6), follows(None, 6), follows(None, 5), seconds=1.6)
    assert watched.see(follows(3, 7), follows(3, 7), leads(3, 7), seconds=20).alerts == []


def test_a_killed_leader_and_a_two_round_election_raise_no_alert():
    # As it was seen when a pod was killed and came back at once: 2.4 s in which three voters stood against each other.
    watched = Watched().see(*WELL, seconds=4).see(*[follows(None, 7)] * 3, seconds=2.4)
    assert watched.see(follows(2, 8), leads(2, 8), follows(2, 8), seconds=20).alerts == []


def test_no_leader_though_all_answer():
    watched = Watched().see(*WELL, seconds=4).see(*[follows(None, 9)] * 3, seconds=6)
    assert sorted(watched.kinds) == ["leader_lost", "quorum_lost"]
    quorum, leader = watched.alerts
    assert quorum.kind == "quorum_lost"
    assert "3 of 3 voters answer, but no majority agrees on a leader" in quorum.message
    assert 3.0 < quorum.at - quorum.began < 3.0 + 2 * TICK
    assert "has had no leader for 3." in leader.message


def test_quorum_lost_when_two_of_three_fall_silent():
    watched = Watched().see(*WELL, seconds=4).see(leads(), SILENT, SILENT, seconds=2.8)
    (alert,) = watched.alerts
    assert (alert.kind, alert.began) == ("quorum_lost", pytest.approx(1004.0))
    assert "1 of 3 voters answer" in alert.message
    assert watched.see(*WELL).alerts[-1].ended == watched.at


def test_no_member_answers_from_the_start():
    watched = Watched().see(SILENT, SILENT, SILENT, seconds=6)
    assert sorted(watched.kinds) == ["leader_lost", "quorum_lost"]
    assert watched.sample["voters"] == 0


def test_without_an_answer_the_last_known_members_are_silent():
    sample = Watched().see(*WELL).see(SILENT, SILENT, SILENT).sample
    assert (sample["voters"], sample["answering"], sample["quorum"]) == (3, 0, False)
    assert sorted(sample["members"]) == ["10.77.0.11:9091", "10.77.0.12:9091", "10.77.0.13:9091"]


def test_a_learner_is_no_voter_in_figures_and_texts():
    two_and_a_learner = (*UNITS[:2], dataclasses.replace(UNITS[2], voter=False))
    lead, learner = leads(members=two_and_a_learner), follows(members=two_and_a_learner)
    watched = Watched().see(lead, learner, learner, seconds=4)
    assert (watched.sample["answering"], watched.sample["voters"]) == (2, 2)
    watched.see(lead, SILENT, learner, seconds=2.8)
    (alert,) = watched.alerts
    # Without a majority of the voters no election can be under way, so it gets no longer than a lost quorum.
    assert (alert.kind, alert.message.endswith("1 of 2 voters answer")) == ("quorum_lost", True)
    assert (watched.sample["answering"], watched.sample["voters"]) == (1, 2)
    assert [member["voter"] for member in watched.sample["members"].values()] == [True, True, False]


# --- members that answer 429 from the start ---------------------------------------------------------


def test_a_limited_follower_can_be_reached_and_its_state_is_unknown():
    watched = Watched().see(leads(), follows(), LIMITED, seconds=30)
    assert watched.alerts == []
    assert (watched.sample["answering"], watched.sample["quorum"]) == (3, True)
    member = watched.sample["members"]["10.77.0.13:9091"]
    assert (member["answers"], member["state"], member["latency_ms"]) == (True, None, None)


def test_a_limited_follower_keeps_the_quorum_with_a_dead_one():
    watched = Watched().see(leads(), SILENT, LIMITED, seconds=30)
    assert watched.alerts == []
    assert (watched.sample["answering"], watched.sample["quorum"]) == (2, True)


def test_a_limited_leader_leads_while_the_others_name_it():
    watched = Watched().see(LIMITED, follows(), follows(), seconds=30)
    assert watched.alerts == []
    assert (watched.sample["leader"], watched.sample["quorum"]) == ("pi-1", True)


@pytest.mark.parametrize("others", [(LIMITED, LIMITED), (LIMITED, SILENT), (SILENT, SILENT)])
def test_nothing_is_judged_while_no_member_tells_its_state(others):
    watched = Watched().see(LIMITED, *others, seconds=30)
    assert (watched.alerts, watched.samples) == ([], [])


def test_a_limited_member_hides_no_dead_leader_and_no_lost_quorum():
    dead_leader = Watched().see(leads(), follows(), LIMITED, seconds=4).see(SILENT, follows(), LIMITED, seconds=6)
    assert dead_leader.kinds == ["leader_lost"]
    lost = Watched().see(leads(), follows(), LIMITED, seconds=4).see(SILENT, SILENT, LIMITED, seconds=6)
    assert sorted(lost.kinds) == ["leader_lost", "quorum_lost"]
    assert "1 of 3 voters answer" in next(alert.message for alert in lost.alerts if alert.kind == "quorum_lost")


def test_a_limited_neighbour_hides_no_leader_frozen_behind_the_gate():
    watched = Watched("cutover").see(*WELL, seconds=4)
    watched.see(LIMITED, follows(contact=1.3), follows(contact=1.3), seconds=6)
    assert watched.kinds == ["leader_lost"]


def test_a_leader_that_answers_but_commits_nothing():
    stuck = leads(last_index=45)
    watched = Watched().see(*WELL, seconds=2).see(stuck, follows(), follows(), seconds=4)
    (alert,) = watched.alerts
    assert alert.kind == "leader_lost"
    assert "has committed nothing for 3." in alert.message
    assert "it is at 40, and its log ends at 45" in alert.message


def test_a_leader_under_constant_load_is_healthy():
    watched = Watched()
    for index in range(40, 80):
        watched.see(leads(last_index=index + 3, commit_index=index), follows(), follows())
    assert watched.alerts == []


def test_a_pause_of_the_watch_itself_does_not_count_as_silence():
    watched = Watched().see(*WELL, seconds=4)
    watched.at += 60
    assert watched.see(SILENT, follows(), follows(), seconds=1.2).see(*WELL, seconds=4).alerts == []


def test_limits_can_be_set():
    watched = Watched(leader=1.0).see(*WELL, seconds=4).see(SILENT, follows(), follows(), seconds=1.6)
    assert watched.kinds == ["leader_lost"]


# --- cutover: the gate hides the old cluster ---------------------------------------------------------

HIDDEN = "the gate routes clients to the pods, the units cannot be seen from here"


def test_a_fenced_leader_is_alive_while_its_followers_hear_it():
    watched = Watched("cutover").see(*WELL, seconds=4)
    # A follower answers at the leader's address.
    watched.see(follows(), follows(), follows(), seconds=30)
    assert watched.alerts == []
    assert watched.sample["quorum"] is True
    assert watched.sample["leader"] == "pi-1"
    assert watched.sample["members"]["10.77.0.11:9091"]["answers"] is False


def test_a_leader_frozen_behind_the_fence_is_found():
    watched = Watched("cutover").see(*WELL, seconds=4).see(follows(), follows(), follows(), seconds=4)
    froze = watched.at
    watched.see(*[follows(contact=1.3)] * 3, seconds=4)
    (alert,) = watched.alerts
    assert (alert.kind, alert.began) == ("leader_lost", froze)


def test_the_old_cluster_is_not_watched_once_a_pod_answers():
    watched = Watched("cutover").see(*WELL, seconds=4)
    # Pi by Pi, and none of the three is a fault.
    watched.see(follows(), follows(), follows(2, 3, PODS))
    assert (watched.sample["watched"], watched.sample["why"], watched.sample["quorum"]) == (False, HIDDEN, None)
    watched.see(follows(2, 3, PODS), leads(2, 3, PODS), follows(2, 3, PODS), seconds=30)
    # Undone: the units answer again, and are watched again.
    watched.see(*WELL, seconds=4)
    assert watched.alerts == []
    assert watched.sample["watched"] is True


def test_an_earlier_problem_does_not_count_behind_a_closed_gate():
    watched = Watched("cutover").see(*WELL, seconds=4).see(SILENT, follows(), follows(), seconds=2)
    watched.see(SILENT, leads(2, 3, PODS), follows(2, 3, PODS), seconds=9)
    assert watched.alerts == []


def test_the_only_unit_behind_a_closed_gate_is_not_watched():
    watched = Watched("cutover")
    watched.expectation = dataclasses.replace(watched.expectation, urls=tuple(URLS["standard"][:1]))
    alone = (types.Member("pi-1", "10.77.0.11:9091"),)
    watched.see(leads(1, 5, alone), seconds=2).see(SILENT, seconds=30)
    assert watched.alerts == []
    assert watched.sample["why"] == "the gate may hide the only unit"


def test_before_cutover_a_pod_at_a_units_port_hides_nothing():
    watched = Watched("validate").see(*WELL, seconds=4)
    watched.see(follows(2, 3, PODS), leads(2, 3, PODS), follows(2, 3, PODS), seconds=4)
    assert watched.sample["watched"] is True


# --- port_migration: the pod of one Pi is replaced -------------------------------------------------


@pytest.fixture
def moving() -> Callable[[str], Watched]:
    def make(replaced: str) -> Watched:
        watched = Watched("validate", "new")
        watched.begin("port_migration", replaced)
        return watched

    return make


def test_a_follower_is_replaced(moving):
    lead, follow = leads(1, 3, PODS), follows(1, 3, PODS)
    watched = moving("10.77.0.12")
    # Standard ports are routed to the own pod, that of the Pi that is replaced to its neighbour; no temporary port is missing yet.
    watched.see(lead, follow, follow, lead, follow, follow, seconds=4)
    watched.see(lead, follow, follow, lead, SILENT, follow, seconds=12)
    # Removed while it is down.
    two = (PODS[0], PODS[2])
    watched.see(
        leads(1, 3, PODS, members=two), follows(1, 3, PODS, members=two), follows(1, 3, PODS, members=two),
        leads(1, 3, PODS, members=two), SILENT, follows(1, 3, PODS, members=two), seconds=4,
    )  # fmt: skip
    moved = members(0, 9092, 9091, 9092)
    lead, follow = leads(1, 3, moved), follows(1, 3, moved)
    watched.see(lead, follow, follow, lead, SILENT, follow, seconds=4)
    # The next one's turn: the one that came back speaks for itself again, on its new port.
    watched.begin("port_migration", "10.77.0.13")
    watched.see(lead, follow, follow, lead, SILENT, SILENT, seconds=10)
    assert watched.alerts == []
    assert watched.sample["quorum"] is True
    assert watched.sample["members"]["10.77.0.12:9091"]["answers"] is True
    assert watched.sample["members"]["10.77.0.13:9092"]["answers"] is False


def test_a_half_moved_member_of_an_earlier_run_is_missed(moving):
    lead, follow = leads(1, 3, PODS), follows(1, 3, PODS)
    watched = moving("10.77.0.12")
    watched.see(lead, follow, SILENT, lead, follow, SILENT, seconds=12)
    assert watched.alerts == []
    assert (watched.sample["answering"], watched.sample["quorum"]) == (2, True)


def test_a_leader_behind_a_gate_left_shut_is_alive(moving):
    moved = members(0, 9092, 9091, 9092)
    watched = moving("")
    for contact, seconds in ((0.05, 12), (2.0, 4)):
        follow = follows(2, 3, moved, contact)
        watched.see(follow, follow, follow, follow, SILENT, follow, seconds=seconds)
        if contact < 1:
            assert watched.alerts == []
            assert (watched.sample["leader"], watched.sample["answering"], watched.sample["quorum"]) == (
                "pi-2",
                2,
                True,
            )
    assert watched.kinds == ["leader_lost"]


def test_replacing_the_leaders_pod_allows_a_two_round_election(moving):
    lead, follow = leads(1, 3, PODS), follows(1, 3, PODS)
    watched = moving("10.77.0.11")
    # Its standard port routes to the neighbour, who follows it.
    watched.see(follow, follow, follow, lead, follow, follow, seconds=4)
    watched.see(follow, follow, follow, SILENT, follow, follow, seconds=1.6)
    split = follows(None, 5, PODS)
    watched.see(split, split, split, SILENT, split, split, seconds=3.2)
    lead, follow = leads(2, 6, PODS), follows(2, 6, PODS)
    watched.see(lead, lead, follow, SILENT, lead, follow, seconds=10)
    assert watched.alerts == []


def test_the_others_never_elect_a_leader(moving):
    watched = moving("10.77.0.11")
    lead, follow = leads(1, 3, PODS), follows(1, 3, PODS)
    watched.see(follow, follow, follow, lead, follow, follow, seconds=4)
    split = follows(None, 9, PODS)
    watched.see(split, split, split, SILENT, split, split, seconds=12)
    assert sorted(watched.kinds) == ["leader_lost", "quorum_lost"]


def test_a_leader_that_freezes_while_another_pod_is_replaced(moving):
    lead, follow = leads(1, 3, PODS), follows(1, 3, PODS)
    watched = moving("10.77.0.12")
    watched.see(lead, follow, follow, lead, SILENT, follow, seconds=4)
    froze = watched.at
    watched.see(SILENT, follow, follow, SILENT, SILENT, follow, seconds=4)
    (alert,) = watched.alerts
    assert (alert.kind, alert.cluster, alert.began) == ("leader_lost", "new", froze)


def test_a_leader_frozen_at_its_own_turn_raises_an_alert(moving):
    watched = moving("")
    lead, follow = leads(1, 3, PODS), follows(1, 3, PODS)
    watched.see(lead, follow, follow, lead, follow, follow, seconds=4)
    froze = watched.at
    watched.see(SILENT, follow, follow, SILENT, follow, follow, seconds=1.2)
    # Another one leads, so the one that is frozen is a follower, and the first to be moved.
    lead, follow = leads(2, 4, PODS), follows(2, 4, PODS)
    watched.begin("port_migration", "10.77.0.11")
    watched.see(SILENT, lead, follow, SILENT, lead, follow, seconds=3.6)
    (alert,) = watched.alerts
    assert (alert.kind, alert.began, alert.ended) == ("leader_lost", froze, None)
    # It lasts over the next order as well, and is over once it answers; from then on its going is the plan.
    watched.begin("port_migration", "10.77.0.13")
    watched.begin("port_migration", "10.77.0.11")
    watched.see(follow, lead, follow, follow, lead, follow, seconds=2)
    watched.see(lead, lead, follow, SILENT, lead, follow, seconds=12)
    _raised, over = watched.alerts
    assert (over.kind, over.began) == ("leader_lost", froze)
    assert over.ended == pytest.approx(froze + 4.8 + TICK)


def test_a_short_freeze_before_its_own_turn_raises_no_alert(moving):
    watched = moving("")
    lead, follow = leads(1, 3, PODS), follows(1, 3, PODS)
    watched.see(lead, follow, follow, lead, follow, follow, seconds=4)
    watched.see(SILENT, follow, follow, SILENT, follow, follow, seconds=1.2)
    watched.begin("port_migration", "10.77.0.11")
    watched.see(SILENT, follow, follow, SILENT, follow, follow, seconds=0.4)
    watched.see(follow, follow, follow, lead, follow, follow, seconds=2)
    watched.see(
        leads(2, 4, PODS),
        leads(2, 4, PODS),
        follows(2, 4, PODS),
        SILENT,
        leads(2, 4, PODS),
        follows(2, 4, PODS),
        seconds=12,
    )
    assert watched.alerts == []


def test_two_pis_have_no_majority_while_one_is_replaced(moving):
    two = PODS[:2]
    watched = moving("10.77.0.12")
    lead = leads(1, 3, PODS, members=two)
    watched.see(lead, lead, SILENT, lead, SILENT, SILENT, seconds=12)
    assert watched.alerts == []
    assert watched.sample["watched"] is False


# --- phases -----------------------------------------------------------------------------------------


def test_a_phase_past_its_limit_raises_one_alert():
    judge = judging.PhaseJudge()
    assert judge.hear(1009.0, "transfer", 1000.0, 10.0) == []
    (raised,) = judge.hear(1010.4, "transfer", 1000.0, 10.0)
    assert (raised.kind, raised.cluster, raised.began, raised.ended) == ("phase_timeout", None, 1000.0, None)
    assert raised.message == "phase transfer has run for 10 s, its limit is 10 s"
    assert judge.hear(1010.8, "transfer", 1000.0, 10.0) == []
    (over,) = judge.hear(1012.0, "validate", 1012.0, 10.0)
    assert over.ended == 1012.0


def test_without_a_limit_a_phase_may_take_as_long_as_it_likes():
    assert judging.PhaseJudge().hear(99999.0, "transfer", 1000.0, None) == []


@pytest.mark.parametrize(
    ("phase", "watched"),
    [
        ("prepare", {"old": ("whole", URLS["standard"])}),
        ("transfer", {"old": ("whole", URLS["standard"])}),
        ("validate", {"old": ("whole", URLS["standard"]), "new": ("whole", URLS["temporary"])}),
        ("cutover", {"old": ("gated", URLS["standard"]), "new": ("whole", URLS["temporary"])}),
        ("systemd_shutdown", {"new": ("whole", URLS["temporary"])}),
        ("port_migration", {"new": ("moving", URLS["standard"] + URLS["temporary"])}),
        ("cleanup", {"new": ("whole", URLS["standard"])}),
        ("rollback", {}),
    ],
)
def test_what_is_watched_in_which_phase(phase, watched):
    wanted = plan.expectations(phase, URLS, replaced="10.77.0.12", foreign_port=9092)
    assert {name: (expectation.mode, list(expectation.urls)) for name, expectation in wanted.items()} == watched
    assert {expectation.replaced for expectation in wanted.values() if expectation.mode == "moving"} <= {"10.77.0.12"}
    assert all(plan.Expectation.from_dict(expectation.as_dict()) == expectation for expectation in wanted.values())


@pytest.mark.parametrize(
    ("phase", "watched"),
    [
        ("prepare", {"old": ("whole", URLS["standard"])}),
        ("validate", {"old": ("whole", URLS["standard"])}),
        ("cutover", {"old": ("moving", URLS["standard"])}),
        ("cleanup", {"new": ("whole", URLS["standard"])}),
        ("rollback", {}),
    ],
)
def test_pi_by_pi_there_is_one_cluster_to_watch(phase, watched):
    wanted = plan.expectations(phase, URLS, replaced="10.77.0.12", foreign_port=9092, strategy="rolling")
    assert {name: (expectation.mode, list(expectation.urls)) for name, expectation in wanted.items()} == watched
    if phase == "cutover":
        assert (wanted["old"].replaced, wanted["old"].routed_away) == ("10.77.0.12", (URLS["standard"][1],))


def test_a_cluster_that_has_never_answered_may_be_healthy():
    """A control node that reaches the Pis through ssh alone: what it reports is its own view."""
    texts = [alert.message for alert in Watched().see(SILENT, SILENT, SILENT, seconds=6).alerts]
    assert len(texts) == 2
    for text in texts:
        assert "none of its daemons has answered this control node so far" in text
        assert "migration.safety.watch" in text
    # Daemons of a cluster that has no members yet do answer.
    empty = follows(None, all_members=())
    assert not any("so far" in alert.message for alert in Watched().see(empty, empty, empty, seconds=6).alerts)
    # And members that were known once are silent, not out of reach.
    assert not any("so far" in text for text in texts_after_an_answer())


def texts_after_an_answer() -> list[str]:
    return [alert.message for alert in Watched().see(*WELL).see(SILENT, SILENT, SILENT, seconds=6).alerts]

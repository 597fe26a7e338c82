# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core import waiting
from fake_raft import FULL, FakeCluster


@contextlib.contextmanager
def forwarder(host: str, url: str) -> Iterator[str]:
    """A URL on `host` that shows what `url` answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with urlopen(url + self.path) as answer:
                text = answer.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_args) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://{host}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_the_leader_has_the_name_of_its_host(run_module, cluster):
    known = {"pi-1": "127.0.2.1", "pi-2": "127.0.2.2", "pi-3": "127.0.2.3"}
    assert run_module("raft_info", {"urls": cluster.urls, "hosts": known})["leader"]["host"] == "pi-1"
    del known["pi-1"]
    failed = run_module("raft_info", {"urls": cluster.urls, "hosts": known})
    assert "led from 127.0.2.1:9092, which is not an address of pi-2 (127.0.2.2)" in failed["msg"]


def test_several_clusters_in_one_look_each_by_its_own_conditions(run_module, cluster):
    healthy = {"label": "old", "urls": cluster.urls, "wait_for": {"voters": 3, "caught_up": True}}
    pods = {"label": "new", "urls": cluster.urls[:1], "wait_for": {"answered": True}}
    known = {"pi-1": "127.0.2.1", "pi-2": "127.0.2.2", "pi-3": "127.0.2.3"}
    result = run_module("raft_info", {"clusters": [healthy, pods], "hosts": known})
    assert list(result["clusters"]) == ["old", "new"]
    for found in result["clusters"].values():
        assert (found["leader"]["host"], found["capabilities"]) == ("pi-1", sorted(FULL))
    assert "leader" not in result
    missing = {**healthy, "label": "new", "wait_for": {"voters": 4}}
    failed = run_module("raft_info", {"clusters": [pods | {"label": "old"}, missing, healthy | {"label": "third"}]})
    assert failed["failed"]
    assert "new: the cluster did not reach the wanted state" in failed["msg"]
    assert list(failed["clusters"]) == ["old", "new"]
    assert "failed" in run_module("raft_info", {"clusters": [pods], "urls": cluster.urls})
    assert "failed" in run_module("raft_info", {})


def test_it_waits_until_every_url_answers(run_module, cluster):
    given = {"urls": cluster.urls, "wait_for": {"answered": True}}
    assert "failed" not in run_module("raft_info", given)
    failed = run_module("raft_info", {**given, "urls": [*cluster.urls, "http://127.0.2.9:1"]})
    assert "answered: http://127.0.2.9:1" in failed["msg"]
    apart = {"addresses": ["127.0.2.3:9092"], "next_step": "move the folder away"}
    assert "127.0.2.3:9092" in run_module("raft_info", {**given, "apart_from": apart})["msg"]


def test_shows_the_leader_and_every_member(run_module, cluster):
    result = run_module("raft_info", {"urls": cluster.urls})

    assert result["leader"] == {"id": "n1", "address": "127.0.2.1:9092", "url": cluster.urls[0]}
    assert (result["term"], result["quorate"], result["caught_up"]) == (4, True, True)
    assert result["capabilities"] == sorted(FULL)
    assert result["unanswered"] == []
    assert result["behind"] == []
    assert result["members"][1] == {
        "id": "n2",
        "address": "127.0.2.2:9092",
        "voter": True,
        "url": cluster.urls[1],
        "reachable": True,
        "role": "follower",
        "term": 4,
        "last_index": 40,
        "commit_index": 40,
        "applied_index": 40,
        "fsm_pending": None,
        "lag": 0,
        "last_contact": 0.0125,
        "in_contact": True,
        "behind": None,
    }
    assert result["changed"] is False


def test_a_node_that_is_down_is_reported_and_the_rest_stays_quorate(run_module, cluster):
    cluster.nodes["n3"].alive = False
    result = run_module("raft_info", {"urls": cluster.urls})

    assert result["quorate"] is True
    assert result["caught_up"] is False
    assert [member["url"] for member in result["unanswered"]] == [cluster.urls[2]]
    assert result["members"][2]["reachable"] is False
    assert [member["behind"] for member in result["members"]] == [None, None, f"{cluster.urls[2]} does not answer"]
    assert result["behind"] == [f"n3 (127.0.2.3:9092): {cluster.urls[2]} does not answer"]


def test_the_leader_is_found_while_its_own_url_is_down(run_module, cluster):
    cluster.nodes["n1"].alive = False
    result = run_module("raft_info", {"urls": cluster.urls})

    assert result["leader"] == {"id": "n1", "address": "127.0.2.1:9092", "url": None}
    assert result["quorate"] is True
    assert result["caught_up"] is False


def test_followers_that_know_no_leader_make_no_quorum(run_module, cluster):
    cluster.sends_to = {}
    result = run_module("raft_info", {"urls": cluster.urls})

    assert result["leader"]["id"] == "n1"
    assert result["quorate"] is False


def test_two_leaders_of_one_term_are_rivals_and_no_leader(run_module, cluster):
    other = FakeCluster.start(1, leader="n1", term=cluster.term - 1)
    other.nodes["n1"].listens = "127.0.2.9:9092"
    try:
        result = run_module("raft_info", {"urls": [*cluster.urls, *other.urls]})
    finally:
        other.stop()
    assert result["leader"] is None
    assert result["quorate"] is False
    assert sorted(result["rivals"]) == sorted([cluster.urls[0], other.urls[0]])


def test_a_deposed_leader_of_an_older_term_is_no_rival(run_module, cluster):
    other = FakeCluster.start(1, leader="n1", term=cluster.term - 2)
    other.nodes["n1"].listens = "127.0.2.9:9092"
    try:
        result = run_module("raft_info", {"urls": [*other.urls, *cluster.urls]})
    finally:
        other.stop()
    assert result["leader"]["url"] == cluster.urls[0]
    assert result["rivals"] == []


def test_a_url_answered_by_another_host_counts_for_neither(run_module, cluster):
    # As when n2's clients are routed to n1 while n2 is away.
    cluster.nodes["n2"].alive = False
    with forwarder("127.0.2.2", cluster.urls[0]) as forwarded:
        result = run_module("raft_info", {"urls": [forwarded, *cluster.urls]})
    assert result["leader"] == {"id": "n1", "address": "127.0.2.1:9092", "url": cluster.urls[0]}
    assert result["members"][1]["reachable"] is False
    assert result["caught_up"] is False


def test_nothing_answers_and_that_is_a_result(run_module):
    result = run_module("raft_info", {"urls": ["http://127.0.2.1:1"]})

    assert result["leader"] is None
    assert result["term"] is None
    assert result["members"] == []
    assert result["quorate"] is False
    assert result["caught_up"] is False
    assert len(result["unanswered"]) == 1


def test_todays_releases_have_no_capabilities(run_module, cluster):
    cluster.profile = "upstream"
    assert run_module("raft_info", {"urls": cluster.urls})["capabilities"] == []


def test_waits_until_a_voter_has_caught_up(run_module, cluster):
    cluster.commit = 45
    cluster.nodes["n2"].pending = 3
    result = run_module("raft_info", {"urls": cluster.urls, "wait_for": {"caught_up": True}, "wait_timeout": 5})

    assert result["caught_up"] is True
    assert result["elapsed"] >= 0.1


def test_only_the_first_looks_are_close_together(run_module, cluster, monkeypatch):
    """The published daemon answers ten requests at once, then one a second."""
    pauses = []
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append))
    cluster.commit = 45
    cluster.nodes["n2"].pending = 6
    run_module("raft_info", {"urls": cluster.urls, "wait_for": {"caught_up": True}, "wait_timeout": 30})

    assert pauses == [0.02, 0.03, 0.05, 0.1, 0.1, 0.1]


def test_who_takes_long_to_start_has_caught_up_with_that_moment(run_module, cluster):
    """Not with what was committed when the wait began: clients would be shown what is as old as the wait."""
    node = cluster.nodes["n3"]
    node.alive = False

    def start() -> None:
        cluster.commit = 60
        # For some looks it is beyond the index of the beginning, and no further.
        node.applied, node.pending = 45, 6
        node.alive = True

    timer = threading.Timer(0.3, start)
    timer.start()
    try:
        result = run_module("raft_info", {"urls": cluster.urls, "wait_for": {"caught_up": True}, "wait_timeout": 10})
    finally:
        timer.join()
    assert result["caught_up"] is True, result
    assert result["members"][2]["applied_index"] == 60


def test_continuous_writes_do_not_move_the_goal(run_module, cluster):
    # Always ten entries behind the newest commit, but past what was committed when we asked.
    goal = cluster.commit = cluster.commit + 10
    cluster.nodes["n2"].pending = cluster.nodes["n3"].pending = 10**6
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.01):
            cluster.commit += 1
            for name in ("n2", "n3"):
                cluster.nodes[name].applied = cluster.commit - 10

    writer = threading.Thread(target=write)
    writer.start()
    try:
        result = run_module("raft_info", {"urls": cluster.urls, "wait_for": {"caught_up": True}, "wait_timeout": 5})
    finally:
        stop.set()
        writer.join()
    assert result["members"][1]["applied_index"] >= goal
    assert result["caught_up"] is True
    assert result["members"][1]["lag"] > 0


@pytest.mark.parametrize(
    ("condition", "reported"),
    [
        ({"voters": 4}, "voters: 3, wanted 4"),
        ({"leader_id_not": "n1"}, "leader_id_not: leader n1"),
        ({"caught_up": True}, "caught_up: n3 (127.0.2.3:9092): applied 40, wanted 50"),
    ],
)
def test_an_unmet_condition_fails_with_what_was_seen(run_module, cluster, condition, reported):
    cluster.commit = 50
    cluster.nodes["n3"].pending = 100
    result = run_module("raft_info", {"urls": cluster.urls, "wait_for": condition, "wait_timeout": 0.2})

    assert result["failed"] is True
    assert reported in result["msg"]
    assert reported in " ".join(result["failure"]["seen"])
    assert result["leader"]["id"] == "n1", "the picture comes along with the failure"


def test_waits_for_another_leader(run_module, cluster):
    threading.Timer(0.3, cluster.elect, ["n2"]).start()
    result = run_module("raft_info", {"urls": cluster.urls, "wait_for": {"leader_id_not": "n1"}, "wait_timeout": 5})
    assert result["leader"]["id"] == "n2"


def test_one_dead_host_costs_its_timeout_once(run_module, cluster):
    with socket.create_server(("127.0.2.77", 0), backlog=1) as silent:
        url = f"http://127.0.2.77:{silent.getsockname()[1]}"
        timeout = 3.0
        began = time.monotonic()
        result = run_module("raft_info", {"urls": [url, *cluster.urls], "timeout": timeout})
    assert time.monotonic() - began < 2 * timeout
    assert result["quorate"] is True


def test_a_wrong_token_is_an_error_that_says_so(run_module, cluster):
    cluster.token = "secret"
    assert "401" in run_module("raft_info", {"urls": cluster.urls})["unanswered"][0]["error"]
    assert run_module("raft_info", {"urls": cluster.urls, "token": "secret"})["quorate"] is True


def test_an_invalid_url_is_refused(run_module):
    result = run_module("raft_info", {"urls": ["10.77.0.11:8080"]})
    assert result["failed"] is True
    assert result["failure"]["seen"] == "10.77.0.11:8080"


def test_one_voter_has_caught_up_whatever_becomes_of_another(run_module, cluster):
    cluster.nodes["n3"].alive = False
    result = run_module(
        "raft_info", {"urls": cluster.urls, "wait_for": {"leader": True, "caught_up_at": ["127.0.2.2"]}}
    )

    assert result["caught_up"] is False
    assert result["members"][1]["in_contact"] is True
    assert result["members"][2]["in_contact"] is False


@pytest.mark.parametrize("condition", [{"caught_up": True}, {"caught_up_at": ["127.0.2.3"]}, {"voters": 3}])
def test_a_learner_counts_where_that_is_asked_for(run_module, cluster, condition):
    cluster.members["n3"] = (cluster.nodes["n3"].listens, False)

    def holds(**more):
        return "failed" not in run_module("raft_info", {"urls": cluster.urls, "wait_for": {**condition, **more}})

    assert holds(learners=True)
    assert holds() == ("caught_up" in condition), "one that is a learner delays nothing"
    cluster.nodes["n3"].alive = False
    assert holds(learners=True) == ("voters" in condition)
    result = run_module("raft_info", {"urls": cluster.urls, "wait_for": {"leader": True, "learners": True}})
    assert (result["caught_up"], result["voters"]) == (False, 2)
    assert "does not answer" in result["members"][2]["behind"]


@pytest.mark.parametrize("state", ["moved away", "removed", "no voter", "down"])
def test_a_voter_the_leader_does_not_reach_has_not_caught_up(run_module, cluster, state):
    node = cluster.nodes["n2"]
    if state == "moved away":
        node.listens = "127.0.2.2:9091"
    elif state == "removed":
        del cluster.members["n2"]
    elif state == "no voter":
        cluster.members["n2"] = (node.listens, False)
    else:
        node.alive = False
    result = run_module("raft_info", {"urls": cluster.urls, "wait_for": {"caught_up_at": ["127.0.2.3", "127.0.2.2"]}})

    assert result["failed"] is True
    assert "caught_up_at: " in result["msg"]
    assert "127.0.2.2" in result["msg"]

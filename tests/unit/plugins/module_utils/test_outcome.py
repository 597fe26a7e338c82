# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from conftest import import_plugin

outcome = import_plugin("module_utils._report.outcome")


def failure(host: str, task: str = "Join | Add it", message: str = "no leader", phase: str = "transfer") -> dict[str, str]:
    return {"host": host, "phase": phase, "task": task, "message": message}


def test_a_pause_says_what_is_true_and_both_commands():
    text = outcome.stopped([failure("pi-1"), failure("pi-2", task="", message="")], False, "none")
    assert text.splitlines() == [
        'The migration is paused: phase transfer stopped at "Join | Add it"',
        "pi-1: no leader",
        "Now: The systemd cluster serves reads and writes as before; the pods have no clients.",
        f"Go on: mend the cause, then (finished phases are left alone): {outcome.GO_ON}",
        f"Go back: {outcome.ROLLBACK}",
    ]


def test_what_a_loop_failed_with_is_what_its_item_said():
    said = outcome.failure_message
    assert said({"msg": "no leader"}) == "no leader"
    assert said({}) == ""
    items = [{"item": "pi-1", "msg": "fine"}, {"ansible_loop_var": "item", "item": "pi-3", "failed": True, "msg": "no leader"}]
    assert said({"msg": "One or more items failed", "results": items}) == "pi-3: no leader"
    away = {"ansible_loop_var": "peer", "peer": {"name": "pi-3"}, "unreachable": True, "msg": "no route"}
    assert said({"msg": "One or more items failed", "results": [away]}) == "no route"
    # A module may give results of its own without being a loop.
    assert said({"msg": "nothing applied", "results": [{"changed": False}]}) == "nothing applied"


def test_an_alert_is_told_without_the_way_it_came():
    came = "Task failed: The lookup plugin 'quorum_alert' failed: Quorum watch, leader_lost: pi-1"
    assert outcome.failure_message({"msg": came}) == "Quorum watch, leader_lost: pi-1"


def test_what_failed_for_all_is_told_once():
    text = outcome.stopped([failure("pi-1"), failure("pi-2")], False, "none")
    assert text.count("no leader") == 1


def test_a_pi_that_does_not_answer_is_named():
    text = outcome.stopped([failure("pi-1", task="", message=""), failure("pi-2", task="", message="does not answer")], False, "none")
    assert text.splitlines()[:2] == ["The migration is paused: phase transfer stopped", "pi-2: does not answer"]


def test_after_the_opening_the_pods_have_the_clients():
    assert "Cutover only has to be finished" in outcome.stopped([failure("pi-1", phase="cutover")], True, "none")
    text = outcome.stopped([failure("pi-1", phase="cleanup")], True, "none")
    assert "Now: The pods have the clients" in text
    # Whether all of them can serve is not written down: it has to be looked at.
    assert outcome.STATUS in text


def test_a_rollback_is_told_as_one():
    text = outcome.stopped([failure("pi-1")], True, "done")
    assert text.startswith("The migration was rolled back")
    assert "with every write the pods had taken" in text


def test_a_way_back_that_stops_is_told():
    text = outcome.stopped([failure("pi-1")], True, "Pods | Stop them: no answer")
    assert "The way back: Pods | Stop them: no answer" in text
    assert outcome.ROLLBACK in text

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import report_inputs as given
from conftest import import_plugin

status_of = import_plugin("module_utils._report.status")
outcome_of = import_plugin("module_utils._report.outcome")
run = import_plugin("module_utils._report.stopped")
stopped = import_plugin("filter.stopped").FilterModule().filters()["stopped"]


def failure(
    host: str, task: str = "Join | Add it", message: str = "no leader", phase: str = "transfer"
) -> dict[str, str]:
    return {"host": host, "phase": phase, "task": task, "message": message}


def test_a_pause_says_what_is_true_and_both_commands():
    text = stopped([failure("pi-1"), failure("pi-2", task="", message="")], False, "none")
    assert text.splitlines() == [
        'The migration is paused: phase transfer stopped at "Join | Add it"',
        "pi-1: no leader",
        f"Current state: not looked at. By the journal, no client was routed to the pods. Check with {run.STATUS}",
        f"To continue (fix the cause first; finished phases are skipped): {run.MIGRATE}",
        f"To roll back: {run.ROLLBACK}",
    ]


@pytest.mark.parametrize(
    ("phase", "rollback", "confirmed"),
    [("prepare", "none", False), ("transfer", "none", False), ("validate", "none", False), ("cutover", "none", True),
     ("port_migration", "none", True), ("transfer", "done", False), ("cutover", "done", False)],
)  # fmt: skip
def test_no_command_confirms_a_cutover_that_was_not_reached(phase, rollback, confirmed):
    """The run that stopped may have been one of `--tags prepare,transfer,validate`."""
    text = stopped([failure("pi-1", phase=phase)], False, rollback)
    assert (run.CONFIRM in text) == confirmed


def test_one_outcome_reads_the_same_in_all_three_places():
    outcome = outcome_of.Outcome(
        headline="The migration stopped",
        happened=("It failed.",),
        state=("Pods serve.", "pods: quorum."),
        command="go",
        why="fix it",
        back="return",
    )
    message, lines, verdict = (
        outcome_of.as_message(outcome),
        outcome_of.as_lines(outcome),
        outcome_of.as_verdict(outcome),
    )
    terminal = "\n".join(line for _kind, line in lines)
    for text in ("To continue (fix it)", "go", "To roll back", "return", "Current state", *outcome.state):
        assert text in message
        assert text in terminal
    assert verdict == {"headline": "The migration stopped", "happened": "It failed.", "now": ["Pods serve.", "pods: quorum."], "doubts": [],
                       "command": "go", "why": "fix it", "back": "return"}  # fmt: skip


def test_no_command_is_named_where_there_is_none():
    outcome = outcome_of.Outcome(headline="Running", happened=("It runs.",), state=("Pods serve.",), why="wait")
    assert "To " not in outcome_of.as_message(outcome)
    assert [line for _kind, line in outcome_of.as_lines(outcome)] == ["", "Current state", "  Pods serve."]


def test_a_failed_loop_has_the_message_of_its_item():
    message_of = run.failure_message
    assert message_of({"msg": "no leader"}) == "no leader"
    assert message_of({}) == ""
    items = [
        {"item": "pi-1", "msg": "fine"},
        {"ansible_loop_var": "item", "item": "pi-3", "failed": True, "msg": "no leader"},
    ]
    assert message_of({"msg": "One or more items failed", "results": items}) == "pi-3: no leader"
    away = {"ansible_loop_var": "peer", "peer": {"name": "pi-3"}, "unreachable": True, "msg": "no route"}
    assert message_of({"msg": "One or more items failed", "results": [away]}) == "no route"
    # A module may give results of its own without being a loop.
    assert message_of({"msg": "nothing applied", "results": [{"changed": False}]}) == "nothing applied"


def test_an_alert_is_reported_without_its_lookup_prefix():
    came = "Task failed: The lookup plugin 'quorum_alert' failed: Quorum watch, leader_lost: pi-1"
    assert run.failure_message({"msg": came}) == "Quorum watch, leader_lost: pi-1"


def test_a_failure_on_all_hosts_is_reported_once():
    text = stopped([failure("pi-1"), failure("pi-2")], False, "none")
    assert text.count("no leader") == 1


def test_a_pi_that_does_not_answer_is_named():
    text = stopped(
        [failure("pi-1", task="", message=""), failure("pi-2", task="", message="does not answer")], False, "none"
    )
    assert text.splitlines()[:2] == ["The migration is paused: phase transfer stopped", "pi-2: does not answer"]


def test_after_the_opening_the_pods_have_the_clients():
    assert "Cutover only has to be finished" in stopped([failure("pi-1", phase="cutover")], True, "none")
    text = stopped([failure("pi-1", phase="cleanup")], True, "none")
    assert "Current state: not looked at. By the journal, the pods have the clients" in text
    # Whether all of them can serve is not written down: it has to be looked at.
    assert run.STATUS in text


def test_a_rollback_is_reported_as_a_rollback():
    text = stopped([failure("pi-1")], True, "done")
    assert text.startswith("The migration was rolled back")
    assert "with every write the pods had taken" in text


def test_a_stopped_rollback_is_reported():
    text = stopped([failure("pi-1")], True, "Pods | Stop all: no answer")
    assert "Rollback: Pods | Stop all: no answer" in text
    assert run.ROLLBACK in text


def test_p6_a_failed_archive_still_counts_as_migrated():
    text = stopped(
        [failure("pi-1", task="Cleanup | Archive the data folder", message="both exist", phase="cleanup")], True, "none"
    )
    lines = text.splitlines()
    assert (
        lines[0] == 'Migrated; the archive was not made: phase cleanup stopped at "Cleanup | Archive the data folder"'
    )
    assert lines[1] == "pi-1: both exist"
    assert "Nothing was rolled back" in text
    assert f"To make the archive (fix the cause first): {run.play('complete')}" in lines


def test_pi_by_pi_a_pause_says_that_there_is_one_cluster():
    text = stopped([failure("pi-1", phase="cutover")], False, "none", "rolling")
    assert "units and pods are members of one cluster" in text
    assert "Cutover only has to be finished" not in text
    assert "the pods have the clients" in stopped([failure("pi-1", phase="cleanup")], False, "none", "rolling")
    assert "no client was routed" in stopped([failure("pi-1", phase="validate")], False, "none", "rolling")


@pytest.mark.parametrize("rollback", ["none", "done", "Pods | Stop all: no answer"])
def test_the_current_state_is_that_of_the_status_where_one_was_read(rollback: str):
    hosts = {name: given.host(name, written=given.journal("validate", "validate")) for name in given.NAMES}
    status = status_of.assemble_status(hosts, given.kube(), given.CONFIG, given.BEGAN + 140)
    text = stopped([failure("pi-1", phase="validate")], False, rollback, "parallel", status)
    assert "Current state: The daemons under systemd serve all clients. systemd: quorum, leader pi-1" in text
    assert "not looked at" not in text


def test_a_status_of_silent_pis_claims_nothing():
    hosts = {name: {"error": "unreachable", "address": name} for name in given.NAMES}
    status = status_of.assemble_status(hosts, {}, given.CONFIG, given.BEGAN + 140)
    text = stopped([failure("pi-1")], False, "none", "parallel", status)
    assert "Current state: Which daemons serve the clients is unknown." in text

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import report_inputs as given
from conftest import import_plugin

progress_of = import_plugin("module_utils._report.progress")
tail_of = import_plugin("module_utils._core.tail")
status_of = import_plugin("module_utils._report.status")
PENDING = dict.fromkeys(
    ("prepare", "transfer", "validate", "cutover", "systemd_shutdown", "port_migration", "cleanup"), "pending"
)


def begun() -> Any:
    progress = progress_of.Progress(given.BEGAN)
    for name in given.NAMES:
        assert progress.journal(name, PENDING, given.BEGAN, first=True) == []
    return progress


def at(seconds: float) -> float:
    return given.BEGAN + seconds


def texts(events: list[Any]) -> list[str]:
    return [event.text for event in events]


def shown(progress: Any, seconds: float) -> str:
    return "\n".join(line for _kind, line in progress.panel(at(seconds)))


def test_a_phase_begins_once_and_is_done_when_it_is_done_on_every_pi() -> None:
    progress = begun()
    assert texts(progress.journal("pi-1", {**PENDING, "prepare": "started"}, at(1))) == ["Prepare begins"]
    assert progress.journal("pi-2", {**PENDING, "prepare": "started"}, at(2)) == []
    progress.journal("pi-3", {**PENDING, "prepare": "started"}, at(2))
    for name in given.NAMES[:2]:
        assert progress.journal(name, {**PENDING, "prepare": "done"}, at(20)) == []
    assert texts(progress.journal("pi-3", {**PENDING, "prepare": "done"}, at(21))) == ["Prepare done after 20.0 s"]
    assert "✓ Prepare            20.0 s" in shown(progress, 30)


def test_a_phase_begins_once_the_one_before_is_done_on_every_pi() -> None:
    """Each Pi records both in one entry, one Pi before the other."""
    progress = begun()
    both = {**PENDING, "prepare": "done", "transfer": "started"}
    for name in given.NAMES:
        progress.journal(name, {**PENDING, "prepare": "started"}, at(1))
    assert progress.journal("pi-1", both, at(20)) == []
    assert "· Transfer" in shown(progress, 20)
    assert progress.journal("pi-2", both, at(20)) == []
    assert texts(progress.journal("pi-3", both, at(21))) == ["Prepare done after 20.0 s", "Transfer begins"]
    assert "▸ Transfer" in shown(progress, 22)


def test_what_an_earlier_run_did_is_no_event_but_is_shown() -> None:
    progress = progress_of.Progress(given.BEGAN)
    for name in given.NAMES:
        assert progress.journal(name, {**PENDING, "prepare": "done"}, at(0), first=True) == []
    assert "✓ Prepare            earlier" in shown(progress, 1)


def test_a_running_phase_shows_its_time_against_its_limit() -> None:
    progress = begun()
    progress.limit = 600
    progress.journal("pi-1", {**PENDING, "prepare": "started"}, at(1))
    assert "▸ Prepare            6.0 s of 10 min 00 s" in shown(progress, 7)


def test_only_changes_of_quorum_leader_and_term_are_events() -> None:
    progress = begun()
    assert texts(progress.sample(given.sample(1, "old", "pi-1", 2))) == [
        "systemd: quorum, 3 of 3 answer, leader pi-1, term 2"
    ]
    assert progress.sample(given.sample(2, "old", "pi-1", 2)) == []
    assert progress.sample(given.sample(2, "old", "pi-1", 2, silent="pi-3")) == [], (
        "a silent member is in the list, and no event"
    )
    lost = progress.sample(given.sample(3, "old", None, 3, quorum=False))
    assert (lost[0].kind, lost[0].text) == ("bad", "systemd: NO QUORUM, 3 of 3 answer, no leader, term 3")


def test_a_cluster_behind_the_gate_is_shown_with_the_reason() -> None:
    progress = begun()
    progress.sample(given.sample(1, "old", "pi-1", 2))
    hidden = progress.sample(given.unseen(2, "old"))
    assert [(event.kind, event.text) for event in hidden] == [("info", "systemd: the gate routes clients to the pods")]


def test_a_cluster_no_longer_watched_is_not_shown() -> None:
    progress = begun()
    progress.sample(given.sample(1, "old", "pi-1", 2))
    assert "systemd  quorum" in shown(progress, 3)
    assert "systemd  not watched now" in shown(progress, 7)


def test_an_alert_is_shown_once_and_again_when_it_is_over() -> None:
    progress = begun()
    first, over = given.alert()
    assert [event.kind for event in progress.alert(first)] == ["alert"]
    assert progress.alert(first) == []
    assert texts(progress.alert(over)) == ["over after 1.0 s: the cluster of pods has no leader"]


def test_what_is_waited_for_since_when_and_on_whom() -> None:
    progress = begun()
    progress.task_begins("Ports | Replace the pod", at(5))
    progress.task.hosts |= {"pi-2", "pi-1"}
    assert "Ports | Replace the pod on pi-1, pi-2, for 3.0 s" in shown(progress, 8)
    progress.last_line = at(15)
    assert progress.waiting(at(22)) == []
    assert texts(progress.waiting(at(24))) == ["now: Ports | Replace the pod on pi-1, pi-2, for 19.0 s"]
    progress.last_line = at(24)
    assert progress.waiting(at(27)) == [], "shown again only after a while"


def test_many_short_tasks_are_no_silence_either() -> None:
    progress = begun()
    progress.last_line = at(10)
    for second in range(10, 18):
        progress.task_begins(f"task {second}", at(second))
    assert texts(progress.waiting(at(18.5))) == ["now: task 17, for 1.5 s"]


def test_a_failure_ends_with_what_is_true_and_both_commands() -> None:
    progress = begun()
    hosts = {
        name: given.host(name, temporary="pod", written=given.journal("cutover", failed="cutover"))
        for name in given.NAMES
    }
    progress.status = status_of.assemble_status(hosts, given.kube(), given.CONFIG, at(140))
    assert progress.closing() == [], "a run that ends well says no such thing"
    progress.failed("pi-2", "Flip", "iptables-restore failed", at(70))
    reported = "\n".join(line for _kind, line in progress.closing())
    for line in ("The daemons under systemd serve all clients.", "systemd: quorum, leader pi-1, term 2, 3 of 3 voters answering.",
                 "--tags cutover -e confirm=true", "raft_migration.rollback -i"):  # fmt: skip
        assert line in reported


def test_a_tail_reads_whole_lines_once_and_follows_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    tail = tail_of.Tail(path)
    assert tail.read() == []
    path.write_text(json.dumps({"n": 1}) + '\n{"n":')
    assert tail.read() == [{"n": 1}]
    with path.open("a") as file:
        file.write(" 2}\nno json\n")
    assert tail.read() == [{"n": 2}]
    path.rename(tmp_path / "old.jsonl")
    path.write_text('{"n": 3}\n')
    assert tail.read() == [{"n": 3}]
    assert tail.read() == []


def test_the_phases_shown_are_those_of_the_strategy() -> None:
    progress = progress_of.Progress(given.BEGAN)
    progress.configured({"strategy": "rolling", "timeouts_seconds": {"phase_timeout": 600}})
    progress.journal("pi-1", PENDING, at(0), first=True)
    assert list(progress.states()) == ["prepare", "transfer", "validate", "cutover", "cleanup"]

    written = progress_of.Progress(given.BEGAN)
    written.configured({"strategy": "parallel"})
    done = {"prepare": "done", "transfer": "done", "validate": "pending", "cutover": "pending", "cleanup": "pending"}
    written.journal("pi-1", done, at(0), first=True)
    assert list(written.states()) == ["prepare", "transfer", "validate", "cutover", "cleanup"], (
        "a journal says more than a setting"
    )

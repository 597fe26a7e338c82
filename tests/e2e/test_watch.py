# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quorum watch on real hosts: a leader frozen for five seconds stops the run, a calm migration is never stopped, two runs never meet."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts as on
from tests.e2e import rehearsal

pytestmark = pytest.mark.longer

FROZEN_FOR = 5.0
TOLERANCE = 3.0  # seconds that a leader may be away (_watch.judge)
PAUSE = ["-e", json.dumps({"migration": {"safety": {"auto_rollback_on_error": False}}})]
STANDARD, TEMPORARY = 8080, 8082
# The run has the lock, and is at work.
BEGUN = "Journal | Record prepare as started"


@dataclass
class Run:
    """Runs of one test: its control node's folder, and what the watch left there."""

    control: Path

    def begin(self, tags: str, *arguments: str, on_line: Callable[[str], None] | None = None) -> rehearsal.Play:
        log = self.control.parent / f"{tags.replace(',', '-')}-{time.time():.0f}.log"
        return rehearsal.Play(
            "playbooks/migrate.yml", "--tags", tags, "-e", "confirm=true", "-e", f"raft_migration_control_dir={self.control}", *arguments,
            log=log, on_line=on_line,
        )  # fmt: skip

    def play(self, tags: str, *arguments: str, on_line: Callable[[str], None] | None = None) -> rehearsal.PlaybookRun:
        return self.begin(tags, *arguments, on_line=on_line).wait(400)

    def lines(self, name: str) -> list[dict[str, Any]]:
        file = self.control / "watch" / name
        return [json.loads(line) for line in file.read_text().split("\n")[:-1]] if file.exists() else []

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return self.lines("alerts.jsonl")

    def well(self, tags: str, *arguments: str) -> None:
        """A run without trouble: it ends well, and the watch has nothing to say."""
        run = self.play(tags, *arguments)
        assert run.returncode == 0, run.output[-4000:]
        assert self.alerts == [], self.alerts


@pytest.fixture
def runs(tmp_path: Path) -> Run:
    return Run(tmp_path / "control")


class Freeze:
    """Freezes a daemon for five seconds at the first line of the run that says so."""

    def __init__(self, line: str, name: str, of: str) -> None:
        self.line = line
        self.name = name
        self.of = of
        self.began = self.ended = 0.0
        self._thread = threading.Thread(target=self._strike)

    def __call__(self, line: str) -> None:
        if self.line in line and not self._thread.ident:
            self._thread.start()

    def _strike(self) -> None:
        kill = ["kill", self.name, "pi-controller", "--of", self.of, "--signal"]
        self.began = time.time()
        rehearsal.lab(*kill, "STOP")
        try:
            # The fault is a span of time.
            time.sleep(FROZEN_FOR)
        finally:
            rehearsal.lab(*kill, "CONT")
            self.ended = time.time()

    def over(self) -> None:
        assert self._thread.ident, f"the run never came to {self.line!r}"
        self._thread.join()


def assert_stopped(runs: Run, run: rehearsal.PlaybookRun, freeze: Freeze, cluster: str, phase: str) -> None:
    """The freeze is in the log of the watch, and in the words of the run that stopped."""
    assert_seen(runs, freeze, cluster, phase)
    assert run.returncode != 0
    assert f"leader_lost in phase {phase}: the leader of the {cluster} cluster, {freeze.name} (" in run.output


def assert_seen(runs: Run, freeze: Freeze, cluster: str, phase: str) -> None:
    """The freeze is in the log of the watch, with its times."""
    freeze.over()
    # An election of several rounds may be an alert of its own before this one.
    raised = next(alert for alert in runs.alerts if alert["kind"] == "leader_lost")
    assert (raised["cluster"], raised["phase"]) == (cluster, phase), runs.alerts
    assert freeze.name in raised["message"]
    assert abs(raised["began"] - freeze.began) < TOLERANCE
    assert TOLERANCE < raised["at"] - raised["began"] < 3 * TOLERANCE
    ends = [
        alert["ended"]
        for alert in runs.alerts
        if (alert["kind"], alert["began"]) == (raised["kind"], raised["began"]) and alert["ended"]
    ]
    if ends:
        assert freeze.began + FROZEN_FOR - 1 < ends[0] < freeze.ended + 3
    samples = [line for line in runs.lines("samples.jsonl") if line["cluster"] == cluster]
    assert (len(samples) - 1) / (samples[-1]["at"] - samples[0]["at"]) >= 2.0


def state_of(name: str, phase: str) -> str:
    return str(rehearsal.journal(name)["phases"][phase]["state"])


def test_a_frozen_leader_stops_the_run_before_the_cutover_only(
    old_world: Callable[[str], list[str]], runs: Run
) -> None:
    names = old_world("full")
    runs.well("prepare")

    # In the middle of a phase: what was seen before it began is not held against anyone.
    freeze = Freeze("Cluster | Wait for both clusters", on.leader(names, STANDARD), "unit")
    run = runs.play("transfer", *PAUSE, on_line=freeze)
    assert_stopped(runs, run, freeze, "old", "transfer")
    assert {state_of(name, "transfer") for name in names} == {"failed"}
    assert {on.unit_state(on.host(name))[1] for name in names} == {"active"}

    runs.well("transfer,validate,cutover")

    freeze = Freeze("Step aside | Route the Service past this Pi's pod", on.leader(names, TEMPORARY), "pod")
    run = runs.play("complete", *PAUSE, on_line=freeze)
    # Going back is for what cannot go forward: the pods have taken writes.
    assert_seen(runs, freeze, "new", "port_migration")
    assert run.returncode == 0, run.output[-4000:]
    assert {state_of(name, "cleanup") for name in names} == {"done"}


def test_a_frozen_leader_takes_the_run_back(old_world: Callable[[str], list[str]], runs: Run) -> None:
    names = old_world("full")
    freeze = Freeze(BEGUN, on.leader(names, STANDARD), "unit")
    run = runs.play("prepare,transfer", on_line=freeze)
    assert_stopped(runs, run, freeze, "old", "prepare")
    for name in names:
        pi = on.host(name)
        assert on.unit_state(pi) == ("enabled", "active")
        assert on.listening(pi).isdisjoint({9092, 9093, 8082})


def test_a_second_operator_is_refused_with_the_owners_name(
    old_world: Callable[[str], list[str]], runs: Run, tmp_path: Path
) -> None:
    names = old_world("full")
    reached = threading.Event()
    other = Run(tmp_path / "other")
    first = runs.begin("prepare", on_line=lambda line: reached.set() if BEGUN in line else None)
    assert reached.wait(120)
    # It would be over before the other one has asked for the lock. Its watch goes on, and holds that.
    first.process.send_signal(signal.SIGSTOP)
    try:
        second = other.play("prepare")
    finally:
        first.process.send_signal(signal.SIGCONT)
    run = first.wait(400)
    assert run.returncode == 0, run.output[-4000:]
    assert second.returncode != 0
    assert "the migration lock (Lease default/pi-controller-raft-migration) is held by " in second.output
    holder = json.loads((runs.control / "watch/watch.json").read_text())["run"]["pid"]
    assert f":{holder} since " in second.output
    assert second.changed == dict.fromkeys(names, 0)
    # The first run has given it back.
    again = other.play("prepare")
    assert again.returncode == 0, again.output[-4000:]


def test_a_run_that_was_killed_leaves_no_lock_behind(old_world: Callable[[str], list[str]], runs: Run) -> None:
    old_world("full")
    arguments = ["--tags", "prepare", "-e", f"raft_migration_control_dir={runs.control}"]
    reached = threading.Event()

    play = rehearsal.Play(
        "playbooks/migrate.yml", *arguments, on_line=lambda line: reached.set() if BEGUN in line else None
    )
    assert reached.wait(120)
    play.kill()
    play.wait(30)
    deadline = time.monotonic() + 5
    while json.loads((runs.control / "watch/watch.json").read_text())["ended"] is None:
        assert time.monotonic() < deadline, "the watch outlives its run"
        time.sleep(0.05)
    assert json.loads((runs.control / "watch/watch.json").read_text())["why"] == "the run is gone"
    leases = rehearsal.kubectl_json("-n", "default", "get", "leases")["items"]
    assert "pi-controller-raft-migration" not in {lease["metadata"]["name"] for lease in leases}
    runs.well("prepare")

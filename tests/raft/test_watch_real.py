# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watching process against real HashiCorp Raft: it outlives the module, and not the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.processes import identify

from tests.daemon.clusters import TEMPORARY, Cluster, eventually

TOKEN = "not-for-other-eyes"
TOLERANCE = 3.0  # seconds that a leader may be away (_watch.judge)


class Watch:
    """The module's states, on a folder and a run of their own."""

    def __init__(
        self, run_module: Callable[..., dict[str, Any]], cluster: Cluster, folder: Path, run: subprocess.Popen[bytes]
    ) -> None:
        self._run_module = run_module
        self.folder = folder
        self.run = run
        self.urls = [f"http://{node.host}:{TEMPORARY['rest']}" for node in cluster.nodes]

    def __call__(self, state: str, **options: Any) -> dict[str, Any]:
        base = {
            "state": state,
            "path": str(self.folder),
            "parent_pid": self.run.pid,
            "standard_urls": self.urls,
            "rest": {"token": TOKEN},
        }
        result = self._run_module("quorum_watch", {**base, **options})
        assert "failed" not in result, result
        return result

    def begin(self) -> int:
        pid = self("started")["pid"]
        self("phase", phase="prepare", phase_timeout=300)
        return int(pid)

    def lines(self, name: str) -> list[str]:
        """Whole ones: the last may be being written."""
        file = self.folder / name
        return file.read_text().split("\n")[:-1] if file.exists() else []

    def leader_lost(self) -> list[dict[str, Any]]:
        """Two that start an election at the same time may leave the cluster without quorum for as long as makes an alert, too."""
        return [alert for alert in self("checked")["alerts"] if alert["kind"] == "leader_lost"]

    def rate(self, count: int) -> float:
        """Samples a second, over as many as `count`."""
        begun = len(self.lines("samples.jsonl"))
        self.samples_beyond(count)
        first, *_, last = [json.loads(line)["at"] for line in self.lines("samples.jsonl")[begun - 1 : begun + count]]
        return count / (last - first)

    def samples_beyond(self, count: int) -> None:
        target = len(self.lines("samples.jsonl")) + count
        eventually(lambda: len(self.lines("samples.jsonl")) >= target, f"{target} samples")


@pytest.fixture
def watch(run_module: Callable[..., dict[str, Any]], cluster: Cluster, tmp_path: Path) -> Iterator[Watch]:
    run = subprocess.Popen(["sleep", "600"])
    try:
        yield Watch(run_module, cluster, tmp_path / "watch", run)
    finally:
        run.kill()
        run.wait()


def alive(pid: int) -> bool:
    return identify(pid) is not None


@pytest.fixture
def profile() -> str:
    # What is watched is the same in both.
    return "upstream"


def test_a_frozen_leader_raises_an_alert_a_calm_cluster_none(watch: Watch, cluster: Cluster) -> None:
    watch.begin()
    watch.samples_beyond(5)
    leader = cluster.leader
    assert leader.process
    leader.process.send_signal(signal.SIGSTOP)
    try:
        (raised,) = eventually(lambda: watch.leader_lost(), "an alert")
        # The others elect within two seconds; the one that hangs is not forgotten for that.
        watch.samples_beyond(3)
    finally:
        leader.process.send_signal(signal.SIGCONT)
    assert (raised["kind"], raised["cluster"], raised["phase"]) == ("leader_lost", "old", "prepare")
    assert leader.address in raised["message"]
    assert TOLERANCE < raised["at"] - raised["began"] < 3 * TOLERANCE
    (over,) = eventually(lambda: [alert for alert in watch.leader_lost() if alert["ended"]], "its end")
    assert over["began"] == raised["began"]
    watch("stopped")
    assert watch.leader_lost() == [over]


def test_it_samples_as_often_while_a_member_hangs(watch: Watch, cluster: Cluster) -> None:
    """A member that does not answer keeps a sample waiting, and must not keep the next one."""
    watch.begin()
    watch.samples_beyond(1)
    calm = watch.rate(6)
    follower = next(node for node in cluster.nodes if node is not cluster.leader)
    assert follower.process
    follower.process.send_signal(signal.SIGSTOP)
    try:
        watch.samples_beyond(4)
        rate = watch.rate(10)
        last = json.loads(watch.lines("samples.jsonl")[-1])
    finally:
        follower.process.send_signal(signal.SIGCONT)
    assert rate > 0.7 * calm
    assert last["members"][follower.address]["answers"] is False
    assert (last["answering"], last["quorum"]) == (2, True)
    assert watch("stopped")["alerts"] == []


def test_it_ends_with_the_run_and_when_stopped(watch: Watch, cluster: Cluster) -> None:
    pid = watch.begin()
    assert alive(pid)
    assert os.getsid(pid) not in (os.getsid(0), pid), "it is in a session of its own, and does not lead it"
    assert watch("started")["changed"] is False
    assert watch("stopped")["changed"] is True
    assert not alive(pid)
    assert watch("stopped")["changed"] is False

    pid = watch.begin()
    watch.run.kill()
    watch.run.wait()
    eventually(lambda: not alive(pid), "the watch ends because its run is gone", timeout=60)


def test_the_token_is_nowhere_to_be_read(watch: Watch, cluster: Cluster) -> None:
    pid = watch.begin()
    watch.samples_beyond(2)
    assert TOKEN.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert TOKEN.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    for file in watch.folder.iterdir():
        assert TOKEN not in file.read_text()
        assert file.stat().st_mode & 0o077 == 0
    watch("stopped")


def test_a_second_run_cannot_use_the_same_folder(watch: Watch, run_module: Callable[..., dict[str, Any]]) -> None:
    watch.begin()
    other = subprocess.Popen(["sleep", "600"])
    try:
        refused = run_module("quorum_watch", {"state": "started", "path": str(watch.folder), "parent_pid": other.pid})
        assert f"process {watch.run.pid} on this machine runs a playbook whose watch uses" in refused["msg"]
    finally:
        other.kill()
        other.wait()
    watch("stopped")


def test_a_watch_that_was_killed_is_missed_at_the_next_phase(
    watch: Watch, run_module: Callable[..., dict[str, Any]]
) -> None:
    pid = watch.begin()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), "it is dead")
    missed = run_module(
        "quorum_watch", {"state": "phase", "phase": "transfer", "path": str(watch.folder), "parent_pid": watch.run.pid}
    )
    assert "the quorum watch ended unexpectedly" in missed["msg"]


def test_a_phase_without_a_watch_fails(watch: Watch) -> None:
    assert watch("phase", phase="transfer")["running"] is False


def test_nothing_prevents_a_rollback(watch: Watch) -> None:
    os.kill(watch.begin(), signal.SIGKILL)
    eventually(lambda: not watch("checked")["running"], "it is dead")
    assert watch("phase", phase="rollback")["running"] is False


def test_the_watch_of_a_dead_run_makes_room_for_the_next(
    watch: Watch, run_module: Callable[..., dict[str, Any]]
) -> None:
    pid = watch.begin()
    # Held still, so that it does not notice by itself that its run is gone.
    os.kill(pid, signal.SIGSTOP)
    watch.run.kill()
    watch.run.wait()
    os.kill(pid, signal.SIGCONT)
    other = subprocess.Popen(["sleep", "600"])
    try:
        taken = run_module("quorum_watch", {"state": "started", "path": str(watch.folder), "parent_pid": other.pid})
        assert taken["running"] is True
        assert taken["pid"] != pid
        assert not alive(pid)
        run_module("quorum_watch", {"state": "stopped", "path": str(watch.folder), "parent_pid": other.pid})
    finally:
        other.kill()
        other.wait()

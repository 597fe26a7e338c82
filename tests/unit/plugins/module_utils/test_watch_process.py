# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watching process, one look after the other, without its loop: what it writes, and when."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin

client = import_plugin("module_utils._daemon.pi_controller.client")
files = import_plugin("module_utils._watch.files")
judging = import_plugin("module_utils._watch.judge")
process = import_plugin("module_utils._watch.process")
processes = import_plugin("module_utils._core.processes")
types = import_plugin("module_utils._daemon.interface")

URLS = [f"http://10.77.0.1{number}:8080" for number in (1, 2, 3)]
SETTINGS = process.Settings(judging.AlertLimits(), timeout=1.0, lifetime=10.0)


class Watched:
    """A watch whose clock, and whose members' answers, are set by hand."""

    def __init__(self, folder: Any) -> None:
        self.folder = folder
        clients = {url: client.PiController(url) for url in URLS}
        self.watch = process.Watch(folder, clients, SETTINGS, processes.identify(os.getpid()))
        self.at = 1000.0
        self.watch.clock = lambda: self.at
        self.number = 0

    def order(self, phase: str, **more: Any) -> None:
        self.number += 1
        order = {"number": self.number, "phase": phase, "phase_timeout": 600.0, "watch": {}}
        self.folder.write(files.ORDER, {**order, **more})
        self.watch._apply_order()

    def answer(self, url: str, status: Any = None, **more: Any) -> None:
        poller = self.watch._pollers[url]
        poller.last = process.Reading(poller.client, self.at, status, **more)

    def look(self, at: float) -> None:
        self.at = at
        self.watch._look()

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return self.folder.alerts()

    @property
    def about(self) -> dict[str, Any]:
        return json.loads((self.folder.path / files.ABOUT).read_text())


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    folder = files.WatchFolder(tmp_path / "watch")
    folder.begin_run()
    return Watched(folder)


def test_a_timeout_ends_with_its_phase_before_the_next_one_counts(watched: Watched) -> None:
    watched.order("cutover")
    watched.look(1601.0)
    (raised,) = watched.alerts
    assert (raised["kind"], raised["phase"], raised["ended"]) == ("phase_timeout", "cutover", None)
    watched.at = 1602.0
    watched.order("systemd_shutdown")
    (over,) = watched.alerts
    assert (over["phase"], over["ended"]) == ("cutover", 1602.0)


def test_a_wall_clock_that_is_set_back_makes_no_phase_longer(watched: Watched) -> None:
    # What the playbook's own clock says by then.
    watched.order("transfer", phase_started=watched.at - 3600.0)
    watched.look(1000.4)
    assert watched.alerts == []
    assert watched.about["phase_started"] == 1000.0


def test_each_turn_of_a_phase_has_the_whole_limit(watched: Watched) -> None:
    """With seven Pis a phase may take longer than any limit that is of use for one of them."""
    watched.order("port_migration")
    watched.look(1500.0)
    watched.order("port_migration")
    assert watched.about["phase_started"] == 1500.0
    watched.look(2000.0)
    assert watched.alerts == []
    watched.look(2101.0)
    (alert,) = watched.alerts
    assert (alert["kind"], alert["began"]) == ("phase_timeout", 1500.0)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether the disk of the folder is full from here on."""
    state = {"full": False}
    append, write = files.WatchFolder.append, files.WatchFolder.write

    def unless_full(done: Callable[..., None]) -> Callable[..., None]:
        def attempt(*arguments: Any) -> None:
            if state["full"] and files.ORDER not in arguments:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done(*arguments)

        return attempt

    monkeypatch.setattr(files.WatchFolder, "append", unless_full(append))
    monkeypatch.setattr(files.WatchFolder, "write", unless_full(write))
    return lambda is_full: state.update(full=is_full)


def test_an_alert_on_a_full_disk_is_written_once_there_is_room(watched: Watched, full: Callable[[bool], None]) -> None:
    watched.order("transfer")
    full(True)
    watched.look(1601.0)
    watched.look(1601.4)
    assert watched.alerts == []
    full(False)
    watched.look(1601.8)
    (alert,) = watched.alerts
    assert (alert["kind"], alert["at"], alert["ended"]) == ("phase_timeout", 1601.0, None)
    watched.look(1602.2)
    assert len(watched.folder.lines(files.ALERTS)) == 1


def test_a_sample_on_a_full_disk_is_left_out(watched: Watched, full: Callable[[bool], None]) -> None:
    watched.order("transfer", watch={"old": {"mode": "whole", "urls": []}})
    full(True)
    watched.look(1000.4)
    full(False)
    watched.look(1000.8)
    assert [line["at"] for line in watched.folder.lines(files.SAMPLES)] == [1000.8]


def test_an_order_on_a_full_disk_counts_once_there_is_room(watched: Watched, full: Callable[[bool], None]) -> None:
    watched.order("transfer")
    full(True)
    watched.order("validate")
    assert watched.about["phase"] == "transfer"
    full(False)
    watched.look(1000.4)
    assert (watched.about["phase"], watched.about["order"]) == ("validate", 2)


def test_a_disk_that_fills_up_leaves_no_half_line(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.folder.append(files.ALERTS, {"at": 1})
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:5]))
    with pytest.raises(OSError, match="No space left on device"):
        watched.folder.append(files.ALERTS, {"at": 2})
    monkeypatch.undo()
    watched.folder.append(files.ALERTS, {"at": 3})
    assert watched.folder.lines(files.ALERTS) == [{"at": 1}, {"at": 3}]


class Unauthorized(Exception):
    status = 401


def test_a_lock_that_is_not_renewed_grows_old(watched: Watched) -> None:
    """Credentials that have expired are no alert, but the lock runs out, and watch.json has the last renewal."""
    answers: list[Any] = [None, Unauthorized()]

    def renew() -> None:
        if answers[0] is not None:
            raise answers[0]

    lock = process.Lock(take=renew, renew=renew, release=lambda: None, good_for=30.0, forget=lambda: None)
    watch = process.Watch(watched.folder, {}, SETTINGS, processes.identify(os.getpid()), lock)
    keeper = watch._keeper
    keeper.renewed -= 3600
    watch._look()
    assert files.lock_doubt(watched.about) == "it was last renewed 3600 s ago"
    assert keeper.attempt() == process.RENEW_EVERY
    watch._look()
    renewed = watched.about["lock"]["renewed"]
    assert files.lock_doubt(watched.about) is None
    answers.pop(0)
    assert keeper.attempt() == process.RENEW_AGAIN
    watch._look()
    assert (watched.about["lock"]["renewed"], watched.alerts) == (renewed, [])


def test_the_age_of_a_renewal_is_by_a_clock_that_does_not_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """`time.monotonic` stops while a Linux machine is suspended."""
    asked: list[int] = []

    def read(clock: int) -> float:
        asked.append(clock)
        return 100.0

    monkeypatch.setattr(files.time, "clock_gettime", read)
    assert files.lock_doubt({"lock": {"renewed": 40.0, "good_for": 30.0}}) == "it was last renewed 60 s ago"
    assert files.lock_doubt({"lock": {"renewed": 80.0, "good_for": 30.0}}) is None
    assert files.lock_doubt({"lock": None}) is None
    assert set(asked) == {getattr(files.time, "CLOCK_BOOTTIME", files.time.CLOCK_MONOTONIC)}


class Member:
    """A member whose next answer is given, and a poller that is asked for its reading."""

    url = "http://10.77.0.11:8080"

    def __init__(self) -> None:
        self.at = 1000.0
        self.poller = process.Poller(self, 0.4, lambda: self.at)

    def limits(self) -> None:
        self.poller._slow_down(self.at)

    @property
    def reading(self) -> Any:
        return self.poller.reading(self.at, SETTINGS.timeout)


def test_a_member_that_answers_429_from_the_start_is_reachable() -> None:
    member = Member()
    member.limits()
    assert (member.reading.status, member.reading.limited) == (None, True)
    assert member.poller.interval == process.SLOW_INTERVAL


def test_a_member_that_answers_429_after_it_was_silent_is_reachable() -> None:
    member = Member()
    member.poller.last = process.Reading(member, member.at)
    assert not member.reading.reachable
    member.limits()
    assert member.reading.reachable


def test_an_earlier_answer_holds_while_a_member_answers_429() -> None:
    member, status = Member(), types.NodeStatus("leader", "10.77.0.11:9091", True, (), term=5)
    member.poller.last = process.Reading(member, member.at, status, 0.002)
    member.at += 60
    member.limits()
    assert (member.reading.status, member.reading.at, member.reading.limited) == (status, 1060.0, False)


def test_a_leader_that_answers_429_with_an_entry_is_not_stuck(watched: Watched) -> None:
    watched.order("transfer", watch={"old": {"mode": "whole", "urls": URLS}})
    members = tuple(types.Member(f"pi-{number}", f"10.77.0.1{number}:9091") for number in (1, 2, 3))
    leads = types.NodeStatus("leader", members[0].address, True, members, term=5, last_index=8, commit_index=7)
    watched.answer(URLS[0], leads)
    poller = watched.watch._pollers[URLS[0]]
    for number in range(20):
        for url in URLS[1:]:
            watched.answer(url, types.NodeStatus("follower", members[0].address, False, members, term=5))
        watched.look(watched.at + 0.4)
        poller._slow_down(watched.at)
        assert watched.alerts == [], number


def test_a_member_that_answered_429_and_hangs_is_silent() -> None:
    member = Member()
    member.limits()
    member.at += 60
    assert not member.reading.reachable


def test_one_member_that_answers_429_does_not_blind_the_watch(watched: Watched) -> None:
    watched.order("transfer", watch={"old": {"mode": "whole", "urls": URLS}})
    members = tuple(types.Member(f"pi-{number}", f"10.77.0.1{number}:9091") for number in (1, 2, 3))
    follower = types.NodeStatus("follower", members[0].address, False, members, term=5)
    watched.answer(URLS[0], types.NodeStatus("leader", members[0].address, True, members, term=5))
    watched.answer(URLS[1], follower)
    watched.look(1000.4)
    assert watched.folder.lines(files.SAMPLES) == []
    watched.answer(URLS[2], limited=True)
    watched.look(1000.8)
    (sample,) = watched.folder.lines(files.SAMPLES)
    assert (sample["quorum"], sample["answering"], sample["leader"]) == (True, 3, "pi-1")

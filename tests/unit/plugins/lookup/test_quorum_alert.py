# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from conftest import import_plugin

files = import_plugin("module_utils._watch.files")
processes = import_plugin("module_utils._core.processes")
lookup = import_plugin("lookup.quorum_alert")

FROZEN = {
    "at": 1003.2,
    "kind": "leader_lost",
    "cluster": "old",
    "phase": "validate",
    "message": "the leader of the old cluster, pi-1 (10.77.0.11:9091), has not answered for 3.2 s; no member leads now",
    "began": 1000.0,
    "ended": None,
}


@pytest.fixture(autouse=True)
def fresh_process() -> None:
    """Each test is a process of its own to the lookup, which remembers the run it is in."""
    lookup.run_above.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """The folder of a watch that this very process has started."""
    made = files.WatchFolder(tmp_path / "watch")
    made.begin_run()
    made.write("watch.json", {"run": dict(processes.identify(os.getpid()).as_dict())})
    made.write("order.json", {"watch": {"old": {}, "new": {}}})
    return made


@pytest.fixture
def look(folder: Any) -> Callable[[], Any]:
    return lambda: lookup.LookupModule().run([str(folder.path)])


def test_no_watch_and_no_alert_give_an_empty_environment(look, tmp_path):
    assert lookup.LookupModule().run([str(tmp_path / "nowhere")]) == [{}]
    assert look() == [{}]


def test_an_alert_fails_the_task_with_its_message(folder, look):
    folder.append("alerts.jsonl", FROZEN)
    with pytest.raises(AnsibleError) as stopped:
        look()
    assert (
        "leader_lost in phase validate: the leader of the old cluster, pi-1 (10.77.0.11:9091), has not answered"
        in str(stopped.value)
    )
    assert "(it lasts)" in str(stopped.value)


def test_an_alert_that_is_over_stops_the_task_once(folder, look):
    folder.append("alerts.jsonl", FROZEN)
    folder.append("alerts.jsonl", {**FROZEN, "at": 1005.0, "ended": 1005.0})
    with pytest.raises(AnsibleError) as stopped:
        look()
    assert str(stopped.value).count("leader_lost") == 1
    assert "(it was over after 5.0 s)" in str(stopped.value)


def test_l4_only_a_lost_lock_stops_a_rollback(folder):
    def look():
        return lookup.LookupModule().run([str(folder.path)], kinds=["lock_lost"])

    folder.append("alerts.jsonl", FROZEN)
    assert look() == [{}]
    folder.append(
        "alerts.jsonl", {**FROZEN, "kind": "lock_lost", "cluster": None, "message": "the lock is not ours any more"}
    )
    with pytest.raises(AnsibleError, match="lock_lost in phase validate: the lock is not ours any more"):
        look()


@pytest.fixture
def waiting(folder: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, list[str]]]:
    """A look past the cutover: what it gives, and what it shows."""
    monkeypatch.setattr(lookup, "INTERVAL", 0.02)
    shown: list[str] = []
    monkeypatch.setattr(lookup.Display, "display", lambda _self, text, *_args, **_options: shown.append(text))
    variables = {"ansible_play_hosts": ["pi-1", "pi-2"], "inventory_hostname": "pi-1"}

    def look(seconds: float, host: str = "pi-1") -> tuple[Any, list[str]]:
        return lookup.LookupModule().run(
            [str(folder.path)], {**variables, "inventory_hostname": host}, wait_out=seconds
        ), shown

    return look


def test_k11_a_loss_that_is_over_stops_nothing_past_the_cutover(folder, waiting):
    folder.append("alerts.jsonl", FROZEN)
    folder.append("alerts.jsonl", {**FROZEN, "at": 1011.7, "ended": 1011.7})

    assert waiting(60) == ([{}], [])


def test_k11_a_loss_that_lasts_is_waited_out_and_the_run_goes_on(folder, waiting):
    folder.append("alerts.jsonl", FROZEN)
    over = {**FROZEN, "at": 1011.7, "ended": 1011.7}
    timer = threading.Timer(0.2, lambda: folder.append("alerts.jsonl", over))
    timer.start()
    found, shown = waiting(60)
    timer.join()

    assert found == [{}]
    assert shown[0] == f"{FROZEN['message']}. Waiting up to 60 s for it to be over ..."
    assert "the run goes on" in shown[1]


def test_k11_one_host_reports_what_is_waited_for(folder, waiting):
    folder.append("alerts.jsonl", FROZEN)
    folder.append("alerts.jsonl", {**FROZEN, "kind": "phase_timeout", "cluster": "gone"})
    timer = threading.Timer(0.2, lambda: folder.append("alerts.jsonl", {**FROZEN, "ended": 1011.7}))
    timer.start()
    found, shown = waiting(60, host="pi-2")
    timer.join()

    assert (found, shown) == ([{}], [])


def test_k11_a_loss_that_is_not_over_in_time_stops_the_run(folder, waiting):
    folder.append("alerts.jsonl", FROZEN)
    with pytest.raises(AnsibleError, match=r"leader_lost in phase validate: .*\(it lasts\)"):
        waiting(0.1)


@pytest.mark.parametrize("kind", ["lock_lost", "phase_timeout"])
def test_k11_other_alerts_are_not_waited_for(folder, waiting, kind):
    folder.append("alerts.jsonl", {**FROZEN, "kind": kind, "cluster": None})
    patience = 60
    began = time.monotonic()
    with pytest.raises(AnsibleError, match=kind):
        waiting(patience)
    assert time.monotonic() - began < patience / 2


def test_a_cluster_that_is_not_watched_any_more_stops_nothing(folder, look):
    folder.append("alerts.jsonl", FROZEN)
    folder.write("order.json", {"watch": {"new": {}}})
    assert look() == [{}]
    folder.append("alerts.jsonl", {**FROZEN, "kind": "phase_timeout", "cluster": None})
    with pytest.raises(AnsibleError, match="phase_timeout"):
        look()


def test_an_earlier_phases_timeout_that_is_over_stops_nothing(folder, look):
    timeout = {**FROZEN, "kind": "phase_timeout", "cluster": None, "phase": "cutover"}
    over = {**timeout, "ended": 1601.0}
    folder.write("order.json", {"phase": "systemd_shutdown", "watch": {"new": {}}})
    folder.append("alerts.jsonl", timeout)
    with pytest.raises(AnsibleError, match=r"phase_timeout in phase cutover: .*\(it lasts\)"):
        look()
    folder.append("alerts.jsonl", over)
    assert look() == [{}]
    folder.write("order.json", {"phase": "cutover", "watch": {"new": {}}})
    with pytest.raises(AnsibleError, match="phase_timeout in phase cutover"):
        look()


def test_the_alert_of_another_run_is_not_ours(folder, look):
    folder.append("alerts.jsonl", FROZEN)
    folder.write("watch.json", {"run": {"pid": os.getpid(), "started": "an earlier process of this number"}})
    assert look() == [{}]
    folder.write("watch.json", {"run": {"pid": 1, "started": processes.identify(1).started}})
    assert look() == [{}]


def test_the_run_may_be_further_up_than_its_workers(folder, look, monkeypatch):
    """The recorded run is the wrapper, as with `timeout 2h ansible-playbook`: the worker's grandparent."""
    wrapper = processes.identify(1)
    monkeypatch.setattr(lookup, "playbook_run", lambda: wrapper)
    folder.write("watch.json", {"run": dict(wrapper.as_dict())})
    folder.append("alerts.jsonl", FROZEN)
    for _host in ("pi-1", "pi-2"):
        with pytest.raises(AnsibleError, match="leader_lost in phase validate"):
            look()


def test_the_run_is_looked_for_once_in_a_process(folder, look, monkeypatch):
    asked: list[int] = []
    wrapper = processes.identify(1)
    monkeypatch.setattr(lookup, "playbook_run", lambda: asked.append(os.getpid()) or wrapper)
    folder.append("alerts.jsonl", {**FROZEN, "cluster": "gone"})
    folder.write("watch.json", {"run": dict(wrapper.as_dict())})
    assert [look(), look()] == [[{}], [{}]]
    assert asked == [os.getpid()]


@pytest.fixture
def dead(folder: Any) -> Callable[..., None]:
    """This run's watch has died, and has written this about itself."""
    process = subprocess.Popen(["sleep", "60"])
    watch = dict(processes.identify(process.pid).as_dict())
    process.kill()
    process.wait()
    about = {"run": dict(processes.identify(os.getpid()).as_dict()), "process": watch, "phase": "transfer"}
    return lambda **more: folder.write("watch.json", {**about, **more})


@pytest.mark.parametrize("why", [None, "it could not go on", "its lifetime is over"])
@pytest.mark.parametrize("kinds", [None, ["lock_lost"]])
def test_a_watch_that_died_stops_the_task(folder, dead, why, kinds):
    dead(why=why)
    with pytest.raises(
        AnsibleError, match="lock_lost in phase transfer: the quorum watch .* ended unexpectedly"
    ) as stopped:
        lookup.LookupModule().run([str(folder.path)], kinds=kinds)
    assert (why or "no reason is known") in str(stopped.value)


def test_a_watch_that_was_stopped_stops_nothing(dead, look):
    dead(why="stopped", ended=1003.0)
    assert look() == [{}]


def test_the_dead_watch_of_another_run_stops_nothing(dead, look):
    dead(run={"pid": os.getpid(), "started": "an earlier process of this number"})
    assert look() == [{}]
    dead(run={"pid": 1, "started": processes.identify(1).started})
    assert look() == [{}]


def test_a_watch_that_lives_costs_one_look_at_one_process(folder, dead, look, monkeypatch):
    looked_at: list[int] = []
    identify = processes.identify
    dead(process=dict(identify(os.getpid()).as_dict()))
    monkeypatch.setattr(processes, "identify", lambda pid: looked_at.append(pid) or identify(pid))
    assert look() == [{}]
    assert looked_at == [os.getpid()]


@pytest.mark.parametrize(("age", "asked", "stops"), [(20, True, False), (40, True, True), (40, False, False)])
def test_a_lock_that_was_not_renewed_stops_who_asks(folder, age, asked, stops):
    here = dict(processes.identify(os.getpid()).as_dict())
    lock = {"renewed": files.uptime() - age, "good_for": 30.0}
    folder.write("watch.json", {"run": here, "process": here, "phase": "cutover", "lock": lock})
    expected = pytest.raises(AnsibleError, match=r"lock_lost in phase cutover: .* it was last renewed 4\d s ago")
    with expected if stops else contextlib.nullcontext():
        assert lookup.LookupModule().run([str(folder.path)], kinds=["lock_lost"], lock=asked) == [{}]


@pytest.mark.parametrize("asked", [True, False])
def test_the_watch_of_another_run_proves_no_lock(folder, asked):
    here = dict(processes.identify(os.getpid()).as_dict())
    lock = {"renewed": files.uptime(), "good_for": 30.0}
    folder.write("watch.json", {"run": {"pid": os.getpid(), "started": "another"}, "process": here, "lock": lock})
    expected = pytest.raises(AnsibleError, match=r"lock_lost .* is another run's")
    with expected if asked else contextlib.nullcontext():
        assert lookup.LookupModule().run([str(folder.path)], kinds=["lock_lost"], lock=asked) == [{}]


def test_a_new_run_begins_without_alerts_and_keeps_a_few_old_ones(folder, look):
    for number in range(files.KEPT_RUNS + 3):
        folder.append("alerts.jsonl", FROZEN)
        folder.append("samples.jsonl", {"at": number})
        os.utime(folder.path / "samples.jsonl", (number, number))
        os.utime(folder.path / "alerts.jsonl", (number, number))
        folder.begin_run()
        assert look() == [{}]
    for kind in ("alerts", "samples"):
        assert len(list(folder.path.glob(f"{kind}-*.jsonl"))) == files.KEPT_RUNS
    newest = sorted(folder.path.glob("samples-*.jsonl"))[-1]
    assert newest.read_text() == f'{{"at": {files.KEPT_RUNS + 2}}}\n'


def test_no_other_user_may_read_it(folder):
    folder.append("alerts.jsonl", FROZEN)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.path.iterdir()} == {0o600}


def test_a_line_that_is_still_being_written_is_not_read(folder):
    folder.append("alerts.jsonl", FROZEN)
    with (folder.path / "alerts.jsonl").open("a") as file:
        file.write('{"at": 17')
    assert folder.alerts() == [FROZEN]

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The migration's lock, with an API server in memory and processes that live and die."""

from __future__ import annotations

import dataclasses
import errno
import json
import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import import_plugin
from fake_kube import FakeKube, api_error, with_client_key

api = import_plugin("module_utils._kube.api")
leases = import_plugin("module_utils._kube.lease")
processes = import_plugin("module_utils._core.processes")
failures = import_plugin("module_utils._core.failures")
files = import_plugin("module_utils._watch.files")
judge = import_plugin("module_utils._watch.judge")
kubernetes_action = import_plugin("plugin_utils.kubernetes_action")
options = import_plugin("module_utils._watch.options")
quorum_watch = import_plugin("modules.quorum_watch")
start = import_plugin("module_utils._watch.start")
watch = import_plugin("module_utils._watch.process")

NAME = "pi-controller-raft-migration"
FOLDER = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
PATH = f"{FOLDER}/{NAME}"
HERE = processes.machine()
BEGAN = datetime(2026, 11, 25, 12, 0, 0, tzinfo=timezone.utc)


class Clock:
    """A time that passes on sleep."""

    def __init__(self) -> None:
        self.now = BEGAN
        self.on_sleep: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.on_sleep()


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def lock(kube: FakeKube, clock: Clock) -> Callable[..., Any]:
    def make(user: str = "anna", process: Any = None, machine: str = HERE, host: str = "laptop") -> Any:
        owner = leases.Owner(user, host, machine, process or processes.identify(os.getpid()))
        return leases.MigrationLock(api.KubeApi(kube), "default", NAME, owner, now=lambda: clock.now, sleep=clock.sleep)

    return make


GONE = processes.Process(4_000_000, "1")
# The same for any lock.
FOR: dict[str, Any] = {"good_for": 30.0, "forget": lambda: None}


def spec(kube: FakeKube) -> dict[str, Any]:
    return kube.objects[PATH]["spec"]


def test_a_free_lock(kube, lock):
    before, changed = lock().take()
    assert (before, changed) == (None, True)
    assert spec(kube) == {
        "holderIdentity": f"anna@laptop:{os.getpid()}",
        "leaseDurationSeconds": 60,
        "acquireTime": "2026-11-25T12:00:00.000000Z",
        "renewTime": "2026-11-25T12:00:00.000000Z",
        "leaseTransitions": 0,
    }


def test_taking_it_again_renews_it_and_changes_nothing_else(kube, lock, clock):
    lock().take()
    clock.now += timedelta(seconds=20)
    _before, changed = lock().take()
    assert changed is False
    assert (spec(kube)["acquireTime"], spec(kube)["renewTime"]) == (
        "2026-11-25T12:00:00.000000Z",
        "2026-11-25T12:00:20.000000Z",
    )


def test_a_second_run_is_refused_with_the_owners_name(kube, lock, clock, other_process):
    lock().take()
    clock.now += timedelta(seconds=30)
    with pytest.raises(api.KubeError) as refused:
        lock("bert", processes.identify(other_process.pid)).take()
    assert f"is held by anna@laptop:{os.getpid()} since 2026-11-25T12:00:00" in str(refused.value)
    assert "runs out at 2026-11-25T12:01:00+00:00" in str(refused.value)
    assert "-e raft_migration_take_over=true" in refused.value.failure["next_step"]
    assert spec(kube)["holderIdentity"].startswith("anna@")


def test_a_run_that_died_on_this_machine_is_followed_at_once(kube, lock, clock):
    lock("anna", GONE).take()
    lock("bert").take()
    assert clock.now == BEGAN, "no run had to wait"
    assert (spec(kube)["holderIdentity"], spec(kube)["leaseTransitions"]) == (f"bert@laptop:{os.getpid()}", 1)


def test_a_reused_pid_is_not_the_dead_owner(kube, lock):
    lock("anna", processes.Process(os.getpid(), "an earlier start")).take()
    lock("bert").take()
    assert spec(kube)["holderIdentity"].startswith("bert@")


@pytest.mark.parametrize("elsewhere", ["another boot/pid:[1]", ""])
def test_a_run_on_another_machine_expires_by_time_only(kube, lock, clock, elsewhere):
    lock("anna", GONE, machine=elsewhere).take()
    with pytest.raises(api.KubeError, match="is held by anna@"):
        lock("bert").take()
    clock.now += timedelta(seconds=61)
    lock("bert").take()
    assert clock.now == BEGAN + timedelta(seconds=61 + 30), "it looked on for a while"
    assert spec(kube)["holderIdentity"].startswith("bert@")


@pytest.mark.parametrize(
    "forged",
    [
        {"renewTime": "2099-01-01T00:00:00.000000Z"},
        {"renewTime": "2026-11-25T12:10:01.000000Z"},
        {"leaseDurationSeconds": 2_000_000_000},
        {"leaseDurationSeconds": 2_000_000_000, "renewTime": "9999-12-31T23:59:59.000000Z"},
    ],
)
def test_l5_a_lease_of_an_implausible_time_blocks_no_run(kube, lock, clock, forged):
    lock("anna", GONE, machine="another boot/pid:[1]").take()
    kube.objects[PATH]["spec"].update(forged)
    lock("bert").take()
    assert clock.now == BEGAN + timedelta(seconds=30), "it looked on for a while"
    assert spec(kube)["holderIdentity"].startswith("bert@")


def test_l5_a_living_owner_whose_clock_is_wrong_keeps_its_lock(kube, lock, clock):
    lock("anna", GONE, machine="another boot/pid:[1]").take()
    kube.objects[PATH]["spec"]["renewTime"] = "2099-01-01T00:00:00.000000Z"

    def renewed() -> None:
        kube.objects[PATH]["spec"]["renewTime"] = "2099-01-01T00:00:10.000000Z"

    clock.on_sleep = renewed
    with pytest.raises(api.KubeError, match="is held by anna@"):
        lock("bert").take()


def test_two_clocks_that_differ_do_not_make_a_living_owner_dead(kube, lock, clock):
    far = lock("anna", GONE, machine="another boot/pid:[1]")
    far.take()
    clock.now += timedelta(minutes=10)

    def renewed_by_a_slow_clock() -> None:
        kube.objects[PATH]["spec"]["renewTime"] = "2026-11-25T12:00:10.000000Z"

    clock.on_sleep = renewed_by_a_slow_clock
    with pytest.raises(api.KubeError, match="is held by anna@"):
        lock("bert").take()


def test_a_living_owner_that_renews_slowly_keeps_its_lock(kube, lock, clock):
    """One attempt takes as long as a request may, and the clock of the one that looks is ahead."""
    far = lock("anna", GONE, machine="another boot/pid:[1]")
    far.take()
    renewed = clock.now + timedelta(seconds=watch.RENEW_EVERY + api.CONNECT_TIMEOUT + api.REQUEST_TIMEOUT)
    clock.now += timedelta(minutes=2)
    looked = clock.now

    def slowly() -> None:
        if clock.now - looked >= renewed - BEGAN:
            kube.objects[PATH]["spec"]["renewTime"] = f"{renewed:%Y-%m-%dT%H:%M:%S.%fZ}"

    clock.on_sleep = slowly
    with pytest.raises(api.KubeError, match="is held by anna@"):
        lock("bert").take()


def test_a_living_owner_learns_of_a_takeover(kube, lock, other_process):
    first = lock("anna", processes.identify(other_process.pid))
    first.take()
    lock("bert").take(force=True)
    with pytest.raises(failures.LockTaken, match=f"belongs to bert@laptop:{os.getpid()}"):
        first.renew()
    assert first.release() is False
    assert spec(kube)["holderIdentity"].startswith("bert@")


def test_only_one_of_two_runs_gets_the_lock(kube, lock, clock, other_process):
    clock.on_sleep = lambda: None
    rival = lock("bert", processes.identify(other_process.pid))

    def faster(method: str, path: str) -> None:
        if method == "post":
            kube.on_request = lambda method, path: None
            rival.take()

    kube.on_request = faster
    with pytest.raises(api.KubeError, match="is held by bert@"):
        lock("anna").take()


def test_renewing_moves_the_expiry(kube, lock, clock):
    mine = lock()
    mine.take()
    clock.now += timedelta(seconds=10)
    mine.renew()
    assert mine.look().expires == BEGAN + timedelta(seconds=70)


def test_a_deleted_lease_is_not_recreated(kube, lock):
    mine = lock()
    mine.take()
    kube.deleted(PATH)
    with pytest.raises(failures.LockTaken, match="it was deleted"):
        mine.renew()
    assert PATH not in kube.objects


@pytest.mark.parametrize("again", [False, True])
def test_a_lease_that_goes_in_a_renewal_is_not_made_anew(kube, lock, again):
    """Between the look and the PUT, with one of another run in its place or none."""
    mine = lock()
    mine.take()

    def deleted(method: str, path: str) -> None:
        if method == "put":
            kube.on_request = lambda method, path: None
            kube.deleted(PATH)
            if again:
                lock("bert", GONE).take()

    kube.on_request = deleted
    with pytest.raises(failures.LockTaken, match="belongs to bert" if again else "it was deleted"):
        mine.renew()
    assert (PATH in kube.objects) == again


def test_giving_it_back_leaves_nothing(kube, lock):
    mine = lock()
    mine.take()
    assert mine.release() is True
    assert mine.release() is False
    assert PATH not in kube.objects


def test_a_simultaneous_takeover_wins(kube, lock):
    mine = lock()
    mine.take()

    def taken_over(method: str, path: str) -> None:
        if method == "delete":
            kube.on_request = lambda method, path: None
            lock("bert", GONE).take(force=True)

    kube.on_request = taken_over
    assert mine.release() is False
    assert spec(kube)["holderIdentity"].startswith("bert@")


def test_a_simultaneous_own_renewal_does_not_block_release(kube, lock):
    mine = lock()
    mine.take()

    def renewed(method: str, path: str) -> None:
        if method == "delete":
            kube.on_request = lambda method, path: None
            mine.renew()

    kube.on_request = renewed
    assert mine.release() is True
    assert PATH not in kube.objects


def test_taken_looked_at_and_given_back(kube, lock):
    mine = lock()
    assert mine.look() is None
    assert mine.take() == (None, True)
    assert mine.take()[1] is False
    seen = mine.look()
    assert seen.belongs_to(mine.owner)
    assert seen.as_dict()["holder"].endswith(f":{os.getpid()}")
    assert mine.release() is True
    assert mine.release() is False


def test_check_mode_predicts_and_writes_nothing(kube, lock):
    assert lock().take(check_mode=True) == (None, True)
    assert kube.writes == []
    lock().take()
    kube.requests.clear()
    assert lock().take(check_mode=True)[1] is False
    assert kube.writes == []


def test_check_mode_refuses_where_a_run_would_be_refused(kube, lock, other_process):
    lock("anna", processes.identify(other_process.pid)).take()
    with pytest.raises(api.KubeError, match="is held by anna@laptop"):
        lock("bert").take(check_mode=True)


def away(method: str, path: str) -> None:
    raise api_error(503, "Service Unavailable", "the API server is away")


def test_an_api_server_that_is_away_fails_the_taking(kube, lock, monkeypatch):
    lock().take()
    monkeypatch.setattr(api, "READ_PATIENCE", 0)
    kube.on_request = away
    with pytest.raises(api.KubeError, match="503"):
        lock().take()


def test_a_failed_release_does_not_keep_the_watch_running(kube, lock, monkeypatch, tmp_path):
    mine = lock()
    mine.take()
    monkeypatch.setattr(api, "READ_PATIENCE", 0)
    kube.on_request = away
    folder = files.WatchFolder(tmp_path / "watch")
    folder.make()
    tried = multiprocessing.get_context("fork").Event()

    def release() -> None:
        tried.set()
        mine.release()

    settings = watch.Settings(judge.AlertLimits(), timeout=1.0, lifetime=10.0)
    held = watch.Lock(take=mine.take, renew=mine.renew, release=release, **FOR)
    # In a process of its own, since it sets signal handlers; the run that it watches is gone, so it ends at once.
    process = multiprocessing.get_context("fork").Process(
        target=watch.Watch(folder, {}, settings, GONE, held).watch, args=(lambda: None,)
    )
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert tried.is_set()
    about = json.loads((tmp_path / "watch" / files.ABOUT).read_text())
    assert (about["why"], about["ended"] is not None) == ("the run is gone", True)


def test_a_watch_that_cannot_write_gives_its_lock_back(monkeypatch, tmp_path):
    """Another run would be refused for the sake of one that does not exist."""
    released = multiprocessing.get_context("fork").Event()

    def full(_folder: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.WatchFolder, "begin_run", full)
    params = {name: option.get("default") for name, option in options.OPTIONS.items()}
    held = watch.Lock(take=lambda: None, renew=lambda: None, release=released.set, **FOR)
    control = start.WatchStart({**params, "path": str(tmp_path / "watch"), "parent_pid": os.getpid()}, False, str, held)
    with pytest.raises(
        failures.MigrationError, match="the quorum watch did not start.*No space left on device"
    ) as refused:
        control.started()
    assert released.is_set()
    assert str(tmp_path) in refused.value.failure["next_step"]


def test_a_watch_that_ends_leaves_no_key_in_tmp(monkeypatch, tmp_path):
    """It ends with _exit, so what the client library removes at exit would stay."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    kubeconfig = with_client_key(tmp_path)
    params = {name: option.get("default") for name, option in options.OPTIONS.items()}
    params.update(
        path=str(tmp_path / "watch"), parent_pid=os.getpid(), kubeconfig=str(kubeconfig), state="started",
        lock={"namespace": "default", "name": NAME, "duration": 60, "take_over": False},
    )  # fmt: skip
    module = kubernetes_action.WorkerModule(params, check_mode=False, diff=False)
    found = multiprocessing.get_context("fork").Value("i", 0)

    def connected(**_more: Any) -> None:
        api.connect(module)
        found.value = len(list((tmp_path / "tmp").iterdir()))

    def full(_folder: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.WatchFolder, "begin_run", full)
    held = dataclasses.replace(quorum_watch._lock(module), take=connected, release=lambda: None)
    with pytest.raises(failures.MigrationError, match="the quorum watch did not start"):
        start.WatchStart(params, False, str, held).started()
    assert found.value > 0, "the client has made files of it"
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("given", ["option", "K8S_AUTH_KUBECONFIG"])
def test_the_watch_reads_a_kubeconfig_beside_the_playbook(monkeypatch, tmp_path, given):
    """A relative path means to the watch what it means to the run, which pre-flight has tried it with."""
    kubeconfig = with_client_key(tmp_path)
    monkeypatch.chdir(tmp_path)
    if given != "option":
        monkeypatch.setenv(given, kubeconfig.name)
    params = {name: option.get("default") for name, option in options.OPTIONS.items()}
    params.update(
        path="watch", parent_pid=os.getpid(), kubeconfig=kubeconfig.name if given == "option" else None, state="started",
        lock={"namespace": "default", "name": NAME, "duration": 60, "take_over": False},
    )  # fmt: skip
    module = kubernetes_action.WorkerModule(params, check_mode=False, diff=False)

    def connected(**_more: Any) -> None:
        api.connect(module)

    held = dataclasses.replace(quorum_watch._lock(module), take=connected, renew=lambda: None, release=lambda: None)
    control = start.WatchStart(params, False, str, held)
    try:
        assert control.started() is True
        assert control.process() is not None
        assert (tmp_path / "watch" / files.ABOUT).exists()
    finally:
        control.end()


class Holder:
    """A run that asks for its lock. `renews` is what a renewal comes upon, `age` how long ago the watch's last one was."""

    def __init__(self, folder: Any, renews: BaseException | None, age: float, accept_outage: bool = False) -> None:
        self.folder = files.WatchFolder(folder / "watch")
        self.warnings: list[str] = []
        self.folder.begin_run()
        here = dict(processes.identify(os.getpid()).as_dict())
        lock = {"renewed": files.uptime() - age, "good_for": 30.0}
        self.folder.write(files.ABOUT, {"run": here, "process": here, "phase": "cutover", "lock": lock})

        def renew() -> None:
            if renews is not None:
                raise renews

        params = {name: option.get("default") for name, option in options.OPTIONS.items()}
        params.update(path=str(folder / "watch"), parent_pid=os.getpid(), accept_outage=accept_outage)
        held = watch.Lock(take=lambda: None, renew=renew, release=lambda: None, **FOR)
        self.control = start.WatchStart(params, False, self.warnings.append, held)


TAKEN = failures.LockTaken("the migration lock is no longer held by this run: it belongs to bert")
OUTAGE = api.Unreachable("connection refused", "https://pi-1:6443")
EXPIRED = api.KubeError("GET /apis was answered 401: Unauthorized", status=401)


def test_a_lock_that_is_renewed_when_it_is_asked_for_is_held(tmp_path):
    """However long the watch has slept."""
    assert Holder(tmp_path, None, age=3600.0).control.held() is False


def test_a_lock_that_was_taken_over_is_known_before_the_watch_knows(tmp_path):
    holder = Holder(tmp_path, TAKEN, age=1.0)
    with pytest.raises(failures.MigrationError, match="it belongs to bert. This run changes nothing any more"):
        holder.control.held()
    (alert,) = holder.folder.alerts()
    assert (alert["kind"], alert["phase"]) == ("lock_lost", "cutover")


@pytest.mark.parametrize("error", [OUTAGE, EXPIRED], ids=["no answer", "401"])
def test_without_an_answer_the_last_renewal_decides(tmp_path, error):
    fresh = Holder(tmp_path, error, age=20.0)
    assert fresh.control.held() is False
    assert "could not be renewed just now" in fresh.warnings[0]
    with pytest.raises(
        failures.MigrationError, match=r"it was last renewed 4\d s ago, and the attempt to renew it now"
    ):
        Holder(tmp_path, error, age=40.0).control.held()


@pytest.mark.parametrize(("error", "held"), [(OUTAGE, True), (EXPIRED, False), (TAKEN, False)])
def test_an_outage_can_be_accepted_and_nothing_else(tmp_path, error, held):
    holder = Holder(tmp_path, error, age=3600.0, accept_outage=True)
    if held:
        assert holder.control.held() is False
    else:
        with pytest.raises(failures.MigrationError, match="This run changes nothing any more"):
            holder.control.held()


def test_without_a_run_above_it_says_what_to_set():
    with pytest.raises(failures.MigrationError, match="no ansible-playbook process is above process") as refused:
        leases.owner_of(None)
    assert "`parent_pid`" in refused.value.full_message


def test_a_foreign_lease_has_no_owner_that_could_be_dead(kube, lock):
    held = {"holderIdentity": "someone", "leaseDurationSeconds": 60, "renewTime": "2026-11-25T11:59:59Z"}
    kube.put(PATH, {"metadata": {"name": NAME}, "spec": held})
    with pytest.raises(api.KubeError, match="is held by someone since an unknown time"):
        lock().take()
    assert lock().look().owner == {}

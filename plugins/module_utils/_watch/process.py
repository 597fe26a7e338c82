# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watching process: asks every member on its own, judges what it hears, and keeps the lock alive.

It is a process of its own because Ansible does one task after the other: a task that waits for a member that is frozen would
be the last to notice. It ends by itself when the run it watches is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from .._core.failures import LockTaken, MigrationError
from .._core.processes import Process, identify
from .._daemon.interface import Daemon
from .._raft.cluster import MemberView
from .files import ABOUT, ALERTS, ORDER, SAMPLES, WatchFolder, uptime
from .judge import LOCK_LOST, Alert, AlertLimits, ClusterJudge, PhaseJudge
from .plan import NEW, OLD, Expectation
from .sample import Reading, take, undecided

# The playbook and the daemons go first.
NICENESS = 5
RENEW_EVERY = 10.0
RENEW_AGAIN = 2.0
NAME = "quorum-watch"
TOO_MANY_REQUESTS = 429
# The published daemon gives each address 60 requests a minute. Some are left for the modules, which ask from the same one; a
# leader that is silent is still noticed within the grace of 3 s.
SLOW_INTERVAL = 1.5


@dataclass(frozen=True)
class Settings:
    """What stays the same from the start of a watch to its end."""

    limits: AlertLimits
    # Seconds that one answer may take.
    timeout: float
    lifetime: float


@dataclass(frozen=True)
class Lock:
    """What the process can do with the migration's lock. Any of it may raise."""

    take: Callable[..., object]
    renew: Callable[[], None]
    release: Callable[[], object]
    # Seconds after a renewal in which no other run takes it but by force.
    good_for: float
    # Leave nothing of its credentials behind in this process.
    forget: Callable[[], None]


class Poller(threading.Thread):
    """Asks one member, over and over: a slow member keeps only its own poller waiting."""

    def __init__(self, client: Daemon, interval: float, clock: Callable[[], float]) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.interval = interval
        self.clock = clock
        self.wanted = threading.Event()
        self.last: Reading | None = None

    def run(self) -> None:
        while True:
            self.wanted.wait()
            began = self.clock()
            try:
                status = self.client.status()
                ended = self.clock()
                self.last = Reading(self.client, ended, status, ended - began)
            except Exception as error:  # noqa: BLE001 - whatever an answer does to us, the next one is asked for
                ended = self.clock()
                if getattr(error, "status", None) == TOO_MANY_REQUESTS:
                    self._slow_down(ended)
                else:
                    self.last = Reading(self.client, ended)
            time.sleep(max(0.05, self.interval - (ended - began)))

    def _slow_down(self, at: float) -> None:
        """The daemon is alive and limits how often we may ask: its last answer holds, and it is asked seldom enough from here on.

        Where it has no last answer, all that is known is that it can be reached.
        """
        self.interval = max(self.interval, SLOW_INTERVAL)
        last = self.last
        if last is not None and last.status is not None:
            # What it had committed is not known for now: entries that were under way then would look like a leader that is stuck.
            self.last = replace(last, at=at, status=replace(last.status, last_index=None, commit_index=None))
        else:
            self.last = Reading(self.client, at, limited=True)

    def reading(self, at: float, timeout: float) -> Reading | None:
        """The newest answer, or that there is none; None before the first attempt has ended. `timeout` is that of one answer."""
        last = self.last
        if last is not None and last.reachable and at - last.at > self.interval + timeout:
            return Reading(self.client, last.at)
        return last


class Keeper:
    """Renews the lock. An API server that is away for a while is not a reason to stop; another owner is."""

    def __init__(self, renew: Callable[[], None], lost: Callable[[str], None]) -> None:
        self.renew = renew
        self.lost = lost
        # When the last renewal that succeeded began. The lock has just been taken.
        self.renewed = uptime()

    def run(self) -> None:
        while (wait := self.attempt()) is not None:
            time.sleep(wait)

    def attempt(self) -> float | None:
        """Seconds until the next one; None where there is nothing left to renew."""
        began = uptime()
        try:
            self.renew()
        except LockTaken as error:
            self.lost(str(error))
            return None
        # The libraries may end a module where they cannot connect; this is none any more.
        except (Exception, SystemExit):  # noqa: BLE001 - the next attempt may do better, the lock lasts for several of them
            return RENEW_AGAIN
        self.renewed = began
        return RENEW_EVERY


class Watch:
    """One run's watch, and the lock it holds, where there is one."""

    def __init__(
        self,
        folder: WatchFolder,
        clients: Mapping[str, Daemon],
        settings: Settings,
        run: Process,
        lock: Lock | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.run_process = run
        self._lock = lock
        self._keeper = None if lock is None else Keeper(lock.renew, self._lock_is_lost)
        # Steps of the wall clock must not look like silence, so only its start is taken from it.
        self._epoch = time.time() - time.monotonic()
        self._pollers = {url: Poller(client, settings.limits.interval, self.clock) for url, client in clients.items()}
        self._judges = {cluster: ClusterJudge(cluster, settings.limits) for cluster in (OLD, NEW)}
        self._phase_judge = PhaseJudge()
        self._known: dict[str, tuple[MemberView, ...]] = {OLD: (), NEW: ()}
        self._order: dict[str, Any] = {}
        self._order_stamp: tuple[int, int] | None = None
        self._phase_started = self.clock()
        self._expectations: dict[str, Expectation] = {}
        self._lost_lock: str | None = None
        # The phase in which each alert was raised: its end may be seen in a later one.
        self._raised_in: dict[tuple[str, str | None, float], str | None] = {}
        # What could not be written yet, as on a disk that is full: alerts, and what the process reports of itself.
        self._unwritten: list[Alert] = []
        self._about_is_written = True
        self._asked_to_stop = False
        self._about = {
            "pid": os.getpid(),
            "process": dict(this.as_dict()) if (this := identify(os.getpid())) else None,
            "started": self.clock(),
            "run": dict(run.as_dict()),
            "urls": sorted(clients),
            "lock": self._about_lock(),
            "phase": None,
            "phase_started": None,
            "config": {
                "quorum_grace": settings.limits.quorum,
                "leader_grace": settings.limits.leader,
                "interval": settings.limits.interval,
                "timeout": settings.timeout,
                "lifetime": settings.lifetime,
            },
            "order": None,
            "ended": None,
        }

    def clock(self) -> float:
        return self._epoch + time.monotonic()

    def watch(self, ready: Callable[[], None]) -> None:
        """Until the run is gone, another process says stop, or the watch has lived long enough."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        # A full pipe has rung already.
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        # An order waits to be read.
        signal.signal(signal.SIGHUP, lambda _signal, _frame: None)
        for thread in self._pollers.values():
            thread.start()
        if self._keeper is not None:
            threading.Thread(target=self._keeper.run, daemon=True).start()
        self.folder.write(ABOUT, self._about)
        ready()
        why = "it could not go on"
        try:
            why = self._go_on(wake_read)
        finally:
            if self._lock is not None:
                # What cannot be given back runs out.
                with contextlib.suppress(Exception, SystemExit):
                    self._lock.release()
            self.folder.write(ABOUT, {**self._about, "ended": self.clock(), "why": why})

    def _go_on(self, wake_read: int) -> str:
        """Watch until there is a reason to end, which is returned."""
        end = self.clock() + self.settings.lifetime
        while not self._asked_to_stop:
            if not self.run_process.alive:
                return "the run is gone"
            if self.clock() >= end:
                return "its lifetime is over"
            self._apply_order()
            self._look()
            if select.select([wake_read], [], [], self.settings.limits.interval)[0]:
                os.read(wake_read, 4096)
        return "stopped"

    def _stop(self, _signal: int, _frame: Any) -> None:
        self._asked_to_stop = True

    def _lock_is_lost(self, text: str) -> None:
        self._lost_lock = text

    def _about_lock(self) -> dict[str, float] | None:
        if self._keeper is None or self._lock is None:
            return None
        return {"renewed": self._keeper.renewed, "good_for": self._lock.good_for}

    def _apply_order(self) -> None:
        """Apply a new order, if there is one."""
        try:
            stat = (self.folder.path / ORDER).stat()
        except OSError:
            return
        if self._order_stamp == (stat.st_ino, stat.st_mtime_ns):
            return
        self._order_stamp = (stat.st_ino, stat.st_mtime_ns)
        self._order = self.folder.read(ORDER) or {}
        # By the own clock: the playbook's may have been set back since this process began. The turn of each Pi begins it anew: a
        # phase of seven Pis whose daemons take a minute each is longer than a limit that is of use for one of them.
        self._phase_started = self.clock()
        wanted = {
            name: Expectation.from_dict(expectation) for name, expectation in self._order.get("watch", {}).items()
        }
        for cluster, judge in self._judges.items():
            if wanted.get(cluster) != self._expectations.get(cluster):
                self._tell(judge.renew(self.clock()) if cluster in wanted else judge.stop(self.clock()))
        self._expectations = wanted
        # Before the order counts as taken up: from then on the playbook goes by what is written.
        self._judge_phase(self.clock())
        asked = {url for expectation in wanted.values() for url in expectation.urls}
        for url, poller in self._pollers.items():
            if url in asked and not poller.wanted.is_set():
                # What it heard before it was last sent to sleep is long out of date.
                poller.last = None
                poller.wanted.set()
            elif url not in asked:
                poller.wanted.clear()
        self._about.update(
            phase=self._order.get("phase"),
            phase_started=self._phase_started,
            order=self._order.get("number"),
        )
        self._about_is_written = False
        self._write_about()

    def _write_about(self) -> None:
        """Once it is written, the playbook knows that its order was taken up. What fails is tried again at the next look."""
        if not self._about_is_written:
            with contextlib.suppress(OSError):
                self.folder.write(ABOUT, self._about)
                self._about_is_written = True

    def _look(self) -> None:
        at = self.clock()
        self._write_alerts()
        if self._about["lock"] != (lock := self._about_lock()):
            self._about["lock"] = lock
            self._about_is_written = False
        self._write_about()
        for cluster, expectation in self._expectations.items():
            readings = [self._pollers[url].reading(at, self.settings.timeout) for url in expectation.urls]
            heard = [reading for reading in readings if reading is not None]
            if len(heard) < len(readings):
                # Some have not had the time for a first answer.
                continue
            if undecided(heard, self._known[cluster]):
                continue
            sample, self._known[cluster] = take(at, cluster, expectation, heard, self._known[cluster])
            with contextlib.suppress(OSError):
                # One sample less. To end would give up the lock in the middle of a phase.
                self.folder.append(SAMPLES, sample.record())
            self._tell(self._judges[cluster].hear(sample, expectation))
        self._judge_phase(at)
        # The run may have found it out itself, see WatchStart.held.
        if self._lost_lock is not None and not self.folder.has_alert(LOCK_LOST):
            self._tell([Alert(LOCK_LOST, None, self._lost_lock, at, at)])
        self._lost_lock = None

    def _judge_phase(self, at: float) -> None:
        phase, timeout = self._order.get("phase"), self._order.get("phase_timeout")
        self._tell(self._phase_judge.hear(at, phase, self._phase_started, timeout))

    def _tell(self, alerts: list[Alert]) -> None:
        for alert in alerts:
            key = (alert.kind, alert.cluster, alert.began)
            phase = self._raised_in.setdefault(key, self._order.get("phase"))
            self._unwritten.append(replace(alert, phase=phase))
        self._write_alerts()

    def _write_alerts(self) -> None:
        with contextlib.suppress(OSError):
            while self._unwritten:
                self.folder.append(ALERTS, self._unwritten[0].record())
                del self._unwritten[0]


def detach(watch: Callable[[Callable[[], None]], None], log: Path) -> int:
    """Run `watch` in a process of its own, outside of this session; returns its number once it has called its argument.

    Forked and not started anew, so that the token never leaves the memory it is in.
    """
    hear, tell = os.pipe()
    child = os.fork()
    if child == 0:
        _detached(watch, hear, tell, log)
    os.close(tell)
    os.waitpid(child, 0)
    with os.fdopen(hear, "rb") as pipe:
        text = pipe.read().decode()
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {"message": f"the quorum watch did not start; {log} may say why", "seen": text[-500:]}
    if "pid" not in answer:
        raise MigrationError(**answer)
    return int(answer["pid"])


def _detached(watch: Callable[[Callable[[], None]], None], hear: int, tell: int, log: Path) -> NoReturn:
    # Nothing of the module may run on in here, so the only way out is _exit.
    status = 1
    try:
        os.close(hear)
        os.setsid()
        if os.fork() == 0:
            tell = _make_daemon(tell, log)

            def ready() -> None:
                nonlocal tell
                os.write(tell, json.dumps({"pid": os.getpid()}).encode())
                os.close(tell)
                # Its number may be that of another file by the time that something fails.
                tell = -1

            watch(ready)
        status = 0
    except MigrationError as error:
        with contextlib.suppress(OSError):
            os.write(tell, json.dumps({"message": str(error), **error.failure}).encode())
    except OSError as error:
        # The log may be on the disk that is full.
        answer = {
            "message": f"the quorum watch did not start: {error}",
            "seen": str(error),
            "next_step": f"see that the folder {log.parent} on the control node can be written to, then run the same command again",
        }
        with contextlib.suppress(OSError):
            os.write(tell, json.dumps(answer).encode())
    except BaseException:  # noqa: BLE001 - nothing above it could report it
        with contextlib.suppress(OSError):
            log.write_text(traceback.format_exc())
    finally:
        os._exit(status)


def _make_daemon(tell: int, log: Path) -> int:
    """Let go of everything that belongs to the process it was forked from; returns where `tell` is now.

    But of its working directory: a path to a kubeconfig, in an option or in the environment, is read anew with each renewal and may be
    relative. The process lives no longer than the run, which is there as well.
    """
    for caught in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(caught, signal.SIG_DFL)
    os.umask(0o077)
    os.nice(NICENESS)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.dup2(tell, 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536)
    with contextlib.suppress(OSError):
        log.unlink()
    with contextlib.suppress(OSError):
        # What ps shows.
        Path("/proc/self/comm").write_text(NAME)
    return 3

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node is cut off in the write pause: the Pis open the old cluster again by themselves, and no client reads a stale row."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import control, rehearsal
from tests.e2e import hosts as on
from tests.e2e.writes import first_write_after
from tests.lab import cluster, state
from tests.lab.shell import wait_for
from tests.witness import history

pytestmark = pytest.mark.longer

CUT_OFF = 60.0
# The default of migration.timeouts.cutover_timeout, and what a client of the witness needs to notice.
LEASE, NOTICED = 30.0, 5.0
LIMITS = rehearsal.Limits(write_pause=LEASE + NOTICED, read_gap=5, recovery=60)
STOPS = ["-e", json.dumps({"migration": {"safety": {"auto_rollback_on_error": False, "require_confirmation": False}}})]
# The state is carried in the phase transfer as well, by tasks of the same names.
ARMED = "Cutover | Disable the unit's start at boot, under a lease"
# Before any redirection, and while or after they are made; never so late that the commit could be on its way.
MOMENTS = [
    ("full", "Fence | Make the old cluster read-only and carry its state"),
    ("full", "Flip | Redirect each Pi to its pod if the content is equal"),
    ("upstream", "Carry | Restore it into every pod's database"),
    ("upstream", "Flip | Redirect each Pi to its pod if the content is equal"),
]


@contextlib.contextmanager
def own_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the run's ssh masters, so that no other run's are meant. The path of a socket has to be short."""
    folder = Path(tempfile.mkdtemp(prefix="pi-cp-"))
    monkeypatch.setenv("ANSIBLE_SSH_CONTROL_PATH_DIR", str(folder))
    try:
        yield folder
    finally:
        cut(folder)
        shutil.rmtree(folder, ignore_errors=True)


def cut(connections: Path) -> None:
    """End the ssh masters of this folder, and with them every connection of the run."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"ssh: {connections}/".encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)


def cut_off(task: str, connections: Path, log: Path, *arguments: str) -> tuple[rehearsal.Play, set[int], float]:
    """A run that is frozen in this task with its watch, without a connection to any Pi; its processes, and when that was."""
    armed, frozen = threading.Event(), threading.Event()
    at: list[float] = []
    stopped: set[int] = set()

    def line(text: str) -> None:
        if text.startswith("TASK [") and ARMED in text:
            armed.set()
        if text.startswith("TASK [") and task in text and armed.is_set() and not at:
            stopped.update(control.freeze(play.process.pid))
            cut(connections)
            at.append(time.time())
            frozen.set()

    play = rehearsal.Play("playbooks/migrate.yml", "-e", "confirm=true", *STOPS, *arguments, log=log, on_line=line)
    until = time.monotonic() + rehearsal.HANGS
    while not frozen.wait(1) and play.process.poll() is None and time.monotonic() < until:
        pass
    if not frozen.is_set():
        play.kill()
        raise AssertionError(f"the run did not come to {task!r}: {play.wait(10).output[-2000:]}")
    return play, stopped, at[0]


def opened(names: list[str]) -> str | None:
    """What still keeps a Pi's old side closed."""
    for name in names:
        pi = on.host(name)
        if on.unit_state(pi) != ("enabled", "active"):
            return f"{name}: the unit is {on.unit_state(pi)}"
        if (pi.run("systemctl is-enabled pi-controller-migration-lease").stdout.strip() or "not-found") != "not-found":
            return f"{name}: the lease is still there"
    return None


@pytest.mark.parametrize(
    ("profile", "task"), MOMENTS, ids=[f"{profile}-{task.split()[0]}" for profile, task in MOMENTS]
)
def test_cut_off_in_the_pause_no_write_is_left_waiting(
    old_world: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, task: str
) -> None:
    names = old_world(profile)
    leader = on.leader(names)
    with own_connections(monkeypatch) as connections, rehearsal.witnessed(tmp_path) as witness:
        play, stopped, froze = cut_off(task, connections, tmp_path / "cut-off.log")
        try:
            # Without any action of anyone: the run is frozen for all of this time.
            wait_for(
                "every Pi has opened its old side and removed its lease",
                lambda: opened(names),
                timeout=LEASE + CUT_OFF,
                advice="see `journalctl -u pi-controller-migration-lease` on that Pi",
            )
            wait_for(
                "the control node comes back",
                lambda: None if time.time() - froze >= CUT_OFF else f"after {CUT_OFF:g} s",
                timeout=CUT_OFF + 5,
                advice="it is only a matter of time",
            )
            assert "opening" not in rehearsal.journal(leader)["phases"]["cutover"]["facts"]
        except BaseException:
            play.kill()
            raise
        finally:
            control.thaw(stopped)
        run = play.wait(rehearsal.HANGS)
        assert run.returncode != 0, "a run cannot go on with a fence that has ended"
        assert "opening" not in rehearsal.journal(leader)["phases"]["cutover"]["facts"]
        for name in names:
            assert on.gate_rules(on.host(name)) == []
        cluster.wait_caught_up(state.require())
        again = rehearsal.run_playbook(
            "playbooks/migrate.yml", "-e", "confirm=true", *STOPS, log=tmp_path / "again.log"
        )
        assert again.returncode == 0, again.output[-4000:]

    record = history.load([witness.history])
    waited = first_write_after(record, froze)
    print({label: round(seconds, 1) for label, seconds in waited.items()})
    assert set(waited) == {record.label(operation) for operation in record.operations if operation.op in history.WRITES}
    assert max(waited.values()) <= LEASE + NOTICED
    verdict, summary = witness.judge(LIMITS, *price(profile, leader, froze, tmp_path))
    print(summary)
    assert verdict["ok"], summary


def price(profile: str, leader: str, froze: float, folder: Path) -> list[str]:
    """A network fence keeps reads off the old leader's own address as well, in both cutovers. None of them may be stale."""
    if profile == "full":
        return []
    facts: dict[str, Any] = rehearsal.journal(leader)["phases"]["cutover"]["facts"]
    fenced = [(froze - LEASE, froze + LEASE), (facts["fenced_at"], facts["fenced_at"] + facts["write_pause_seconds"])]
    path = folder / "allowances.json"
    path.write_text(
        json.dumps([{"route": leader, "from": float(began), "to": float(ended)} for began, ended in fenced])
    )
    return [*rehearsal.UPSTREAM_LAGS, "--allowances", str(path)]

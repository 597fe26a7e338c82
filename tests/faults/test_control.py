# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fault does to the control node, with real processes: a run and all it has started stop where they are, and go on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.e2e import control, rehearsal
from tests.faults import strike
from tests.faults.case import PARALLEL, ROLLING, Case, Chain
from tests.faults.chain import Runner
from tests.faults.pis import Pis
from tests.faults.strike import Injection
from tests.lab.shell import wait_for
from tests.lab.state import Node

# As a run of Ansible: its workers have sessions of their own.
RUN = """
import subprocess, sys
worker = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], stdin=sys.stdin)"
child = subprocess.Popen([sys.executable, "-c", worker], stdin=sys.stdin, start_new_session=True)
print("ready", flush=True)
child.wait()
"""


@pytest.fixture
def run() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", RUN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        wait_for(
            "the worker's child is there",
            lambda: None if len(control.family(process.pid)) == 3 else "not yet",
            timeout=20,
            advice="look at it with ps",
        )
        yield process
        control.thaw(control.family(process.pid))
        process.communicate("\n", timeout=20)  # what it reads from ends, and so do all of them


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_states(pids: set[int], stopped: bool) -> None:
    def probe() -> str | None:
        others = {pid: found for pid in pids if ((found := state(pid)) == "T") is not stopped}
        return str(others) if others else None

    wait_for("they are stopped" if stopped else "they go on", probe, timeout=60, advice="look at them with ps")


def test_a_frozen_run_stops_with_all_its_workers_and_goes_on(run: subprocess.Popen[str]) -> None:
    everything = control.family(run.pid)
    frozen = control.freeze(run.pid)
    assert frozen == everything
    assert len(frozen) == 3
    wait_states(frozen, stopped=True)
    control.thaw(frozen)
    wait_states(frozen, stopped=False)


def test_a_run_stands_still_while_a_fault_looks_for_its_host(run: subprocess.Popen[str], tmp_path: Path) -> None:
    """Else a busy machine would strike the task after the one that was meant."""
    case = Case("systemd_shutdown", "reboot")
    runner = Runner(cast(Pis, None), Chain("one", (case,)), tmp_path, print)
    runner.play = cast(rehearsal.Play, SimpleNamespace(process=run))
    everything = control.family(run.pid)
    nodes = [Node(1), Node(2)]
    seen: list[set[str]] = []

    def follower(of: str | None = None) -> Node:
        wait_states(everything, stopped=True)
        seen.append({state(pid) for pid in everything})
        return nodes[1]

    pis = SimpleNamespace(nodes=nodes, follower=follower, led_to=lambda node: [])
    assert strike._host(cast(Pis, pis), Injection(case, 0.0, "task", hold=runner.held)) == nodes[1]
    assert seen == [{"T"}]
    wait_states(everything, stopped=False)


def test_the_watch_of_another_run_is_let_alone(tmp_path: Path) -> None:
    about = tmp_path / "watch.json"
    assert control.watch_of(7, about) == set()
    about.write_text(json.dumps({"pid": 9, "run": {"pid": 7}, "ended": None}))
    assert control.watch_of(7, about) == {9}
    assert control.watch_of(8, about) == set()
    about.write_text(json.dumps({"pid": 9, "run": {"pid": 7}, "ended": 1.0}))
    assert control.watch_of(7, about) == set()


class CutOff:
    """Two Pis, the second one in its turn, and a migration; what is done to them in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, strategy: str, catches_up: bool = True) -> None:
        self.done: list[str] = []
        self.ended = threading.Event()
        self.nodes = [Node(1), Node(2)]
        self.rolling = strategy == ROLLING
        self.catches_up = catches_up
        monkeypatch.setattr(strike, "CUTOVER_TIMEOUT", 0.05)
        monkeypatch.setattr(strike.faults, "cut_off_control", lambda node: self.done.append(f"cut {node.name}"))
        monkeypatch.setattr(strike.faults, "reach_control", lambda node: self.done.append(f"reach {node.name}"))

    def in_turn(self) -> Node:
        return self.nodes[1]

    def serving(self) -> str:
        return "daemon"

    def behind(self, node: Node, of: str) -> str:
        return f"the {of} on {node.name} does not answer"

    def wait_caught_up(self, node: Node, **_more: Any) -> float | None:
        self.done.append(f"look at {node.name}")
        return 1.0 if self.catches_up else None

    def freeze(self) -> None:
        self.done.append("freeze")

    def thaw(self) -> None:
        self.done.append("thaw")

    def strike(self) -> Injection:
        case = Case("cutover", "control-cut-off", heal=0.1, strategy=ROLLING if self.rolling else PARALLEL)
        injection = Injection(case, 0.0, "task")
        strike.strike(self, injection, self)  # type: ignore[arg-type]
        return injection


CUT, REACH = ["freeze", "cut pi-1", "cut pi-2"], ["reach pi-1", "reach pi-2", "thaw"]


def test_the_pi_in_its_turn_serves_while_the_control_node_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = CutOff(monkeypatch, ROLLING)
    injection = lab.strike()
    assert lab.done == [*CUT, "look at pi-2", *REACH]
    assert (injection.host, injection.wrong, injection.allowances) == ("pi-2", "", [])
    assert injection.recovered is not None
    assert injection.recovered - injection.struck >= 0.1


def test_a_pi_without_a_daemon_meanwhile_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = CutOff(monkeypatch, ROLLING, catches_up=False)
    assert "the daemon on pi-2 does not answer" in lab.strike().wrong
    assert lab.done[-3:] == REACH


def test_in_the_write_pause_no_pi_has_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = CutOff(monkeypatch, PARALLEL)
    assert lab.strike().host == ""
    assert lab.done == [*CUT, *REACH]


def test_the_run_goes_on_even_if_a_pi_cannot_be_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = CutOff(monkeypatch, PARALLEL)

    def fails(node: Node) -> None:
        raise strike.LabError(f"{node.name}: no nft")

    monkeypatch.setattr(strike.faults, "cut_off_control", fails)
    assert "no nft" in lab.strike().wrong
    assert lab.done == ["freeze", *REACH]

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin

handover = import_plugin("modules.unit_handover")
durable = import_plugin("module_utils._core.durable")
exchange = import_plugin("module_utils._core.exchange")
failures = import_plugin("module_utils._core.failures")
install = import_plugin("module_utils._core.unit_install")
procfs = import_plugin("module_utils._core.procfs")
PORTS = [8080, 9090, 9091]
# systemd as far as the module asks it: states are files, and a masked unit is a link to /dev/null.
SYSTEMCTL = """#!/bin/sh
cd "$FAKE" || exit 1
echo "$*" >> calls
masked() { [ "$(readlink etc/pi.service)" = /dev/null ]; }
case "$1" in
show) masked && load=masked || load=loaded
  echo "Id=pi.service"; echo "Names=pi.service"; echo "LoadState=$load"; echo "ActiveState=$(cat active)"
  echo "SubState=running"; echo "UnitFileState=$(cat enabled)"; echo "NRestarts=0"
  masked || echo "FragmentPath=$(readlink -f etc/pi.service)" ;;
unmask) rm -f etc/pi.service ;;
start) [ -f etc/pi.service ] || { echo "Unit pi.service is masked." >&2; exit 1; }
  [ -d data ] || mkdir data  # as a daemon that makes its folder where it is missing
  echo active > active ;;
stop) echo inactive > active ;;
esac
"""


class Pi:
    """One Pi before its turn: the unit runs on its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.pods = folder / "data", folder / "pods"
        self.unit_file, self.saved = folder / "etc/pi.service", folder / "saved.service"
        self.listening: list[Any] = []
        self.starts = True
        for path in (self.data, folder / "etc", folder / "bin"):
            path.mkdir()
        self.data.chmod(0o750)
        (self.data / "raft").mkdir()
        (self.data / "raft/raft.db").write_text("the unit's log")
        self.unit_file.write_text("[Service]\n")
        self.unit_file.chmod(0o640)
        (folder / "active").write_text("active\n")
        (folder / "enabled").write_text("enabled\n")
        (folder / "bin/systemctl").write_text(SYSTEMCTL)
        (folder / "bin/systemctl").chmod(0o755)

    @property
    def record(self) -> Path:
        return self.saved.with_name(f"{self.saved.name}.json")

    @property
    def active(self) -> str:
        return (self.folder / "active").read_text().strip()

    @property
    def masked(self) -> bool:
        return self.unit_file.is_symlink() and self.unit_file.readlink() == Path("/dev/null")

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return [line for line in file.read_text().splitlines() if not line.startswith("show")] if file.exists() else []

    def listeners(self, ports: Any, unit: str) -> list[Any]:
        """Others' sockets as the test has them, the unit's while it is active, the pod's once it has the data."""
        owners = ["unit"] * (self.active == "active") + ["pod"] * (self.starts and self.pods.is_dir())
        return self.listening + [
            procfs.Listener(port, "0.0.0.0", 1, "pi-controller", owner) for port in ports for owner in owners
        ]


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pi:
    (tmp_path / "pi").mkdir()
    made = Pi(tmp_path / "pi")
    monkeypatch.setenv("PATH", f"{made.folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(made.folder))
    monkeypatch.setattr(handover.UnitHandover, "listeners", staticmethod(made.listeners))
    monkeypatch.setattr(exchange.Exchange, "etc", made.folder / "etc")
    return made


@pytest.fixture
def hand_over(run_module, pi: Pi) -> Callable[..., dict[str, Any]]:
    def run(check_mode: bool = False, **options: Any) -> dict[str, Any]:
        args = {
            "unit": "pi.service",
            "unit_file": pi.unit_file,
            "saved_unit_file": pi.saved,
            "data_dir": pi.data,
            "pod_data_dir": pi.pods,
        }
        given = {
            **{name: str(value) for name, value in args.items()},
            "ports": PORTS,
            "wait_gone": 0,
            "wait_timeout": 0,
            **options,
        }
        return run_module("unit_handover", given, check_mode=check_mode)

    return run


@pytest.fixture
def take_over(run_module, pi: Pi, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """The module that undoes a handover."""
    takeover = import_plugin("modules.unit_takeover")
    monkeypatch.setattr(takeover.Takeover, "listeners", staticmethod(pi.listeners))
    names = {
        "unit_file": pi.unit_file,
        "saved_unit_file": pi.saved,
        "data_dir": pi.data,
        "pod_data_dir": pi.pods,
        "aside": pi.folder / "aside",
    }
    given = {"unit": "pi.service", **{name: str(value) for name, value in names.items()}, "ports": PORTS}
    return lambda: run_module("unit_takeover", given)


@pytest.fixture
def reader(pi: Pi) -> Iterator[subprocess.Popen[str]]:
    """A process of the unit that outlives its stop, with the log open."""
    code = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(pi.data / "raft/raft.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def assert_handed_over(pi: Pi) -> None:
    assert (pi.pods / "raft/raft.db").read_text() == "the unit's log"
    assert not pi.data.exists()
    assert pi.masked
    assert pi.active == "inactive"
    assert pi.saved.read_text() == "[Service]\n"


def assert_untouched(pi: Pi) -> None:
    assert (pi.data / "raft/raft.db").read_text() == "the unit's log"
    assert not pi.pods.is_dir()
    assert pi.unit_file.read_text() == "[Service]\n"
    assert not pi.unit_file.is_symlink()
    assert pi.active == "active"


def test_the_pod_has_the_units_data_and_the_unit_is_masked(hand_over, pi):
    began = time.monotonic()
    result = hand_over()
    took = time.monotonic() - began
    assert result["changed"] is True, result
    assert_handed_over(pi)
    assert [step["step"] for step in result["steps"]] == [
        "stop pi.service",
        "the unit's daemon is gone",
        f"remove {pi.unit_file}",
        "mask pi.service",
        f"rename {pi.data} to {pi.pods}",
        "the pod listens",
    ]
    assert pi.pods.stat().st_mode & 0o777 == 0o750
    assert pi.saved.stat().st_mode & 0o777 == 0o640
    assert 0 <= result["away"]["seconds"] <= took


GATE = {"state": "forwarded", "ports": [{"standard": 8080, "temporary": 8082}], "forward_to": "192.0.2.9"}


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch, pi: Pi) -> list[tuple[str, str]]:
    """What the gate was set to, and what the unit was by then. tests/network has a real gate."""
    found: list[tuple[str, str]] = []

    def apply(module: Any, wanted: Any) -> dict[str, Any]:
        state = "--check" if module.check_mode else wanted["state"]
        changed = (state, pi.active) not in found
        found.append((state, pi.active))
        return {"changed": changed, "began": 1.5, "diff": {}}

    monkeypatch.setattr(handover.UnitHandover, "apply_gate", staticmethod(apply))
    return found


def test_the_gate_closes_before_the_unit_stops(hand_over, pi, gates):
    result = hand_over(gate=GATE)
    assert gates == [("forwarded", "active")]
    assert [step["step"] for step in result["steps"]][:2] == ["set the gate to forwarded", "stop pi.service"]
    assert result["gate"]["began"] == 1.5
    assert_handed_over(pi)
    again = hand_over(gate=GATE)
    assert (again["changed"], again["gate"], len(gates)) == (False, None, 1), "the pod may have clients by now"


def test_a_handover_that_broke_behind_the_gate_goes_on(hand_over, pi, gates, monkeypatch):
    def broken(_handover: Any) -> None:
        raise failures.MigrationError("killed here")

    with monkeypatch.context() as patched:
        patched.setattr(handover.UnitHandover, "_hand_over", broken)
        result = hand_over(gate=GATE)
    assert result["msg"] == "killed here"
    assert [step["step"] for step in result["steps"]] == ["set the gate to forwarded"]
    assert_untouched(pi)
    result = hand_over(gate=GATE)
    assert gates == [("forwarded", "active")] * 2
    assert [step["step"] for step in result["steps"]][0] == "stop pi.service", "the gate was closed already"
    assert_handed_over(pi)


def test_a_gate_that_does_not_close_leaves_the_unit_running(hand_over, pi, monkeypatch):
    def refused(_module: Any, _wanted: Any) -> None:
        raise failures.MigrationError("the kernel says no")

    monkeypatch.setattr(handover.UnitHandover, "apply_gate", staticmethod(refused))
    assert hand_over(gate=GATE)["msg"] == "the kernel says no"
    assert_untouched(pi)
    assert pi.calls == []


def test_check_mode_finds_out_whether_the_gate_can_close(hand_over, pi, gates):
    steps = [step["step"] for step in hand_over(check_mode=True, gate=GATE)["steps"]]
    assert steps[0] == "set the gate to forwarded"
    assert gates == [("--check", "active")]
    assert_untouched(pi)


def test_a_second_time_changes_nothing(hand_over, pi):
    hand_over()
    calls = pi.calls
    again = hand_over()
    assert (again["changed"], again["steps"], again["away"], pi.calls) == (False, [], None, calls)


def test_the_unit_is_masked_before_its_folder_goes(hand_over, pi, monkeypatch):
    """A daemon that is started without its folder makes an empty one."""
    seen = []
    rename = handover.Handover.rename
    monkeypatch.setattr(
        handover.Handover, "rename", lambda folders: (seen.append((pi.masked, pi.active)), rename(folders))
    )
    hand_over()
    assert seen == [(True, "inactive")]


def test_the_unit_is_recorded_before_it_stops(hand_over, pi, monkeypatch):
    """Writes that reach the disk take their time, and the Pi has no daemon from the stop to the rename."""
    written = []
    fsync = durable.fsync
    monkeypatch.setattr(durable, "fsync", lambda path: (written.append((path, pi.active)), fsync(path)))
    hand_over()
    assert written
    assert {active for _path, active in written} == {"active"}
    assert pi.saved.is_file()
    assert pi.record.is_file()


def test_systemd_is_asked_once_before_the_mask(hand_over, pi):
    hand_over()
    calls = [line.split()[0] for line in (pi.folder / "calls").read_text().splitlines()]
    assert calls == ["show", "stop", "daemon-reload", "show"]


class PowerOff(BaseException):
    pass


# The effects of a handover in their order.
STEPS = ["save", "record", "stop", "remove", "mask", "daemon-reload", "rename"]


@pytest.fixture
def power_off(hand_over, pi, monkeypatch) -> Callable[[str], None]:
    """Hands over until the power is lost before a step. A boot starts the unit then, unless it is masked."""

    def until(step: str) -> None:
        def limited(owner: Any, name: str, names: Callable[..., str]) -> None:
            original = getattr(owner, name)

            def call(*arguments: Any, **options: Any) -> Any:
                done.append(names(*arguments))
                if done[-1] == step:
                    raise PowerOff
                return original(*arguments, **options)

            patched.setattr(owner, name, call)

        done: list[str] = []
        with monkeypatch.context() as patched:
            limited(Path, "replace", lambda _new, path: "save" if path == pi.saved else "record")
            limited(Path, "rename", lambda *_: "rename")
            limited(Path, "symlink_to", lambda *_: "mask")
            limited(install.UnitInstall, "call", lambda _unit, command, *_: command)
            limited(install.UnitInstall, "_unlink", lambda *_: "remove")
            with pytest.raises(PowerOff):
                hand_over()
        assert done == STEPS[: STEPS.index(step) + 1]
        if pi.unit_file.is_file():
            (pi.folder / "active").write_text("active\n")
        else:
            (pi.folder / "active").write_text("inactive\n")

    return until


@pytest.mark.parametrize("step", STEPS)
def test_a_handover_that_power_loss_interrupted_goes_on(hand_over, pi, power_off, step):
    power_off(step)
    assert pi.data.is_dir()
    assert not hand_over().get("failed")
    assert_handed_over(pi)


@pytest.mark.parametrize("step", STEPS)
def test_a_handover_that_power_loss_interrupted_is_undone(take_over, pi, power_off, step):
    power_off(step)
    back = take_over()
    assert not back.get("failed"), back
    assert_untouched(pi)
    assert pi.unit_file.stat().st_mode & 0o777 == 0o640
    assert not pi.record.exists() or json.loads(pi.record.read_text())["restored"] is True


@pytest.mark.parametrize("step", ["stop", "remove"])
def test_a_unit_file_that_changed_meanwhile_comes_back_as_it_is(hand_over, take_over, pi, power_off, step):
    """Its record says less than the file that is in its place."""
    power_off(step)
    pi.unit_file.write_text("[Service]\nNice=5\n")
    pi.unit_file.chmod(0o600)
    assert not hand_over().get("failed")
    pi.starts = False
    assert not take_over().get("failed")
    assert pi.unit_file.read_text() == "[Service]\nNice=5\n"
    assert pi.unit_file.stat().st_mode & 0o777 == 0o600


def test_a_step_that_waited_for_another_looks_at_the_unit_after_it(hand_over, pi, monkeypatch):
    """What it had seen before would have it leave a unit running that the other one has started again."""
    holding = handover.holding
    (pi.folder / "active").write_text("inactive\n")

    @contextlib.contextmanager
    def waiting(folder: Path) -> Iterator[None]:
        with holding(folder):
            (pi.folder / "active").write_text("active\n")
            yield

    monkeypatch.setattr(handover, "holding", waiting)
    assert not hand_over().get("failed")
    assert_handed_over(pi)


def test_a_unit_that_started_while_the_gate_closed_is_stopped(hand_over, pi, monkeypatch):
    (pi.folder / "active").write_text("inactive\n")

    def apply(_module: Any, _wanted: Any) -> dict[str, Any]:
        (pi.folder / "active").write_text("active\n")
        return {"changed": True, "diff": {}}

    monkeypatch.setattr(handover.UnitHandover, "apply_gate", staticmethod(apply))
    assert not hand_over(gate=GATE).get("failed")
    assert_handed_over(pi)


def test_a_unit_that_systemd_does_not_know_is_not_recorded(hand_over, pi):
    (pi.folder / "bin/systemctl").write_text(SYSTEMCTL.replace("load=loaded", "load=not-found"))
    (pi.folder / "active").write_text("inactive\n")
    assert "systemd does not know pi.service" in hand_over()["msg"]
    assert not pi.record.exists()


def test_a_daemon_that_does_not_go_keeps_its_data_and_its_unit(hand_over, pi, reader):
    result = hand_over(wait_gone=0.2)
    assert result["failed"] is True
    assert str(reader.pid) in result["msg"]
    assert "raft.db" in result["msg"]
    assert_untouched(pi)


@pytest.mark.parametrize("owner", ["pod", "other", "unknown"])
def test_a_listener_on_one_of_its_ports_keeps_the_unit(hand_over, pi, owner):
    pi.listening = [procfs.Listener(9091, "10.77.0.11", 4711, "pi-controller", owner)]
    result = hand_over()
    assert "pi-controller 4711 listens on port 9091" in result["msg"]
    assert_untouched(pi)


@pytest.mark.parametrize("command", ["stop", "daemon-reload"])
def test_a_unit_that_systemd_does_not_let_go_is_started_again(hand_over, pi, command):
    (pi.folder / "bin/systemctl").write_text(
        SYSTEMCTL.replace(
            'case "$1" in',
            f'[ "$1 $(ls calls.{command} 2>/dev/null)" = "{command} " ] && {{ touch calls.{command}; echo no >&2; exit 1; }}\ncase "$1" in',
        )
    )
    result = hand_over()
    assert result["failed"] is True
    assert f"`systemctl {command}" in result["msg"]
    assert_untouched(pi)


def test_a_folder_that_cannot_be_renamed_stays_the_units(hand_over, pi, monkeypatch):
    def refuse(*_arguments):
        raise OSError("device is busy")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refuse)
        assert "device is busy" in hand_over()["msg"]
    assert_untouched(pi)


@pytest.mark.parametrize("content", ["empty", "data"])
def test_a_folder_that_a_pod_could_start_on_stops_it(hand_over, pi, content):
    pi.pods.mkdir()
    if content == "data":
        (pi.pods / "pi.db").write_text("other")
    for check_mode in (True, False):
        assert "a pod could start there while the unit runs" in hand_over(check_mode=check_mode)["msg"]
    assert pi.active == "active"
    assert pi.calls == []


@pytest.mark.parametrize("name", ["pods", "data"])
def test_no_link_is_followed(hand_over, pi, name):
    path = getattr(pi, name)
    if path.exists():
        path.rename(pi.folder / "elsewhere")
    path.symlink_to(pi.folder / "elsewhere")
    assert "is a symbolic link" in hand_over(check_mode=True)["msg"]
    assert pi.calls == []


def test_a_mount_point_is_refused_beforehand(hand_over, pi, monkeypatch):
    folders = import_plugin("module_utils._core.takeover")
    monkeypatch.setattr(folders, "obstacle", lambda path: f"{path} is a mount point" if path == str(pi.data) else None)
    assert "is a mount point" in hand_over(check_mode=True)["msg"]
    assert pi.calls == []


def test_without_any_unit_file_it_says_so_beforehand(hand_over, pi):
    pi.unit_file.unlink()
    assert "there is no unit file" in hand_over(check_mode=True)["msg"]


def test_a_linked_unit_file_is_saved_by_its_content(hand_over, pi):
    pi.unit_file.rename(pi.folder / "owners.service")
    pi.unit_file.symlink_to(pi.folder / "owners.service")
    assert not hand_over().get("failed")
    assert_handed_over(pi)
    assert (pi.folder / "owners.service").read_text() == "[Service]\n"


def test_check_mode_predicts_the_steps_and_takes_none(hand_over, pi):
    steps = [step["step"] for step in hand_over(check_mode=True)["steps"]]
    assert steps == ["stop pi.service", "mask pi.service", f"rename {pi.data} to {pi.pods}"]
    assert_untouched(pi)
    assert pi.calls == []


def test_the_rollback_starts_the_unit_as_it_was(hand_over, take_over, pi):
    """Both modules on one Pi: what one has made the other takes back."""
    hand_over()
    pi.starts = False
    back = take_over()
    assert not back.get("failed"), back
    assert_untouched(pi)
    assert pi.unit_file.stat().st_mode & 0o777 == 0o640
    assert pi.data.stat().st_mode & 0o777 == 0o750


def test_a_pod_that_does_not_start_is_named_and_keeps_the_data(hand_over, pi):
    """Its kubelet may still start it, so it is not for this Pi alone to take the data back."""
    pi.starts = False
    result = hand_over()
    assert "does not listen on 8080, 9090, 9091" in result["msg"]
    assert result["away"]["seconds"] is None
    assert_handed_over(pi)
    again = hand_over()
    assert "does not listen" in again["msg"]

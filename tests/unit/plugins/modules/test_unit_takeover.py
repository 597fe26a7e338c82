# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin

takeover = import_plugin("modules.unit_takeover")
install = import_plugin("module_utils._core.unit_install")
procfs = import_plugin("module_utils._core.procfs")
PORTS = [8080, 9090, 9091]
# systemd as far as the module asks it: states are files, and a masked unit is a link to /dev/null.
SYSTEMCTL = """#!/bin/sh
cd "$FAKE" || exit 1
echo "$*" >> calls
case "$1" in
show) echo "LoadState=loaded"; echo "ActiveState=$(cat active)"; echo "SubState=running"; echo "UnitFileState=$(cat enabled)"; echo "NRestarts=0" ;;
unmask) rm -f etc/pi.service; echo disabled > enabled ;;
enable) echo enabled > enabled ;;
start) [ -f etc/pi.service ] && [ ! -L etc/pi.service ] || { echo "Unit pi.service is masked." >&2; exit 1; }; echo active > active ;;
esac
"""


class Pi:
    """One Pi after the migration: pod data, archive, saved unit file, and a mask where the unit file was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.pods = folder / "data", folder / "pods"
        self.archive, self.aside = folder / "archive", folder / "archive.rolled-back.1"
        self.unit_file, self.saved = folder / "etc/pi.service", folder / "saved.service"
        self.listening: list[Any] = []
        for path in (self.pods, self.archive, folder / "etc", folder / "bin"):
            path.mkdir()
        self.archive.chmod(0o750)
        (self.pods / "raft").mkdir()
        (self.pods / "raft/raft.db").write_text("the pod's log")
        (self.archive / "pi.db").write_text("old")
        self.saved.write_text("[Service]\n")
        self.saved.chmod(0o640)
        self.unit_file.symlink_to("/dev/null")
        (folder / "active").write_text("inactive\n")
        (folder / "enabled").write_text("masked\n")
        (folder / "bin/systemctl").write_text(SYSTEMCTL)
        (folder / "bin/systemctl").chmod(0o755)

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return [line for line in file.read_text().splitlines() if not line.startswith("show")] if file.exists() else []

    def listeners(self, ports: Any, unit: str) -> list[Any]:
        """What the kernel shows: others' sockets as the test has them, the unit's once it is active."""
        own = (self.folder / "active").read_text() == "active\n"
        return self.listening + [procfs.Listener(port, "0.0.0.0", 1, "pi-controller", "unit") for port in ports if own]


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pi:
    (tmp_path / "pi").mkdir()
    made = Pi(tmp_path / "pi")
    monkeypatch.setenv("PATH", f"{made.folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(made.folder))
    monkeypatch.setattr(takeover.Takeover, "listeners", staticmethod(made.listeners))
    return made


@pytest.fixture
def take(run_module, pi: Pi) -> Callable[..., dict[str, Any]]:
    def run(check_mode: bool = False, **options: Any) -> dict[str, Any]:
        args = {"unit": "pi.service", "unit_file": pi.unit_file, "saved_unit_file": pi.saved, "data_dir": pi.data,
                "pod_data_dir": pi.pods, "archive_path": pi.archive, "aside": pi.aside}  # fmt: skip
        given = {
            **{name: str(value) for name, value in args.items()},
            "ports": PORTS,
            "wait_gone": 0,
            "wait_timeout": 0,
            **options,
        }
        return run_module("unit_takeover", given, check_mode=check_mode)

    return run


@pytest.fixture
def reader(pi: Pi) -> Iterator[subprocess.Popen[str]]:
    """Another process with the pod's log open, as the pod's daemon has it."""
    code = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(pi.pods / "raft/raft.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def assert_taken_over(pi: Pi) -> None:
    assert (pi.data / "raft/raft.db").read_text() == "the pod's log"
    assert (pi.aside / "pi.db").read_text() == "old"
    assert not pi.pods.exists()
    assert not pi.archive.exists()
    assert not pi.unit_file.is_symlink()
    assert pi.unit_file.read_text() == "[Service]\n"
    assert (pi.folder / "active").read_text() == "active\n"
    assert (pi.folder / "enabled").read_text() == "enabled\n"


def test_the_unit_has_the_pods_data_and_runs(take, pi):
    result = take()
    assert result["changed"] is True, result
    assert_taken_over(pi)
    assert pi.unit_file.stat().st_mode & 0o777 == 0o640
    # As the unit's own folder was.
    assert pi.data.stat().st_mode & 0o777 == 0o750


def test_p6_a_linked_unit_whose_turn_never_came_stays_as_it_is(take, pi):
    """A rollback looks at every Pi, also at those whose turn never came, and nothing of them is saved yet."""
    file = pi.folder / "of-its-owner.service"
    file.write_text("[Service]\n")
    pi.archive.rename(pi.data)
    pi.pods.rename(pi.folder / "elsewhere")
    pi.saved.unlink()
    pi.unit_file.unlink()
    pi.unit_file.symlink_to(file)
    (pi.folder / "active").write_text("active\n")
    for check_mode in (True, False):
        result = take(check_mode=check_mode)
        assert not result.get("failed"), result
        assert (result["changed"], result["steps"]) == (False, [])
    assert pi.unit_file.readlink() == file


def test_a_second_time_changes_nothing(take, pi):
    take()
    calls = pi.calls
    again = take()
    assert (again["changed"], again["steps"], pi.calls) == (False, [], calls)


def test_cleanup_that_was_not_run_left_the_data_in_its_place(take, pi):
    pi.archive.rename(pi.data)
    take()
    assert_taken_over(pi)


@pytest.mark.parametrize("stopped_at", range(1, 8))
def test_a_takeover_that_was_interrupted_goes_on(take, pi, monkeypatch, stopped_at):
    """Power off before the nth call that changes something; then it is run again."""
    calls = iter(range(1, 100))

    def limited(original):
        def call(*arguments, **options):
            if next(calls) == stopped_at:
                raise OSError("power off")
            return original(*arguments, **options)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", limited(Path.rename))
        patched.setattr(install.UnitInstall, "call", limited(install.UnitInstall.call))
        patched.setattr(Path, "replace", limited(Path.replace))
        assert take()["failed"] is True
        assert (pi.folder / "active").read_text() == "inactive\n"
    assert not take().get("failed")
    assert_taken_over(pi)


def test_a_daemon_that_still_has_a_file_open_stops_it(take, pi, reader):
    result = take(wait_gone=0.2)
    assert result["failed"] is True
    assert str(reader.pid) in result["msg"]
    assert "raft.db" in result["msg"]
    assert pi.pods.exists()
    assert pi.calls == []


def test_it_goes_on_as_soon_as_the_file_is_closed(take, pi, reader):
    threading.Timer(0.5, reader.kill).start()
    assert not take(wait_gone=20).get("failed")
    assert_taken_over(pi)


def test_a_second_run_waits_for_the_first(take, pi):
    """As after a lost connection: the first goes on without anyone to report to."""
    first = takeover.holding(pi.folder)
    first.__enter__()
    threading.Timer(0.5, first.__exit__, (None, None, None)).start()
    result = take()
    assert result["elapsed"] >= 0.4
    assert_taken_over(pi)


@pytest.mark.parametrize("owner", ["pod", "other", "unknown"])
def test_a_listener_on_a_port_of_the_pod_stops_it(take, pi, owner):
    pi.listening = [procfs.Listener(9091, "10.77.0.11", 4711, "pi-controller", owner)]
    result = take()
    assert "pi-controller 4711 listens on port 9091" in result["msg"]
    assert pi.pods.exists()


def test_a_unit_that_runs_beside_the_pods_data_is_not_touched(take, pi):
    (pi.folder / "active").write_text("active\n")
    result = take()
    assert "is active although the pod has the newest data" in result["msg"]
    assert pi.calls == []
    assert pi.pods.exists()


def test_a_unit_that_does_not_start_is_named_with_the_next_step(take, pi):
    (pi.folder / "bin/systemctl").write_text(SYSTEMCTL.replace("echo active > active", "echo failed > active"))
    result = take()
    assert result["failed"] is True
    assert "does not listen on 8080, 9090, 9091: it is failed" in result["msg"]
    assert "journalctl -u pi.service" in result["msg"]


def test_d11_a_unit_that_ends_with_status_0_is_not_waited_for(take, pi):
    """As the published daemon does when it fails: systemd calls it inactive, and Restart=on-failure leaves it so."""
    systemctl = pi.folder / "bin/systemctl"
    systemctl.write_text(SYSTEMCTL.replace("echo active > active ;;", "echo inactive > active ;;"))
    patience = 120
    result = take(wait_timeout=patience)
    assert result["failed"]
    assert "it is inactive (running, 0 restarts), and systemd does not start it again" in result["msg"]
    assert result["elapsed"] < patience / 2


def test_nothing_is_replaced(take, pi):
    pi.aside.mkdir()
    pi.archive.rename(pi.data)
    result = take(check_mode=True)
    assert "both exist" in result["msg"]
    assert "both exist" in take()["msg"]
    assert (pi.data / "pi.db").exists()
    assert pi.pods.exists()


@pytest.mark.parametrize("name", ["pods", "archive"])
def test_no_link_is_followed(take, pi, name):
    path = getattr(pi, name)
    path.rename(pi.folder / "elsewhere")
    path.symlink_to(pi.folder / "elsewhere")
    assert "is a symbolic link" in take()["msg"]


def test_without_any_unit_file_it_says_so_beforehand(take, pi):
    pi.saved.unlink()
    assert "there is no unit file" in take(check_mode=True)["msg"]


def test_check_mode_predicts_the_steps_and_takes_none(take, pi):
    steps = [step["step"] for step in take(check_mode=True)["steps"]]
    assert steps == [
        f"rename {pi.archive} to {pi.aside}",
        f"rename {pi.pods} to {pi.data}",
        f"put {pi.unit_file} back",
        "start pi.service",
    ]
    assert pi.pods.exists()
    assert pi.calls == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_the_data_belongs_to_whom_the_units_data_belonged(take, pi):
    os.chown(pi.archive, 4711, 4712)
    (pi.pods / "link").symlink_to(pi.saved)
    take()
    found = [pi.data, pi.data / "raft", pi.data / "raft/raft.db", pi.data / "link"]
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in found} == {(4711, 4712)}
    assert pi.saved.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_files_a_pod_made_as_root_belong_to_the_unit(take, pi):
    """Without an archive the pod has had the unit's own data from the beginning."""
    os.chown(pi.pods, 4711, 4712)
    (pi.pods / "owners").write_text("")
    os.chown(pi.pods / "owners", 4713, 4713)
    assert not take(archive_path=None).get("failed")
    found = {
        path.name: path.stat().st_uid
        for path in (pi.data, pi.data / "raft", pi.data / "raft/raft.db", pi.data / "owners")
    }
    assert found == {"data": 4711, "raft": 4711, "raft.db": 4711, "owners": 4713}
    assert (pi.archive / "pi.db").read_text() == "old", "an archive that is not of this migration stays"

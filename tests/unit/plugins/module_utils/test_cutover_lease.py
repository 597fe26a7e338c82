# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lease that a Pi keeps by itself: its program as a process of its own, with nothing but Python, systemctl and its daemon."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin
from fake_raft import FakeCluster

arming = import_plugin("module_utils._lease.arming")
keeper = import_plugin("module_utils._lease.keeper")
order_of = import_plugin("module_utils._lease.order")
unit_of = import_plugin("module_utils._lease.unit")
lease_of = import_plugin("module_utils._gate.lease")
MigrationError = import_plugin("module_utils._core.failures").MigrationError

UNIT = "pi-controller.service"
TOKEN = "a-token-that-no-other-user-reads"
SYSTEMCTL = """#!/bin/sh
echo "$*" >> "{log}"
[ "$1" != show ] || printf 'Id={unit}\\nLoadState=loaded\\nActiveState=%s\\n' "$(cat {state})"
[ "$1" != start ] || echo active > {state}
"""


class Pi:
    """The folders of one Pi, and systemctl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.etc = folder / "etc"
        self.link = self.etc / "multi-user.target.wants" / UNIT
        self.link.parent.mkdir(parents=True)
        self.state = folder / "state"
        self.log = folder / "log"
        self.state.write_text("active\n")
        self.log.touch()
        self.tool = folder / "bin/systemctl"
        self.tool.parent.mkdir()
        self.tool.write_text(SYSTEMCTL.format(log=self.log, state=self.state, unit=UNIT))
        self.tool.chmod(0o755)
        self.unit = unit_of.LeaseUnit(folder / "lease", self.etc)

    @property
    def environment(self) -> dict[str, str]:
        # Nothing of the tests' own Python, and no collection to import from.
        return {"PATH": f"{self.tool.parent}:/usr/bin:/bin"}

    def systemctl(self, *arguments: str) -> tuple[int, str, str]:
        done = subprocess.run([self.tool, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def run(self, *command: str) -> tuple[int, str, str]:
        done = subprocess.run(
            command, capture_output=True, text=True, env=self.environment, cwd="/", check=False, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    def arm(self, seconds: float, url: str = "", **more: Any) -> Any:
        access = {"token": TOKEN} if url else {}
        links = {str(self.link): f"/etc/systemd/system/{UNIT}"}
        order = order_of.Order.from_now(UNIT, seconds, url=url, access=access, links=links)
        arming.arm(self.unit, replace(order, **more), self.systemctl, self.run)
        return order

    def started(self) -> list[str]:
        """The command that the unit runs."""
        (line,) = [line for line in self.unit.unit.read_text().splitlines() if line.startswith("ExecStart=")]
        return line.partition("=")[2].split()

    @property
    def calls(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if not line.startswith("show")]


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi(tmp_path)


@pytest.fixture
def daemon() -> Iterator[Any]:
    cluster = FakeCluster.start(1, token=TOKEN)
    cluster.nodes["n1"].read_only = True
    yield cluster.nodes["n1"]
    cluster.stop()


@pytest.fixture
def start(pi: Pi) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Run the program as the unit does."""
    running: list[subprocess.Popen[str]] = []

    def run() -> subprocess.Popen[str]:
        running.append(
            subprocess.Popen(
                pi.started(), env=pi.environment, cwd="/", text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
        assert running[-1].stdout is not None
        assert "is opened again by itself" in running[-1].stdout.readline()
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def wait(what: str, probe: Callable[[], Any], timeout: float = 60) -> None:
    until = time.monotonic() + timeout
    while not probe():
        assert time.monotonic() < until, f"waited {timeout:g} s for: {what}"
        time.sleep(0.02)


def test_at_the_deadline_the_program_opens_the_old_side_by_itself(pi, daemon, start):
    pi.state.write_text("inactive\n")
    order = pi.arm(3, daemon.url)
    began = time.monotonic()
    start()
    wait("the daemon takes writes", lambda: not daemon.read_only)
    assert time.monotonic() - began >= order.until - began - 0.1
    wait("the order has ended", lambda: pi.unit.file.load().ended is not None)

    assert os.readlink(pi.link) == f"/etc/systemd/system/{UNIT}"  # noqa: PTH115
    assert pi.calls[-2:] == ["daemon-reload", f"start --no-block {UNIT}"]
    assert pi.state.read_text() == "active\n"


def test_what_is_kept_of_a_token_only_root_reads(pi, daemon):
    pi.arm(60, daemon.url)
    folder = pi.unit.file.folder

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "lease.json": 0o600,
        "lease.pyz": 0o600,
    }
    assert TOKEN in pi.unit.file.path.read_text()
    assert TOKEN not in pi.unit.unit.read_text()
    assert TOKEN.encode() not in pi.unit.program.read_bytes()
    pi.unit.file.path.write_text(f'{{"format": 1, "token": "{TOKEN}"}}')
    with pytest.raises(MigrationError) as error:
        pi.unit.file.load()
    assert TOKEN not in str(error.value.failure) + str(error.value)


def test_it_is_a_real_unit_that_a_boot_starts(pi):
    pi.arm(60)

    assert pi.unit.link.readlink() == pi.unit.unit
    assert pi.unit.unit.parent == pi.etc
    assert "WantedBy=multi-user.target" in pi.unit.unit.read_text()
    assert pi.calls == ["daemon-reload", f"restart {pi.unit.unit.name}", f"is-active {pi.unit.unit.name}"]


def test_a_void_lease_does_nothing_and_its_program_ends(pi, daemon, start):
    pi.arm(60, daemon.url)
    process = start()
    assert pi.unit.void() is True
    assert process.wait(20) == 0

    assert daemon.read_only
    assert not pi.link.is_symlink()
    assert [path.name for path in pi.etc.rglob("*")] == ["multi-user.target.wants"]
    assert not pi.unit.file.folder.exists()
    assert pi.unit.void() is False


def test_after_a_reboot_it_waits_for_the_rest_and_starts_the_unit(pi, daemon, start):
    """Sooner could be before another Pi's redirection has ended."""
    pi.state.write_text("inactive\n")
    pi.arm(8, daemon.url, boot="the boot before", until=0.0)
    start()
    wait("the program has taken over the order", lambda: pi.unit.file.load().boot != "the boot before")
    assert daemon.read_only
    assert pi.state.read_text() == "inactive\n"
    wait("the daemon takes writes", lambda: not daemon.read_only)
    wait("the unit runs", lambda: pi.state.read_text() == "active\n")


@pytest.mark.parametrize(("behind", "left"), [(0, 40), (3600, 60), (-3600, -3560)])
def test_a_clock_that_is_behind_costs_at_most_the_whole_lease(behind, left, monkeypatch):
    """A Pi without a clock of its own comes back with the time of its last shutdown."""
    order = replace(order_of.Order.from_now(UNIT, 60), boot="the boot before")
    now = time.time()
    monkeypatch.setattr(order_of.time, "time", lambda: now + 20 - behind)

    assert order.left() == pytest.approx(left, abs=1)
    monkeypatch.setattr(order_of.time, "time", lambda: now + 9999)
    again = replace(order, until_epoch=now + 9999 + 30).of_this_boot()
    monkeypatch.setattr(order_of.time, "time", lambda: 0.0)
    assert again.left() == pytest.approx(30, abs=1), "by this boot's clock, which is never set"


def kept(pi: Pi, **options: Any) -> Any:
    def systemctl(*arguments: str) -> tuple[int, str]:
        code, out, err = pi.systemctl(*arguments)
        return code, out + err

    return keeper.Keeper(pi.unit, call=systemctl, say=lambda _text: None, **options)


def test_a_fence_that_comes_late_is_lifted_as_well(pi, daemon):
    """It was on its way from another Pi."""
    pi.arm(60, daemon.url)
    pi.unit.file.save(replace(pi.unit.file.load(), until=0.0))
    program = kept(pi, linger=1e9)
    assert program.look() is not None
    daemon.read_only = True
    assert program.look() is not None
    assert not daemon.read_only


def test_p2_a_full_disk_after_a_reboot_keeps_nothing_closed(pi, daemon, monkeypatch):
    pi.state.write_text("inactive\n")
    pi.arm(60, daemon.url, boot="the boot before", until=0.0, until_epoch=time.time() - 1)

    def full(*_order: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(pi.unit.file), "save", full)
    assert kept(pi).look() is not None
    assert not daemon.read_only
    assert pi.state.read_text() == "active\n"


def test_a_daemon_that_does_not_answer_is_asked_again(pi, daemon):
    pi.arm(60, daemon.url)
    daemon.alive = False
    pi.unit.file.save(replace(pi.unit.file.load(), until=0.0))
    program = kept(pi, linger=0)
    assert program.look() is not None
    assert pi.unit.file.load().ended is None
    assert pi.link.is_symlink(), "what does not need the daemon is done"
    daemon.alive = True
    assert program.look() is not None
    assert not daemon.read_only
    assert program.look() is None, "and then it removes itself"
    assert not pi.unit.file.folder.exists()
    assert not pi.unit.unit.exists()
    assert not pi.unit.link.is_symlink()


@pytest.mark.parametrize("fault", ["show", "restart", "is-active"])
def test_a_lease_that_cannot_be_armed_leaves_nothing(pi, fault):
    def refuses(*arguments: str) -> tuple[int, str, str]:
        return (1, "", "Failed: no") if arguments[0] == fault else pi.systemctl(*arguments)

    def program(*command: str) -> tuple[int, str, str]:
        return (1, "", "Traceback\nImportError: no module") if fault == "show" else pi.run(*command)

    order = order_of.Order.from_now(UNIT, 60)
    with pytest.raises(MigrationError, match="the lease cannot be armed: .* ended with 1: (Failed: no|ImportError)"):
        arming.arm(pi.unit, order, refuses, program)
    assert not pi.unit.file.folder.exists()
    assert not pi.unit.unit.exists()
    assert not pi.unit.link.is_symlink()


@pytest.mark.parametrize("fault", ["restart", "is-active"])
def test_a_lease_that_is_armed_again_stays_whatever_fails(pi, fault):
    """A daemon that hangs is why: the next boot, or systemd, starts what there is of the lease."""

    def refuses(*arguments: str) -> tuple[int, str, str]:
        return (1, "", "Failed: no") if arguments[0] == fault else pi.systemctl(*arguments)

    def program(*_command: str) -> tuple[int, str, str]:
        raise AssertionError("the daemon is not asked again")

    with pytest.raises(MigrationError, match="the lease cannot be armed"):
        arming.arm(pi.unit, order_of.Order.from_now(UNIT, 60), refuses, program, again=True)
    assert pi.unit.file.load().unit == UNIT
    assert pi.unit.unit.exists()


def test_a_daemon_that_refuses_the_token_is_found_before_writes_wait(pi, daemon):
    with pytest.raises(MigrationError, match="401"):
        pi.arm(60, daemon.url, access={"token": "another-token"})


def test_the_program_needs_nothing_but_the_standard_library(pi):
    pi.arm(60)
    code = "import sys; sys.path.insert(0, sys.argv[1]); " + f"import {keeper.__name__}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, pi.unit.program], capture_output=True, text=True, check=True, cwd="/"
    )
    top = {name.partition(".")[0] for name in done.stdout.split()}
    assert "ansible" not in top
    assert top - {"ansible_collections"} <= set(sys.stdlib_module_names) | {"__main__", "zipimport"}


COMPILED = """
import sys, zipimport
compiled = []
for name in ("_compile_source", "compile"):
    before = getattr(zipimport, name, compile)
    setattr(zipimport, name, lambda *args, before=before, **more: compiled.append(args[0]) or before(*args, **more))
sys.path.insert(0, sys.argv[1])
import {module}
print(len([text for text in compiled if len(text) > 200]))
"""


def compiled(pi: Pi) -> int:
    """How many modules of the program Python compiles when it is started."""
    command = [sys.executable, "-I", "-c", COMPILED.format(module=keeper.__name__), pi.unit.program]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout)


def test_the_program_is_compiled_when_it_is_armed(pi):
    pi.arm(60)
    assert compiled(pi) == 0


def test_another_python_takes_the_programs_source(pi, monkeypatch):
    """An update may replace it between the arming and a boot."""
    monkeypatch.setattr(arming.importlib.util, "MAGIC_NUMBER", b"\x00\x01\r\n")
    pi.arm(60)
    assert compiled(pi) > 5


def test_an_order_is_only_of_this_format(pi):
    pi.arm(60)
    text = json.loads(pi.unit.file.path.read_text())
    for change in ({"format": 2}, {"stray": 1}):
        pi.unit.file.path.write_text(json.dumps({**text, **change}))
        with pytest.raises(MigrationError, match="cannot be used"):
            pi.unit.file.load()


def test_a_moment_of_another_boot_or_long_ago_is_over():
    now = lease_of.Moment.now()
    assert now.left_of(10, "too long") == pytest.approx(10, abs=1)
    with pytest.raises(lease_of.LeaseEnded, match=r"\d+\.\d s have passed, too long"):
        replace(now, seconds=now.seconds - 10).left_of(10, "too long")
    with pytest.raises(lease_of.LeaseEnded, match="rebooted"):
        replace(now, boot="another").left_of(10, "too long")

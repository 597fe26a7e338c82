# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every host starts from a control group of its own in every hierarchy, or the hosts would share one tree."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from .shell import LabError

PARENT = "pi-lab"
CPU_PERIOD = 20_000  # microseconds
# All hosts are in one group, which would get as much as one process of the machine: each of them is a machine of its own.
SHARES, WEIGHT = (
    8192,
    10000,
)  # cgroup v1; the most of cgroup v2, where idle tasks of other groups would have a group's whole share


def hierarchies() -> list[tuple[Path, str]]:
    """(mount point, file system type) of every hierarchy of the machine."""
    found: dict[Path, str] = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            found[Path(point)] = kind
    return list(found.items())


def create(name: str) -> list[Path]:
    """The groups of a host, ready to take its first process."""
    groups: list[Path] = []
    for point, kind in hierarchies():
        group = point
        for part in (PARENT, name):
            parent, group = group, group / part
            if kind == "cgroup2":
                _delegate(parent)
            group.mkdir(exist_ok=True)
            if kind == "cgroup":
                _inherit_cpuset(parent, group)
            if part == PARENT:
                for file, value in (("cpu.shares", SHARES), ("cpu.weight", WEIGHT)):
                    if (group / file).exists():
                        (group / file).write_text(str(value))
        groups.append(group)
    return groups


def _inherit_cpuset(parent: Path, group: Path) -> None:
    """A new v1 cpuset is empty and refuses every process until it is filled."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and not (group / name).read_text().strip():
            (group / name).write_text((parent / name).read_text())


def _delegate(parent: Path) -> None:
    for controller in (parent / "cgroup.controllers").read_text().split():
        # A controller that v1 holds, or that cannot be passed on, is not one the lab needs.
        with contextlib.suppress(OSError):
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def legacy() -> bool:
    """The machine's controllers are those of cgroup v1, so its hosts' must be as well."""
    return any(kind == "cgroup" for _, kind in hierarchies())


def _file(name: str, first: str, second: str) -> Path | None:
    """A file of a host's group, by its name in cgroup v1 and in v2; None where no hierarchy of the machine has it."""
    for point, kind in hierarchies():
        path = point / PARENT / name / (first if kind == "cgroup" else second)
        if path.exists():
            return path
    return None


def limit_cpu(name: str, share: float) -> None:
    """Hold a host to a share of one core: 0.2 is 4 of every 20 ms."""
    quota = round(share * CPU_PERIOD)
    found = _file(name, "cpu.cfs_quota_us", "cpu.max")
    if found is None:
        raise LabError("This machine has no cpu controller for control groups: bring the lab up without CPU=.")
    if found.name == "cpu.max":
        found.write_text(f"{quota} {CPU_PERIOD}")
    else:
        found.with_name("cpu.cfs_period_us").write_text(str(CPU_PERIOD))
        found.write_text(str(quota))


def limit_memory(name: str, mebibytes: int) -> None:
    """Hold a host to this much memory, what the kernel keeps of its files included."""
    found = _file(name, "memory.limit_in_bytes", "memory.max")
    if found is None:
        raise LabError("This machine has no memory controller for control groups: bring the lab up without MEMORY=.")
    found.write_text(str(mebibytes << 20))


def cpu_seconds(name: str) -> float:
    """What the processes of a host have used of the processors so far."""
    found = _file(name, "cpuacct.usage", "cpu.stat")
    if found is None:
        raise LabError("This machine does not count the time of control groups: it has neither cpuacct nor cpu.stat.")
    text = found.read_text()
    return int(text.split()[1]) / 1e6 if found.name == "cpu.stat" else int(text) / 1e9


def groups_of(name: str | None = None) -> Iterator[Path]:
    """All groups below the lab's, or below one host's, the deepest first."""
    for point, _ in hierarchies():
        top = point / PARENT / name if name else point / PARENT
        if top.is_dir():
            yield from (Path(folder) for folder, _, _ in os.walk(top, topdown=False))


def processes(name: str | None = None) -> set[int]:
    pids: set[int] = set()
    for group in groups_of(name):
        with contextlib.suppress(OSError):
            pids.update(int(pid) for pid in (group / "cgroup.procs").read_text().split())
    return pids


def kill(name: str | None = None, timeout: float = 20) -> None:
    """End every process of the groups. Nothing outside of the lab is ever in them."""
    deadline = time.monotonic() + timeout
    while pids := processes(name):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise LabError(
                f"Processes {sorted(pids)[:5]} of the lab do not end: look at them with ps, then run `down` again."
            )
        time.sleep(0.02)


def remove(name: str | None = None) -> None:
    for group in groups_of(name):
        deadline = time.monotonic() + 5
        while True:
            try:
                group.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError as error:
                # The kernel lets go of a group shortly after its last process is reaped.
                if time.monotonic() > deadline:
                    raise LabError(f"The control group {group} cannot be removed: {error}.") from error
                time.sleep(0.02)

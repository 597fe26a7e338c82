# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel settings of the machine: the lab's hosts share its kernel, and a kubelet insists on some of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .state import State

# A kubelet writes the first four itself where it may; in a host of the lab /proc/sys is read-only. The two of the
# bridge keep the machine's own packet filter out of the traffic between the hosts. Each host runs a systemd, a
# kubelet and a containerd, all for the same user of the kernel: the inotify limits are for their sum. With a group of its own for each
# session of processes, what a test suite starts as idle would have as much of a processor as the lab: an idle process yields in its group.
EXACT = {
    "kernel/sched_autogroup_enabled": 0,
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "net/bridge/bridge-nf-call-iptables": 0,
    "net/bridge/bridge-nf-call-ip6tables": 0,
}
AT_LEAST = {
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
    "fs/inotify/max_user_instances": 1024,
    "fs/inotify/max_user_watches": 131072,
}


def changes(proc: Path = Path("/proc/sys")) -> dict[str, tuple[str, str]]:
    """Setting -> (value seen, value wanted), for those which differ."""
    different: dict[str, tuple[str, str]] = {}
    for name, wanted in {**EXACT, **AT_LEAST}.items():
        path = proc / name
        if not path.exists():
            continue
        seen = path.read_text().strip()
        if int(seen) < wanted or (name in EXACT and int(seen) != wanted):
            different[name] = (seen, str(wanted))
    return different


def apply(state: State, proc: Path = Path("/proc/sys")) -> None:
    """Change what must be changed. The old values reach the disk first, so that a crash loses none."""
    different = changes(proc)
    for name, (seen, _) in different.items():
        state.kernel_settings.setdefault(name, seen)
    state.save()
    for name, (_, wanted) in different.items():
        (proc / name).write_text(wanted)


def restore(settings: Mapping[str, str], proc: Path = Path("/proc/sys")) -> None:
    """Put back what was there before, by name."""
    for name, old in settings.items():
        path = proc / name
        if path.exists() and path.read_text().strip() != old:
            path.write_text(old)

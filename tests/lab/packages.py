# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be installed on the machine itself. Everything else lives in the hosts' root file system."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from .progress import Progress
from .settings import CACHE
from .shell import LabError, run, run_logged

RUN = (
    "mmdebstrap",
    "systemd-container",
    "iproute2",
    "conntrack",
    "openssl",
    "openssh-client",
    "util-linux",
    "mount",
    "procps",
    "kmod",
    "ca-certificates",
    "python3-venv",
)
# The test daemon holds SQLite, which is C; so is the pause program. Go itself: golang.py.
BUILD = ("gcc", "libc6-dev")
# For the tests of the report's page; the lab itself does without.
BROWSER = ("chromium", "fonts-dejavu-core")
# The gate itself, and rules of other programs that it is tested beside.
NETWORK = ("nftables", "iptables")
# Seconds that another program may have apt's locks, and between two tries.
LOCKED_FOR, BETWEEN_TRIES = 600.0, 2.0
GROUPS = {"run": RUN, "build": BUILD, "browser": BROWSER, "network": NETWORK}


def of(groups: Sequence[str]) -> tuple[str, ...]:
    """The packages of these groups, or of all where none is named; each once."""
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise LabError(f"There are no packages for {', '.join(unknown)}: the groups are {', '.join(GROUPS)}.")
    return tuple(dict.fromkeys(name for group in groups or GROUPS for name in GROUPS[group]))


def missing(packages: tuple[str, ...]) -> list[str]:
    seen = run(["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *packages], check=False)
    installed = {line.split()[0] for line in seen.stdout.splitlines() if line.endswith(" installed")}
    return sorted(set(packages) - installed)


def ensure(packages: tuple[str, ...], progress: Progress) -> None:
    wanted = missing(packages)
    if not wanted:
        return
    log = CACHE / "logs" / "apt.log"
    with progress.waiting(f"packages: apt-get installs {', '.join(wanted)}"):
        apt_get(["update"], log, progress)
        apt_get(["install", "--yes", "--no-install-recommends", *wanted], log, progress)
    left = missing(packages)
    if left:
        raise LabError(f"apt-get succeeded but {', '.join(left)} is not installed: read {log}.")


def apt_get(words: Sequence[str], log: Path, progress: Progress, patience: float = LOCKED_FOR) -> None:
    """Run apt-get, once no other program has its locks: a machine that was just booted looks for updates."""
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    env = {**proxies, "DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    deadline = time.monotonic() + patience
    while True:
        already = log.stat().st_size if log.exists() else 0
        try:
            run_logged(["apt-get", *words], log, timeout=1800, env=env)
            return
        except LabError:
            with log.open(encoding="utf-8", errors="replace") as file:
                file.seek(already)
                locked = "Could not get lock" in file.read()
            if not locked or time.monotonic() > deadline:
                raise
        with progress.waiting("packages: another program, as unattended-upgrades, has apt's lock"):
            time.sleep(BETWEEN_TRIES)

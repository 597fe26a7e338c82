# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be installed on the machine itself. Everything else lives in the hosts' root file system."""

from __future__ import annotations

from collections.abc import Sequence

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
    "ca-certificates",
    "python3-venv",
)
# The test daemon holds SQLite, which is C; so is the pause program. Go itself: golang.py.
BUILD = ("gcc", "libc6-dev")
# For the tests of the report's page; the lab itself does without.
BROWSER = ("chromium", "fonts-dejavu-core")
# The gate itself, and rules of other programs that it is tested beside.
NETWORK = ("nftables", "iptables")
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
    env = {"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    with progress.waiting(f"packages: apt-get installs {', '.join(wanted)}"):
        run_logged(["apt-get", "update"], log, timeout=600, env=env)
        run_logged(["apt-get", "install", "--yes", "--no-install-recommends", *wanted], log, timeout=1800, env=env)
    left = missing(packages)
    if left:
        raise LabError(f"apt-get succeeded but {', '.join(left)} is not installed: read {log}.")

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be installed on the machine itself. Everything else lives in the hosts' root file system."""

from __future__ import annotations

from .progress import Progress
from .settings import CACHE
from .shell import LabError, run, run_logged

RUN = (
    "mmdebstrap",
    "systemd-container",
    "iproute2",
    "iptables",
    "nftables",
    "openssl",
    "openssh-client",
    "util-linux",
    "mount",
    "procps",
    "ca-certificates",
    "python3-venv",
)
BUILD_KUBERNETES = ("golang-go", "gcc", "libc6-dev", "make", "rsync", "dpkg-dev", "xz-utils", "golang-github-modern-go-reflect2-dev")
BUILD_STAND_IN = (
    "golang-go",
    "gcc",
    "libc6-dev",
    "libsqlite3-dev",
    "golang-github-hashicorp-raft-dev",
    "golang-github-hashicorp-raft-boltdb-dev",
    "golang-github-mattn-go-sqlite3-dev",
    "golang-google-grpc-dev",
    "golang-gopkg-yaml.v2-dev",
)
# For tests/network, which has network namespaces and rules of its own; iptables is for the rules of others.
NETWORK = ("nftables", "iproute2", "iptables", "procps")
# For the tests of the report's page; the lab itself does without.
BROWSER = ("chromium", "fonts-dejavu-core")


def missing(packages: tuple[str, ...]) -> list[str]:
    seen = run(["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *packages], check=False)
    installed = {line.split()[0] for line in seen.stdout.splitlines() if line.endswith(" installed")}
    return sorted(set(packages) - installed)


def ensure(packages: tuple[str, ...], progress: Progress) -> None:
    wanted = missing(packages)
    if not wanted:
        return
    progress.say(f"packages: apt-get installs {', '.join(wanted)}")
    log = CACHE / "logs" / "apt.log"
    env = {"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    run_logged(["apt-get", "update"], log, timeout=600, env=env)
    run_logged(["apt-get", "install", "--yes", "--no-install-recommends", *wanted], log, timeout=1800, env=env)
    left = missing(packages)
    if left:
        raise LabError(f"apt-get ended well but {', '.join(left)} is not installed: read {log}.")

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The root file system that all Pis of the lab share, read-only, below a layer of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import cache
from .progress import Progress
from .shell import run_logged

SUITE = "bookworm"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "iproute2",
    "iptables",
    "nftables",
    "conntrack",
    "curl",
    "ca-certificates",
    "procps",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "etcd-server",
    "sqlite3",
    "kmod",
    "mount",
    "util-linux",
    "ethtool",
    "socat",
)
# The lab brings its own units for the first two; the others are of no use in a host that lives for an hour.
MASKED = (
    "etcd.service",
    "containerd.service",
    "console-getty.service",
    "container-getty@.service",
    "getty@.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
)


def key() -> str:
    return cache.digest(SUITE, *PACKAGES, "masked", *MASKED)


def build(progress: Progress) -> Path:
    return cache.obtain("root", key(), _make, progress, "mmdebstrap installs Debian for the Pis, about a minute")


def _make(folder: Path) -> None:
    root = folder / "root"
    # Run from a folder that every user may enter: mmdebstrap's sandboxed helpers inherit it.
    run_logged(
        ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root, *_sources()],
        cache.log_file("root"),
        timeout=1800,
        cwd=Path("/"),
    )
    adapt(root)


def _sources() -> list[Path]:
    """The machine's own Debian entries: the lab asks the mirror the machine asks, and no other."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    candidates = {path: path.read_text() for path in files if path.suffix in (".list", ".sources") and path.is_file()}
    return [path for path, text in candidates.items() if SUITE in text and "debian" in text]


def adapt(root: Path) -> None:
    """What every host needs and no package brings."""
    units = root / "etc/systemd/system"
    for unit in MASKED:
        path = units / unit
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/null")
        for wants in units.glob(f"*.wants/{unit}"):
            wants.unlink()
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/machine-id").unlink(missing_ok=True)
    for host_key in (root / "etc/ssh").glob("ssh_host_*"):
        host_key.unlink()
    (root / "etc/ssh/sshd_config.d/pi-lab.conf").write_text("PermitRootLogin prohibit-password\nUseDNS no\nPrintMotd no\n")
    shutil.rmtree(root / "var/lib/etcd", ignore_errors=True)

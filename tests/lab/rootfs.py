# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The root file system that all Pis of the lab share, read-only, below a layer of their own."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from . import cache
from .progress import Progress
from .shell import LabError, run_logged

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "iproute2",
    "iptables",
    "nftables",
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
# kube-proxy and the CNI's plugins have an iptables of their own, as with K3s, which keeps its programs to itself: on the PATH of a Pi
# there is only `nft`, as on Raspberry Pi OS Lite.
OWN_IPTABLES = "/opt/iptables"
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


def key(suite: str) -> str:
    return cache.digest(suite, *PACKAGES, "masked", *MASKED, OWN_IPTABLES)


def build(suite: str, progress: Progress) -> Path:
    """The cache's folder that holds `root`, Debian of this suite."""
    return cache.obtain(
        "root",
        key(suite),
        lambda folder: _make(suite, folder),
        progress,
        f"mmdebstrap installs Debian {suite}, about a minute",
    )


def _make(suite: str, folder: Path) -> None:
    root = folder / "root"
    entries = folder / "sources"
    entries.mkdir()
    # Run from a folder that every user may enter: mmdebstrap's sandboxed helpers inherit it.
    run_logged(
        ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, root, *sources(suite, entries)],
        cache.log_file("root"),
        timeout=1800,
        # The packages' own scripts run with this environment: where Python keeps what it compiles here is not where a host of the lab does.
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        cwd=Path("/"),
    )
    adapt(root)


def sources(suite: str, folder: Path, apt: Path = Path("/etc/apt")) -> list[Path]:
    """The machine's own Debian entries for another suite, written to `folder`: the lab asks the mirror the machine asks, and no other.

    Raises:
        LabError: the machine has no entry of Debian for its own suite.
    """
    own = _own_suite()
    written: list[Path] = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        text = _debians(path)
        if re.search(rf"(?<![\w-]){own}(?![\w])", text) and "debian" in text:
            target = folder / path.name
            target.write_text(re.sub(rf"(?<![\w-]){own}(?![\w])", suite, text))
            target.chmod(0o644)
            written.append(target)
    if not written:
        raise LabError(f"{apt} has no entry for Debian {own}: add one, then run the command again.")
    return written


def _debians(path: Path) -> str:
    """The entries of an apt file that are not signed by another vendor, which has its own packages for the suites that it names."""
    between = "\n" if path.suffix == ".list" else "\n\n"
    entries = path.read_text().split(between)
    signed = re.compile(r"signed-by\s*[=:]\s*([^\s\]]+)", re.IGNORECASE)
    return between.join(
        entry
        for entry in entries
        if not (found := signed.search(entry)) or not found[1].startswith("/") or "debian" in found[1]
    )


def _own_suite(release: Path = Path("/etc/os-release")) -> str:
    found = re.search(r"^VERSION_CODENAME=(\w+)$", release.read_text(), re.MULTILINE)
    if not found:
        raise LabError(f"{release} names no Debian suite: the lab runs on Debian 12 and 13.")
    return found[1]


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
    (root / "etc/ssh/sshd_config.d/pi-lab.conf").write_text(
        "PermitRootLogin prohibit-password\nUseDNS no\nPrintMotd no\n"
    )
    shutil.rmtree(root / "var/lib/etcd", ignore_errors=True)
    hide_iptables(root)


def hide_iptables(root: Path) -> None:
    """Move iptables off the PATH: one program, which acts as the name that it is called by."""
    own = root / OWN_IPTABLES.lstrip("/")
    own.mkdir(parents=True)
    programs = root / "usr/sbin"
    (programs / "xtables-nft-multi").rename(own / "xtables-nft-multi")
    for pattern in ("iptables*", "ip6tables*", "arptables*", "ebtables*", "xtables-*"):
        for path in programs.glob(pattern):
            path.unlink()
    for family in ("iptables", "ip6tables"):
        for name in (family, f"{family}-save", f"{family}-restore"):
            (own / name).symlink_to("xtables-nft-multi")

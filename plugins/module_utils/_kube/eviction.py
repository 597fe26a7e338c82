# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Below how much free space the kubelet of this host evicts pods, from its command line and its files. Runs on a Pi.

The API tells it only to who may ask the kubelet itself, which is a right that a migration does not need otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from .facts import quantity

PROC = Path("/proc")
KUBELETS = ("kubelet", "k3s", "k3s-server", "k3s-agent")
# Where thresholds are written, the last one wins: K3s' settings, then a kubelet's own file.
FILES = ("/etc/rancher/k3s/config.yaml", "/etc/rancher/k3s/config.yaml.d/*.yaml", "/var/lib/kubelet/config.yaml")
# For each signal the folders that may be on the file system it is about, and the percentages of K3s and of a kubelet
# by itself.
SIGNALS = {
    "nodefs.available": (("/var/lib/kubelet",), 5.0, 10.0),
    "imagefs.available": (("/var/lib/rancher/k3s/agent/containerd", "/var/lib/containerd"), 5.0, 15.0),
}
_SOFT = re.compile(r"eviction-?soft\S*|evictionSoft\w*:(?:\n[ \t]+.*)*", re.IGNORECASE)


def threshold(texts: list[str], signal: str, default: float, total: int) -> int:
    """The bytes of the hard threshold; a percentage is one of the whole file system."""
    pattern = re.compile(re.escape(signal) + r"""["']?\s*[:<]\s*["']?([0-9.]+(?:%|[a-zA-Z]*))""")
    found = [match for text in texts for match in pattern.findall(_SOFT.sub("", text))]
    value = found[-1] if found else f"{default}%"
    try:
        return int(total * float(value[:-1]) / 100) if value.endswith("%") else int(quantity(value))
    except ValueError:
        return 0


def command_lines(proc: Path = PROC) -> dict[str, str]:
    """What runs a kubelet on this host: its name and its command line."""
    found = {}
    for process in sorted(proc.glob("[0-9]*")):
        try:
            name = (process / "comm").read_text().strip()
            if name in KUBELETS:
                found[name] = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:  # it ended meanwhile
            continue
    return found


def settings(root: Path, processes: dict[str, str]) -> Iterator[str]:
    named = [match for line in processes.values() for match in re.findall(r"--config[= ](/\S+)", line)]
    for pattern in (*FILES, *named):
        for path in sorted(root.glob(pattern.lstrip("/"))):
            try:
                yield path.read_text(errors="replace")
            except OSError:
                continue


def evictions(root: Path = Path("/"), proc: Path = PROC) -> list[dict[str, Any]]:
    """Each signal with its file system (`device`, `total` and `free` bytes) and the bytes below which pods are
    evicted.
    """
    processes = command_lines(proc)
    texts = [*settings(root, processes), *processes.values()]
    k3s = any(name.startswith("k3s") for name in processes) or (root / "etc/rancher/k3s").exists()
    return [entry for signal in SIGNALS for entry in [_signal(root, signal, texts, k3s)] if entry is not None]


def _signal(root: Path, signal: str, texts: list[str], k3s: bool) -> Optional[dict[str, Any]]:
    folders, of_k3s, of_kubelet = SIGNALS[signal]
    for folder in folders:
        path = root / folder.lstrip("/")
        try:
            device, space = path.stat().st_dev, os.statvfs(path)
        except OSError:
            continue
        total = space.f_blocks * space.f_frsize
        below = threshold(texts, signal, of_k3s if k3s else of_kubelet, total)
        return {
            "signal": signal,
            "path": folder,
            "device": device,
            "total": total,
            "free": space.f_bavail * space.f_frsize,
            "below": below,
        }
    return None

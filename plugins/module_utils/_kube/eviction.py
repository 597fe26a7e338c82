# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Below how much free space the kubelet of this host evicts pods, from its settings. Runs on a Pi."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from .facts import quantity
from .kubelet import Kubelet

# For each signal the folders that may be on the file system it is about, and the percentages of K3s and of a kubelet
# by itself.
SIGNALS = {
    "nodefs.available": (("/var/lib/kubelet",), 5.0, 10.0),
    "imagefs.available": (("/var/lib/rancher/k3s/agent/containerd", "/var/lib/containerd"), 5.0, 15.0),
}
# What names the same signals and is no hard threshold, as a block, in braces or as a flag.
_OTHERS = re.compile(
    r"""["']?eviction(?:Soft\w*|MinimumReclaim)["']?[ \t]*:[ \t]*(?:\{[^}]*\}|(?:\n(?:[ \t]+.*|(?=\n)))*)|eviction-soft[\w-]*[= ]\S*"""
)


def threshold(texts: Iterable[str], signal: str, default: float, total: int) -> int:
    """The bytes of the hard threshold; a percentage is one of the whole file system."""
    pattern = re.compile(re.escape(signal) + r"""["']?\s*[:<]\s*["']?([0-9.]+(?:%|[a-zA-Z]*))""")
    found = [match for text in texts for match in pattern.findall(_OTHERS.sub("", text))]
    value = found[-1] if found else f"{default}%"
    try:
        return int(total * float(value[:-1]) / 100) if value.endswith("%") else int(quantity(value))
    except ValueError:
        return 0


def evictions(kubelet: Kubelet, root: Path = Path("/")) -> list[dict[str, Any]]:
    """Each signal with its file system (`device`, `total` and `free` bytes) and the bytes below which pods are
    evicted.
    """
    return [entry for signal in SIGNALS for entry in [_signal(root, signal, kubelet)] if entry is not None]


def _signal(root: Path, signal: str, kubelet: Kubelet) -> Optional[dict[str, Any]]:
    folders, of_k3s, of_kubelet = SIGNALS[signal]
    for folder in folders:
        path = root / folder.lstrip("/")
        try:
            device, space = path.stat().st_dev, os.statvfs(path)
        except OSError:
            continue
        total = space.f_blocks * space.f_frsize
        below = threshold(kubelet.texts, signal, of_k3s if kubelet.of_k3s else of_kubelet, total)
        return {
            "signal": signal,
            "path": folder,
            "device": device,
            "total": total,
            "free": space.f_bavail * space.f_frsize,
            "below": below,
        }
    return None

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From how full a file system of images the kubelet of this host removes unused ones, from its settings. Runs on a Pi."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Optional

from .eviction import SIGNALS
from .kubelet import Kubelet

HIGH_PERCENT = 85
_HIGH = re.compile(r"""(?:image-gc-high-threshold[= ]|imageGCHighThresholdPercent["']?[ \t]*:[ \t]*)["']?(\d+)""")


def image_space(kubelet: Kubelet, root: Path = Path("/")) -> Optional[dict[str, Any]]:
    """The file system (`device`, `total` and `free` bytes) of containerd's images and the threshold; None without containerd."""
    for folder in SIGNALS["imagefs.available"][0]:
        path = root / folder.lstrip("/")
        try:
            device, space = path.stat().st_dev, os.statvfs(path)
        except OSError:
            continue
        found = [percent for text in kubelet.texts for percent in _HIGH.findall(text)]
        return {
            "path": folder,
            "device": device,
            "total": space.f_blocks * space.f_frsize,
            "free": space.f_bavail * space.f_frsize,
            "high_percent": int(found[-1]) if found else HIGH_PERCENT,
        }
    return None

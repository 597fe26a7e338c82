# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the lab's Kubernetes comes from: built from its Go modules, or the K3s binary of a user who has one."""

from __future__ import annotations

import os
from pathlib import Path

from ..options import Options
from .provider import Provider


def choose(options: Options) -> Provider:
    """The provider that the environment asks for."""
    binary = os.environ.get("K3S_BINARY")
    return named(f"k3s:{Path(binary).resolve()}" if binary else "upstream", options)


def named(name: str, options: Options) -> Provider:
    """The provider that a lab was brought up with."""
    if name.startswith("k3s:"):
        from .k3s import K3s

        return K3s(Path(name.removeprefix("k3s:")))
    from .upstream import Upstream

    return Upstream(options)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the lab's Kubernetes comes from: built from Debian's sources, or the K3s binary of a user who has one."""

from __future__ import annotations

import os
from pathlib import Path

from .provider import Provider


def choose() -> Provider:
    """The provider that the environment asks for."""
    binary = os.environ.get("K3S_BINARY")
    if binary:
        from .k3s import K3s

        return K3s(Path(binary))
    from .debian import Debian

    return Debian()


def named(name: str) -> Provider:
    """The provider that a lab was brought up with."""
    if name.startswith("k3s:"):
        from .k3s import K3s

        return K3s(Path(name.removeprefix("k3s:")))
    from .debian import Debian

    return Debian()

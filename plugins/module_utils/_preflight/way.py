# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""By which way the content reaches the pods: what a migration costs depends on it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.journal import ROLLING
from .._raft.sides import API, carry_of


def carry_in(view: Mapping[str, Any]) -> str:
    """How `parallel` carries the content of this cluster. The pods are of the units' release, and can do the same.

    `API` where the capabilities are not known, which has a finding of its own: without them nothing is refused for a long carry.
    """
    if "capabilities" not in view:
        return API
    can = view["capabilities"] or ()
    return carry_of(can, can)


def way_of(strategy: str, view: Mapping[str, Any]) -> str:
    """`ROLLING`, which carries nothing, or how `parallel` carries."""
    return ROLLING if strategy == ROLLING else carry_in(view)

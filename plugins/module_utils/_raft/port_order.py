# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order a port migration goes from Pi to Pi."""

from __future__ import annotations

from collections.abc import Mapping


def port_order(pods: Mapping[str, Mapping[str, bool]], leader: str) -> list[str]:
    """Every host once, the leader's last unless its pod has moved.

    `pods` has for each host whether its pod has `moved` to the standard ports, and whether the leader has `reached` it.

    A pod that has moved may have been left with its gate shut, and one that the leader does not reach without a
    member: as long as either is half-way, no other pod may be taken away. Of these two the first needs only to be let
    in, also where it leads.
    """
    moved = [host for host, pod in pods.items() if pod["moved"]]
    unreached = [host for host, pod in pods.items() if not pod["reached"] and host != leader]
    followers = [host for host in pods if host != leader]
    return list(dict.fromkeys([*moved, *unreached, *followers, leader]))

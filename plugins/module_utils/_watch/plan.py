# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is expected to answer the control node in each phase: where the watch looks, and what it must not alarm about.

WHOLE   every member answers at its own address.
GATED   cutover's traffic gate may lead some or all of this cluster's ports elsewhere. Only the Pis themselves can still see
        behind it, so a leader counts while its followers hear it, and once a pod answers in a unit's place nothing of the
        old cluster can be seen from here any more.
MOVING  the daemon of one Pi is being replaced. Its standard port is routed to its neighbour, so what is heard there is not its own
        word; at its temporary one it answers until it goes. The others answer at one of their two ports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from .._core.journal import PARALLEL
from .._raft.cluster import same_host

WHOLE = "whole"
GATED = "gated"
MOVING = "moving"

OLD = "old"
NEW = "new"
STANDARD = "standard"
TEMPORARY = "temporary"
ROLLBACK = "rollback"

# phase -> cluster -> (how it is watched, the ports where it is asked). A cluster that is not named is not watched: the
# pods' one is only built in transfer, and the units are stopped on purpose in systemd_shutdown. A rollback takes members
# of either apart step by step and checks each step itself.
_PLAN: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "prepare": {OLD: (WHOLE, (STANDARD,))},
    "transfer": {OLD: (WHOLE, (STANDARD,))},
    "validate": {OLD: (WHOLE, (STANDARD,)), NEW: (WHOLE, (TEMPORARY,))},
    "cutover": {OLD: (GATED, (STANDARD,)), NEW: (WHOLE, (TEMPORARY,))},
    "systemd_shutdown": {NEW: (WHOLE, (TEMPORARY,))},
    "port_migration": {NEW: (MOVING, (STANDARD, TEMPORARY))},
    "cleanup": {NEW: (WHOLE, (STANDARD,))},
    ROLLBACK: {},
}
WATCHED_PHASES = tuple(_PLAN)
# Pi by Pi there is one cluster, of units and pods, on the standard ports.
_ROLLING: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "validate": {OLD: (WHOLE, (STANDARD,))},
    "cutover": {OLD: (MOVING, (STANDARD,))},
}


@dataclass(frozen=True)
class Expectation:
    """How one cluster is watched."""

    mode: str
    urls: tuple[str, ...]
    # Host of the Pi whose pod is being replaced, and where a neighbour answers for it (MOVING).
    replaced: str | None = None
    routed_away: tuple[str, ...] = ()
    # The Raft port of the other cluster: an answer with it comes from a neighbour of the member that was asked (GATED).
    foreign_port: int | None = None

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Expectation:
        routed_away = tuple(found.get("routed_away", ()))
        return cls(found["mode"], tuple(found["urls"]), found.get("replaced"), routed_away, found.get("foreign_port"))

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "urls": list(self.urls), "routed_away": list(self.routed_away)}


def expectations(
    phase: str,
    urls: Mapping[str, list[str]],
    *,
    replaced: str | None,
    foreign_port: int | None,
    strategy: str = PARALLEL,
) -> dict[str, Expectation]:
    """The clusters to watch in `phase`; `urls` has those of the standard and of the temporary ports."""
    plan = {}
    chosen = {**_PLAN, **_ROLLING} if strategy != PARALLEL else _PLAN
    for cluster, (mode, places) in chosen[phase].items():
        moving = replaced if mode == MOVING else None
        plan[cluster] = Expectation(
            mode,
            tuple(url for place in places for url in urls[place]),
            moving,
            tuple(url for url in urls[STANDARD] if moving and same_host(urlsplit(url).hostname or "", moving)),
            foreign_port if mode == GATED else None,
        )
    return plan

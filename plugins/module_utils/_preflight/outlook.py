# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each strategy would cost this cluster: write pause, time, and room on the Pis' disks; and which one to choose. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._core.journal import PARALLEL, ROLLING
from .._core.words import seconds
from .cluster import choose
from .disk import bytes_written, database_bytes
from .findings import Finding, size
from .pause import predicted_seconds, sent_seconds
from .plan import Plan
from .strategy import strategy_findings
from .way import way_of

# As many members have a quorum with one of them away.
QUORUM_WITHOUT_ONE = 3


@dataclass(frozen=True)
class Cost:
    """Seconds of a run of three Pis in the lab (README), of which most are tasks: a part of its own, and one for each Pi. And how
    often the bytes of the database are written on a Pi, one time after the other."""

    base: float
    each: float
    written: int


COSTS = {PARALLEL: Cost(20.0, 12.5, 16), ROLLING: Cost(17.0, 8.0, 4)}


def outlook(plan: Plan, hosts: Mapping[str, Mapping[str, Any]], views: Mapping[str, Any]) -> list[str]:
    """Lines for people: a strategy each, and the recommended one. Without a Pi that was looked at there are none."""
    if not hosts:
        return []
    view = choose(plan.hosts, views) or {}
    lines = [
        f"{strategy}{' (configured)' if strategy == plan.strategy else ''}: {_pause(plan, strategy, hosts, view)}, "
        f"at least {seconds(_time(strategy, hosts, view))}, {_disk(way_of(strategy, view), hosts)}"
        for strategy in COSTS
    ]
    return [*lines, _recommended(plan, hosts)]


def _pause(plan: Plan, strategy: str, hosts: Mapping[str, Mapping[str, Any]], view: Mapping[str, Any]) -> str:
    if strategy == PARALLEL:
        predicted = [
            found for seen in hosts.values() if (found := predicted_seconds(seen, view, len(plan.hosts))) is not None
        ]
        return f"write pause of about {max(predicted):.0f} s" if predicted else "write pause not predicted"
    if len(plan.hosts) < QUORUM_WITHOUT_ONE:
        return "writes wait for each restart"
    if plan.followers_write:
        return "each Pi's clients are refused while its daemon restarts"
    transfers = "transfer" in (view.get("capabilities") or ())
    return f"write pause of one {'change of leadership' if transfers else 'election'}"


def _time(strategy: str, hosts: Mapping[str, Mapping[str, Any]], view: Mapping[str, Any]) -> float:
    cost = COSTS[strategy]
    slowest = max(database_bytes(seen) / seen["write_speed"] if seen["write_speed"] else 0.0 for seen in hosts.values())
    sent = max(sent_seconds(database_bytes(seen), way_of(strategy, view), len(hosts)) for seen in hosts.values())
    # In transfer, and again in the cutover.
    return cost.base + cost.each * len(hosts) + cost.written * slowest + 2 * sent


def _disk(way: str, hosts: Mapping[str, Mapping[str, Any]]) -> str:
    needed = {
        host: sum(bytes_written(seen, device, way) for device in {path["device"] for path in seen["paths"].values()})
        for host, seen in hosts.items()
    }
    host = max(needed, key=lambda name: needed[name])
    return f"up to {size(needed[host])} more on the disk of {host}"


def _recommended(plan: Plan, hosts: Mapping[str, Mapping[str, Any]]) -> str:
    """Rolling wherever each Pi can hand its data over: it carries nothing, and its pause does not grow with the database."""
    against: list[Finding] = list(strategy_findings(replace(plan, strategy=ROLLING), hosts))
    chosen = PARALLEL if against else ROLLING
    why = (
        f"with {ROLLING}, {against[0].host}: {against[0].seen}"
        if against
        else "each Pi keeps its own data, and nothing is carried while writes wait"
    )
    how = "as configured" if chosen == plan.strategy else f"set migration.strategy to {chosen}"
    return f"Recommended: {chosen}, {how} ({why})"

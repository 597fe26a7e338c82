# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the Pis hold the same, as the strategy `parallel` needs: it gives the leader's rows to every pod. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._core.journal import PARALLEL
from .._sqlite.replicas import only_in
from .findings import WARNING, Finding

_ROLLING = (
    "set migration.strategy to rolling, which moves each Pi with its own data, and pi_controller_followers_write to true where "
    "every Pi takes writes"
)


# So few rows may all be ones that are written to at this moment.
FEW = 3


def followers_findings(
    data: Mapping[str, Mapping[str, Any]], leader: str | None, followers_write: bool
) -> Iterator[Finding]:
    """Whether a Pi's clients may be routed to a neighbour in its turn: a daemon with data of its own would keep their writes.

    A replica that lags has most rows in common with the leader.
    """
    if followers_write or leader is None or "first_rows" not in data.get(leader, {}):
        return
    first = _first(data[leader])
    for host, found in data.items():
        own = _first(found)
        fewer = min(len(own), len(first))
        common = len(own & first)
        if host != leader and fewer >= FEW and 2 * common < fewer:
            yield Finding(
                host,
                "database content",
                f"of {fewer} first rows {common} are the same as on {leader}",
                "the same rows on every Pi, since a Pi's clients are routed to its neighbour in its turn",
                "set pi_controller_followers_write to true where every Pi takes writes and keeps them: its clients are refused then "
                "while its daemon is away",
            )


def _first(found: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(table, row) for table, rows in (found.get("first_rows") or {}).items() for row in rows}


def replica_findings(data: Mapping[str, Mapping[str, Any]], leader: str | None, strategy: str) -> Iterator[Finding]:
    """`data` has the part `data` of what M(preflight_host) saw, by host; `leader` is the host that leads, None where none is known."""
    if strategy != PARALLEL or leader is None or leader not in data:
        return
    first = data[leader]
    for host, found in data.items():
        if host == leader:
            continue
        yield from _rows(host, found, leader, first)
        yield from _ca(host, found, leader, first)
        yield from _program(host, found, leader, first)


def _rows(host: str, found: Mapping[str, Any], leader: str, first: Mapping[str, Any]) -> Iterator[Finding]:
    for holder, here, there, other in ((host, found, first, leader), (leader, first, found, host)):
        missing = only_in(here["tables"], there["tables"])
        if missing:
            rows = ", ".join(f"{count} of {table}" for table, count in missing.items())
            yield Finding(
                host,
                "database content",
                f"{holder} has rows that {other} does not have: {rows}",
                f"the same rows on every Pi: {PARALLEL} gives the leader's to all pods, and the others would be dropped",
                f"{_ROLLING}; columns that the daemon writes by itself belong in pi_controller_volatile_columns",
            )


def _ca(host: str, found: Mapping[str, Any], leader: str, first: Mapping[str, Any]) -> Iterator[Finding]:
    if found["ca"] != first["ca"]:
        yield Finding(
            host,
            "CA folder",
            f"its content differs from that on {leader}"
            if found["ca"] and first["ca"]
            else f"only on {host if found['ca'] else leader}",
            f"the same CA on every Pi: with {PARALLEL} the leader's certificate is in every database, and its key on one Pi",
            f"{_ROLLING}, or give all Pis one CA first",
        )


def _program(host: str, found: Mapping[str, Any], leader: str, first: Mapping[str, Any]) -> Iterator[Finding]:
    if found["program"] and first["program"] and found["program"] != first["program"]:
        yield Finding(
            host,
            "daemon's release",
            f"its program differs from that on {leader}",
            "one release on every Pi: all pods run one image",
            "install the same release on all Pis first",
            WARNING,
        )

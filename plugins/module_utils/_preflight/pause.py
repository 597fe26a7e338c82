# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long writes will wait at the cutover, from what was measured on each Pi. Pure.

By the daemons' own calls (`API`), the content of the old leader is written on its Pi by the daemon's snapshot and by our copy of
it, and on every Pi by the restore; it is digested on the old leader and then on all pods at once. Without these calls
(`SQLITE`) the database goes to the control node and from there to every Pi, see roles/cluster/tasks/carry_sqlite.yml. Any Pi
may lead by then, so each is taken for the leader, and the slowest one counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._core import pieces
from .._core.journal import ROLLING
from .._raft.sides import API, SQLITE, fence_of
from .findings import ERROR, WARNING, Finding, size
from .plan import Plan
from .way import carry_in

# Seconds of a pause with a database of nothing.
BASE_SECONDS = 1.5
# More of them where the daemon cannot be made read-only: its Pi's network keeps clients out, and each connects anew afterwards.
NETWORK_SECONDS = 1.5


@dataclass(frozen=True)
class Figures:
    """Further seconds at nothing, and how often each byte is written, digested and checked by SQLite, one time after the other."""

    base: float
    written: int
    digested: int
    checked: int


FIGURES = {
    API: Figures(0.0, 6, 2, 0),
    # Four tasks where `API` has one. In the lab the whole pause is 2.9 to 5.6 s at nothing.
    # Written: the copy, what arrives from the control node, and four times by the restore into a database that is not in WAL mode
    # (journal, database, and the two copies that it is read from before and after).
    # Digested: the copy; what arrived, and the pod's content before and after; all of it once more for the flip.
    # Checked: the copy, what arrived, and the pod's database.
    SQLITE: Figures(3.0, 6, 5, 3),
}
# Seconds for each piece in each direction. A task takes 0.26 s on the lab's hosts, and Python on a Pi three times as long
# (docs/decisions/0018).
PIECE_SECONDS = 0.8
# Bytes a second through the control node's network, which is not measured: 100 Mbit/s less what TCP and ssh take of it.
NETWORK_SPEED = 10 * 1024 * 1024
# A piece goes as base64.
SENT_PER_BYTE = 4 / 3
# From this part of cutover_timeout on it is worth a word. From this one on it is too late to commit, since arming the leases takes some
# of the time as well (docs/decisions/0016).
NEAR = 0.5
LATEST = 0.7


def predicted_seconds(seen: Mapping[str, Any], view: Mapping[str, Any], pis: int) -> float | None:
    """The write pause of so many Pis with this one as the slowest; None where something could not be measured. `view` is of the cluster."""
    database, speed = seen["database"], seen["write_speed"]
    if not speed or database.get("bytes") is None or database.get("digest_seconds") is None:
        return None
    carry, content = carry_in(view), database["bytes"]
    can = view.get("capabilities") or ()
    figures = FIGURES[carry]
    return float(
        BASE_SECONDS
        + (NETWORK_SECONDS if fence_of(can, can) == "network" else 0.0)
        + figures.base
        + figures.written * content / speed
        + figures.digested * database["digest_seconds"]
        + figures.checked * database.get("check_seconds", 0.0)
        + sent_seconds(content, carry, pis)
    )


def sent_seconds(content: int, carry: str, pis: int) -> float:
    """To carry so many bytes from the leader's Pi to the control node, and from there to all Pis at once."""
    if carry != SQLITE:
        return 0.0
    # The first piece is in the figures for a database of nothing.
    further = max(0, -(-content // pieces.PIECE) - 1)
    return 2 * further * PIECE_SECONDS + (1 + pis) * content * SENT_PER_BYTE / NETWORK_SPEED


def pause_findings(plan: Plan, hosts: Mapping[str, Mapping[str, Any]], view: Mapping[str, Any]) -> Iterator[Finding]:
    if plan.strategy == ROLLING:
        return
    predicted = {
        host: seconds
        for host, seen in hosts.items()
        if (seconds := predicted_seconds(seen, view, len(plan.hosts))) is not None
    }
    if not predicted:
        return
    host = max(predicted, key=lambda name: predicted[name])
    seconds, database = predicted[host], hosts[host]["database"]
    if seconds <= plan.cutover_timeout * NEAR:
        return
    latest = plan.cutover_timeout * LATEST
    over = seconds > latest
    carried = ", carried through the control node as the daemon has no snapshot and restore calls"
    yield Finding(
        host,
        "write pause",
        f"about {seconds:.0f} s predicted: {size(database['bytes'])}, written at {size(hosts[host]['write_speed'])}/s, "
        f"a digest takes {database['digest_seconds']:.1f} s{carried if carry_in(view) == SQLITE else ''}",
        f"less than {latest:.0f} s, {LATEST:.0%} of migration.timeouts.cutover_timeout, {plan.cutover_timeout:g} s",
        f"set migration.strategy to {ROLLING}, which carries nothing while writes wait"
        + ("; or raise cutover_timeout, if clients can wait that long" if over else ""),
        ERROR if over else WARNING,
    )

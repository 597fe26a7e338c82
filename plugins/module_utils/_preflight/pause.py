# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long writes will wait at the cutover, from what was measured on each Pi. Pure.

While they wait, the content of the old leader is written on its Pi by the daemon's snapshot and by our copy of it, and on
every Pi by the restore; it is digested on the old leader and then on all pods at once. Any Pi may lead by then, so each is
taken for the leader, and the slowest one counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._core.journal import ROLLING
from .findings import ERROR, WARNING, Finding, size
from .plan import Plan

# Seconds of a pause with a database of nothing; how often each of its bytes is written and digested, one after the other.
BASE_SECONDS = 1.5
# More of them where the daemon cannot be made read-only: its Pi's network keeps clients out, and each connects anew afterwards.
NETWORK_SECONDS = 1.5
WRITTEN_TIMES = 6
DIGESTED_TIMES = 2
# From this part of cutover_timeout on it is worth a word. From this one on it is too late to commit, since arming the leases takes some
# of the time as well (docs/decisions/0016).
NEAR = 0.5
LATEST = 0.7


def predicted_seconds(seen: Mapping[str, Any], view: Mapping[str, Any]) -> float | None:
    """The write pause with this Pi as the slowest one; None where something could not be measured. `view` is of the cluster."""
    database, speed = seen["database"], seen["write_speed"]
    if not speed or database.get("bytes") is None or database.get("digest_seconds") is None:
        return None
    base = BASE_SECONDS + (0.0 if "read-only" in (view.get("capabilities") or ()) else NETWORK_SECONDS)
    return float(base + WRITTEN_TIMES * database["bytes"] / speed + DIGESTED_TIMES * database["digest_seconds"])


def pause_findings(plan: Plan, hosts: Mapping[str, Mapping[str, Any]], view: Mapping[str, Any]) -> Iterator[Finding]:
    if plan.strategy == ROLLING:
        return
    predicted = {
        host: seconds for host, seen in hosts.items() if (seconds := predicted_seconds(seen, view)) is not None
    }
    if not predicted:
        return
    host = max(predicted, key=lambda name: predicted[name])
    seconds, database = predicted[host], hosts[host]["database"]
    if seconds <= plan.cutover_timeout * NEAR:
        return
    latest = plan.cutover_timeout * LATEST
    over = seconds > latest
    yield Finding(
        host,
        "write pause",
        f"about {seconds:.0f} s predicted: {size(database['bytes'])}, written at {size(hosts[host]['write_speed'])}/s, "
        f"a digest takes {database['digest_seconds']:.1f} s",
        f"less than {latest:.0f} s, {LATEST:.0%} of migration.timeouts.cutover_timeout, {plan.cutover_timeout:g} s",
        f"set migration.strategy to {ROLLING}, which carries nothing while writes wait"
        + ("; or raise cutover_timeout, if clients can wait that long" if over else ""),
        ERROR if over else WARNING,
    )

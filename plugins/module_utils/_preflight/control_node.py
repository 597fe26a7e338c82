# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the control node reaches a Pi's REST ports: the quorum watch asks there during the whole run."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any

from .._core.addresses import with_port
from .findings import Finding
from .plan import Plan

# The way is open, and no process listens there. A firewall that rejects connections may look the same.
REFUSED = "refused"
CONNECTED = "connected"
TIMEOUT = 3.0


def reach(address: str, port: int, timeout: float = TIMEOUT) -> str:
    """How a connection from this machine ended: CONNECTED, REFUSED, or what kept it from arriving."""
    try:
        with socket.create_connection((address, port), timeout):
            return CONNECTED
    except ConnectionRefusedError:
        return REFUSED
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return error.strerror or str(error)


def control_node_findings(plan: Plan, host: str, seen: Mapping[str, Any]) -> Iterator[Finding]:
    """`seen` is the result of M(preflight_host); where the watch is off, nothing was tried."""
    listening = {listener["port"] for listener in seen["listeners"]}
    for text, ended in (seen.get("from_control_node") or {}).items():
        port = int(text)
        # Where nothing listens yet, or not any more, it is the way that counts.
        if ended == CONNECTED or (ended == REFUSED and port not in listening):
            continue
        yield Finding(
            host,
            f"port {port} from the control node",
            f"{ended} from {with_port(plan.places[host].address, port)}, as seen from this control node",
            "a connection: the quorum watch asks the daemons from here",
            f"open TCP {port} to the control node, or set migration.safety.watch to false",
        )

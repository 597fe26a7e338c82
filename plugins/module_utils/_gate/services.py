# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of a Service's addresses a Pi's gate redirects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def gate_services(resources: Sequence[Mapping[str, Any]], address: str) -> list[dict[str, str]]:
    """The option `services` of `traffic_gate` for a Service, a list of none or one as Kubernetes returns it.

    A gate cannot turn one address family into the other, so it is the Service's address of the Pi's own family. A
    headless Service has none.
    """
    spec = resources[0]["spec"] if resources else {}
    found = [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip and ip != "None"]
    own = [ip for ip in found if (":" in ip) == (":" in address)]
    return [{"cluster_ip": own[0], "address": address}] if own else []

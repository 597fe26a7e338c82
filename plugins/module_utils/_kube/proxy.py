# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy has programmed on this host, read from the output of `iptables-save -t nat`."""

from __future__ import annotations

import re
from dataclasses import dataclass

# One KUBE-SEP chain for each endpoint of each Service port; its DNAT rule names the endpoint.
_ENDPOINT = re.compile(r"^-A KUBE-SEP-\S+ .*-j DNAT .*--to-destination (\S+)", re.MULTILINE)
_PROXY = re.compile(r"^:KUBE-SERVICES ", re.MULTILINE)


@dataclass(frozen=True)
class ProxyRules:
    """The endpoints (`ip:port`) new connections of this host can be led to; `known` is false for other proxy modes."""

    known: bool
    endpoints: frozenset[str]

    def settled(self, leads_to: set[str], forgotten: set[str]) -> bool:
        return self.known and leads_to <= self.endpoints and not forgotten & self.endpoints


def parse_nat(saved: str) -> ProxyRules:
    """`saved` is the text of `iptables-save -t nat`."""
    return ProxyRules(known=bool(_PROXY.search(saved)), endpoints=frozenset(_ENDPOINT.findall(saved)))

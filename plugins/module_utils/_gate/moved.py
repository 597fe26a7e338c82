# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The old port of a member that moves is routed to its new one, so that it keeps its vote until the others know the new address.

Between the start of the pod at its new address and the change of the membership the others send to the old address. Should one of
them die then, neither side would have a majority: the one that is left reaches no other voter, and it knows entries that the moved one does
not, so it would not vote for that either.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from .._core.addresses import without_port
from .nft import GateError, Nft
from .standing import FAMILY, MOVED, NOTHING_MOVED

# Before kube-proxy and the port mapping of a container network, which have -100.
TEXT = """\
table {inet} {name} {{
    chain prerouting {{
        type nat hook prerouting priority -110; policy accept;
        {family} daddr {host} tcp dport {old} dnat {family} to {target} comment "pi-controller migration: moved to {new}"
    }}
}}
"""


@dataclass(frozen=True)
class MovedPort:
    """What comes from elsewhere to port `old` of this Pi's address reaches `address` (`host:port`), of the same host.

    What asks from this Pi itself does not: it sees whether anything listens at the old port.
    """

    nft: Nft
    address: str
    old: int

    def text(self) -> str:
        host = without_port(self.address)
        try:
            new = int(self.address.rpartition(":")[2])
            version = ipaddress.ip_address(host).version
        except ValueError as error:
            raise GateError(f"{self.address} is not an IP address with a port", seen=self.address) from error
        family, target = ("ip", f"{host}:{new}") if version == 4 else ("ip6", f"[{host}]:{new}")
        routed = TEXT.format(inet=FAMILY, name=MOVED, family=family, host=host, old=self.old, target=target, new=new)
        return NOTHING_MOVED + routed

    def route(self) -> None:
        """From now on for new connections. Raises GateError."""
        self.nft.load(self.text())

    def clear(self) -> None:
        """Whoever came this way connects anew, and knows the new address by then. Raises GateError."""
        clear(self.nft)


def clear(nft: Nft) -> None:
    """No old port is routed elsewhere. Raises GateError."""
    nft.load(NOTHING_MOVED)

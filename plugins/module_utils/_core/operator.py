# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses the migration's own requests come from."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator

# The traffic gate lets this source through in every state, so the playbook can still talk to a daemon it has fenced off
# from every other client. Inside 127/8: no other machine can send from it, and every host has it without configuration.
OPERATOR_ADDRESS = "127.0.9.91"
# Where the operator reaches a daemon whose own address is IPv6.
LOOPBACK = "127.0.0.1"
# The gate lets all of these through. The published daemon gives each address one request a second.
OPERATOR_NETWORK = "127.0.9.64/26"
_NETWORK = ipaddress.IPv4Network(OPERATOR_NETWORK)


def is_operator(address: str) -> bool:
    """Whether the migration's own requests may come from this address."""
    try:
        return ipaddress.ip_address(address) in _NETWORK
    except ValueError:
        return False


def further_addresses() -> Iterator[str]:
    """The other ones in an order of chance, since each process begins at the first address, and several ask at once."""
    addresses = [str(address) for address in _NETWORK if str(address) != OPERATOR_ADDRESS]
    random.shuffle(addresses)
    return iter(addresses)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wrong with the group of Pis that is going to be migrated: one sentence per error. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence


def faults(
    addresses: Mapping[str, str], group: str, nodes: Mapping[str, str], played: Sequence[str], whole: bool = True
) -> list[str]:
    """`addresses` and `nodes` are those of all hosts of the group; `played` the hosts this run is for.

    Where it need not be the `whole` group, as for what only looks, only the group itself is judged.
    """
    if not addresses:
        return [
            f"The group {group} is not in the inventory or has no hosts; name the group of the Pis with every command: "
            "-e raft_migration_hosts=GROUP."
        ]
    # The hosts of a play are chosen before any variable of the inventory is read.
    others = [host for host in played if host not in addresses]
    if others:
        return [
            f"raft_migration_hosts is {group} in the inventory, but this run is for {', '.join(others)} as well: a play does not see the "
            f"inventory's variables when it chooses its hosts. Give it with every command: -e raft_migration_hosts={group}."
        ]
    if not whole:
        return []
    left_out = [host for host in addresses if host not in played]
    if left_out:
        return [
            f"This run leaves out {', '.join(left_out)}; a migration is of the whole group {group}, so run it without --limit, and give "
            "raft_migration_hosts with -e, not in the inventory."
        ]
    return [
        *_shared("address", "pi_controller_address", addresses),
        *_shared("node", "pi_controller_node_name", nodes),
        *_local(addresses),
    ]


def _shared(what: str, setting: str, values: Mapping[str, str]) -> Iterator[str]:
    holders: dict[str, list[str]] = {}
    for host, value in values.items():
        holders.setdefault(value, []).append(host)
    for value, hosts in holders.items():
        if len(hosts) > 1:
            yield f"{' and '.join(hosts)} have the same {what} {value}; give each its own {setting}."


def _local(addresses: Mapping[str, str]) -> Iterator[str]:
    for host, address in addresses.items():
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:  # a name
            local = address == "localhost"
        else:
            local = parsed.is_loopback or parsed.is_unspecified
        if local:
            yield f"{host} has the address {address}, where no other Pi reaches it; set pi_controller_address."

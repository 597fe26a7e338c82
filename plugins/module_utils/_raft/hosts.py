# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was seen of a cluster against what is known: the host that its leader is on, and the members of before or of another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._core.addresses import normal
from .._core.failures import MigrationError
from .cluster import host_of


def on_host(leader: Mapping[str, Any], hosts: Mapping[str, str]) -> dict[str, Any]:
    """The leader with the name of its `host`. Raises MigrationError for one that is on none of them.

    `hosts` has the address of each host by its name.
    """
    address = str(leader["address"])
    for host, known in hosts.items():
        if host_of(address) == normal(str(known)):
            return {**leader, "host": host}
    listed = ", ".join(f"{host} ({known})" for host, known in hosts.items())
    raise MigrationError(
        f"the cluster is led from {address}, which is not an address of {listed}",
        seen=address,
        wanted=dict(hosts),
        next_step="set pi_controller_address of that Pi to the address that the daemon advertises",
    )


def check_members(members: Iterable[Mapping[str, Any]], before: Mapping[str, str], next_step: str | None) -> None:
    """Raise MigrationError where the members or their addresses are others than `before`, addresses by ID; empty allows any."""
    now = {str(member["id"]): member["address"] for member in members}
    if before and now != before:
        raise MigrationError(
            f"the members are {now}; wanted: {dict(before)}, as before",
            seen=now,
            wanted=dict(before),
            next_step=next_step,
        )


def check_apart(members: Iterable[Mapping[str, Any]], addresses: Iterable[str], next_step: str | None) -> None:
    """Raise MigrationError where a member is at one of these `addresses`, which are those of another cluster."""
    shared = sorted({str(member["address"]) for member in members} & set(addresses))
    if shared:
        raise MigrationError(
            f"members of the other cluster are known here: {', '.join(shared)}",
            seen=shared,
            wanted="no member of the other cluster",
            next_step=next_step,
        )

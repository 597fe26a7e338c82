# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of both families, alone and with a port. Pure."""

from __future__ import annotations

import ipaddress


def normal(address: str) -> str:
    """One spelling for an address, of which IPv6 has many, with or without brackets; a name stays as it is."""
    bare = address.strip("[]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return bare


def with_port(address: str, port: int | str) -> str:
    """`10.77.0.11:8080`, `[fd00::11]:8080`, `pi-1:8080`: an address in its one spelling and a port, as URLs and Raft write them."""
    one = normal(address)
    return f"[{one}]:{port}" if ":" in one else f"{one}:{port}"


def in_one_spelling(text: str) -> str:
    """`address:port` with the address in its one spelling."""
    address, colon, port = text.rpartition(":")
    return with_port(address, port) if colon else text


def without_port(text: str) -> str:
    """The address of `address:port`, in its one spelling; empty where there is none."""
    return normal(text.rpartition(":")[0])

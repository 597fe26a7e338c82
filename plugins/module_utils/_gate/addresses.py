# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses a Pi has for itself, which is not every address its kernel calls local."""

from __future__ import annotations

import ipaddress
import socket
import struct

from . import netlink

_GET_LINK, _GET_ADDRESS = 18, 22
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBi")
_NAME, _LINK_INFO, _INFO_KIND = 3, 18, 1
_FAR, _LOCAL = 1, 2
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
# kube-proxy in ipvs mode, kube-router and the local DNS cache keep addresses of Services on interfaces of their own, of
# the kind `dummy`; the names are for kernels that do not tell the kind.
_OF_SERVICES = "dummy"
_NAMES_OF_SERVICES = ("kube-ipvs0", "kube-dummy-if", "nodelocaldns")


def own_addresses() -> list[str]:
    """Every address of this host but those of loopback and of dummy interfaces. Raises OSError."""
    foreign = {
        _LINK.unpack_from(message)[2]
        for message in netlink.ask(netlink.ROUTE, _GET_LINK, netlink.DUMP, _LINK.pack(0, 0, 0, 0, 0))
        if is_of_services(message)
    }
    found = (
        address_of(message)
        for message in netlink.ask(netlink.ROUTE, _GET_ADDRESS, netlink.DUMP, _ADDRESS.pack(0, 0, 0, 0, 0))
    )
    own = {address for address in found if address and address[0] not in foreign}
    return sorted({text for _index, text in own if not ipaddress.ip_address(text).is_loopback})


def is_of_services(message: bytes) -> bool:
    """Whether an interface, as the kernel describes it, has addresses of Services and not of the host."""
    values = netlink.attributes(message[_LINK.size :])
    kind = netlink.attributes(values.get(_LINK_INFO, b"")).get(_INFO_KIND, b"")
    name = values.get(_NAME, b"").rstrip(b"\0").decode(errors="replace")
    return kind.rstrip(b"\0") == _OF_SERVICES.encode() or name in _NAMES_OF_SERVICES


def address_of(message: bytes) -> tuple[int, str] | None:
    """(index of the interface, address)."""
    family, _length, _flags, _scope, index = _ADDRESS.unpack_from(message)
    values = netlink.attributes(message[_ADDRESS.size :])
    # On a point-to-point link the plain address is the far end's.
    raw = values.get(_LOCAL) or values.get(_FAR)
    if family not in _FAMILIES or not raw:
        return None
    return index, str(ipaddress.ip_address(raw))

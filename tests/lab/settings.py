# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the lab lives on this machine, and which addresses it uses. Nothing else may be a target of its traffic."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

STATE = Path(os.environ.get("PI_LAB_STATE", "/var/lib/pi-lab"))
CACHE = Path(os.environ.get("PI_LAB_CACHE", "/var/cache/pi-lab"))
CHECKOUT = Path(__file__).resolve().parents[2]

BRIDGE = "pilab0"
# The machine has all of these as well, so that clients on it can be many to a daemon that counts requests by address.
CLIENT_ADDRESSES = "10.77.0.128/25"
MAX_NODES = 9


@dataclass(frozen=True)
class Family:
    """The addresses of one family. The hosts and the machine have those of both."""

    machine: str
    host_network: str
    hosts: str
    """The address of a host, with its number in place of {}."""
    service_range: str
    api_service: str
    pod_range: str
    pods: str
    """The network of a host's pods, with its number in place of {}."""
    everywhere: str
    """What a daemon binds to listen on all addresses."""
    slices: str
    """The addressType of EndpointSlices."""

    def host(self, number: int) -> str:
        return self.hosts.format(10 + number)

    def pod_network(self, number: int) -> str:
        return self.pods.format(number)


FAMILIES = {
    "ipv4": Family(
        machine="10.77.0.1",
        host_network="10.77.0.0/24",
        hosts="10.77.0.{}",
        service_range="10.96.0.0/16",
        api_service="10.96.0.1",
        pod_range="10.244.0.0/16",
        pods="10.244.{}.0/24",
        everywhere="0.0.0.0",
        slices="IPv4",
    ),
    "ipv6": Family(
        machine="fd77::1",
        host_network="fd77::/64",
        hosts="fd77::{}",
        service_range="fd96::/112",
        api_service="fd96::1",
        pod_range="fd44::/56",
        pods="fd44:0:0:{}::/64",
        everywhere="::",
        slices="IPv6",
    ),
}

NAMESPACE = "pi-controller"
IMAGE = "pi-controller:lab"
PAUSE_IMAGE = "pi-lab/pause:1"

REST_PORT = 8080
GRPC_PORT = 9090
WEBSOCKET_PORT = 8081
RAFT_PORT = 9091

PROFILES = ("full", "upstream", "published")

# What a Pi of the lab has for its root file system. It is a tmpfs of its own, so that a test can fill it up without
# touching the disk of the machine.
HOST_DISK_MIB = int(os.environ.get("PI_LAB_DISK_MIB", "1024"))


def with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the lab lives on this machine, and which addresses it uses. Nothing else may be a target of its traffic."""

from __future__ import annotations

import os
from pathlib import Path

STATE = Path(os.environ.get("PI_LAB_STATE", "/var/lib/pi-lab"))
CACHE = Path(os.environ.get("PI_LAB_CACHE", "/var/cache/pi-lab"))
CHECKOUT = Path(__file__).resolve().parents[2]

BRIDGE = "pilab0"
MACHINE_ADDRESS = "10.77.0.1"
HOST_NETWORK = "10.77.0.0/24"
# The machine has all of these as well, so that clients on it can be many to a daemon that counts requests by address.
CLIENT_ADDRESSES = "10.77.0.128/25"
SERVICE_RANGE = "10.96.0.0/16"
POD_RANGE = "10.244.0.0/16"
MAX_NODES = 9

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


def host_address(number: int) -> str:
    return f"10.77.0.{10 + number}"


def pod_network(number: int) -> str:
    return f"10.244.{number}.0/24"

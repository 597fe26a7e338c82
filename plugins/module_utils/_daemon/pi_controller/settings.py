# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pi-controller calls its settings, in its environment and in its configuration file, and the paths for probes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..._core.addresses import with_port

PREFIX = "PI_CONTROLLER_"
# A variable that ends so moves a listener.
PORT_SUFFIX = "_PORT"
_REST_PORT, _GRPC_PORT = "PI_CONTROLLER_API_PORT", "PI_CONTROLLER_GRPC_PORT"
_RAFT_ADDRESS, _BOOTSTRAP = "PI_CONTROLLER_CLUSTER_BIND_ADDR", "PI_CONTROLLER_CLUSTER_BOOTSTRAP"
# The member's Raft ID.
NODE_ID = "PI_CONTROLLER_CLUSTER_CONTROLLER_ID"
NODE_ID_KEY = "cluster.controller_id"
_NODE_ID_LINE = re.compile(r"""^\s*["']?controller_id["']?\s*:\s*["']?([^"',\s#]+)""", re.MULTILINE)
# Of the configuration file; a longer name before a shorter one that it begins with.
SECTIONS = (
    "agent_server",
    "grpc_client",
    "websocket",
    "kubernetes",
    "discovery",
    "database",
    "cluster",
    "webui",
    "grpc",
    "gpio",
    "auth",
    "api",
    "app",
    "log",
)
# Of the configuration file, what pre-flight looks at: no secrets.
LOOKED_AT = {"raft_dir": "cluster.data_dir", "rest_host": "api.host", "kubernetes": "kubernetes.enabled"}
# The paths that `file_settings` writes: whatever the owner's file says of them, a pod's has its own.
PATHS_OF_STATE = ("cluster.data_dir", "app.data_dir", "database.path")
# What it listens on beside REST, gRPC and Raft: the key of the port, the daemon's own default, and the key that turns it on.
LISTENERS = (
    ("websocket.port", 8081, None),
    ("agent_server.port", 9091, "agent_server.enabled"),
    ("webui.port", 3000, "webui.enabled"),
)
# How some deployments write a section.
SECTION_ALIASES = {"cluster": "clustering"}
# Where a kubelet asks whether a pod can serve.
READY_PATH = "/ready"
# What a pod must do otherwise while the unit runs on the same Pi.
BESIDE_THE_UNIT = {
    # The unit holds 8081.
    "PI_CONTROLLER_WEBSOCKET_PORT": "8084",
    # The agent server; its own default is 9091.
    "PI_CONTROLLER_AGENT_SERVER_PORT": "9094",
    # The unit holds 3000, and two web interfaces would confuse people.
    "PI_CONTROLLER_WEBUI_ENABLED": "false",
    # Its clients are routed here all the same, and are refused: the unit's interface shows what the unit had at the cutover.
    "PI_CONTROLLER_WEBUI_PORT": "3001",
    # GPIO, I2C and PWM have one owner.
    "PI_CONTROLLER_GPIO_ENABLED": "false",
    "PI_CONTROLLER_AGENT_SERVER_ENABLE_GPIO": "false",
    # One mDNS announcement per Pi.
    "PI_CONTROLLER_DISCOVERY_ENABLED": "false",
    # The controller manager would listen on 8082 and 8083 and act on the same objects as the unit's.
    "PI_CONTROLLER_KUBERNETES_ENABLED": "false",
}
# Set from the ports and by the phases; a second source for them would win or lose by chance.
RESERVED = {
    "HOST_IP": "it is set from the pod's own status",
    _REST_PORT: "set {ports}.rest instead",
    _GRPC_PORT: "set {ports}.grpc instead",
    _RAFT_ADDRESS: "set {ports}.raft instead",
    _BOOTSTRAP: "the migration decides which pod starts the cluster",
}
# A daemon reads these as well.
RESERVED.update(
    {name.replace("_CLUSTER_", "_CLUSTERING_"): why for name, why in RESERVED.items() if "_CLUSTER_" in name}
)


def environment(ports: Mapping[str, int], address: str = "", *, bootstraps: bool = False) -> dict[str, str]:
    """The ports `rest`, `grpc` and `raft` and the Raft address, as the daemon's environment names them.

    `address` is that of any Pi: it shows the family of the nodes' addresses. Where pods may start a cluster (`bootstraps`), their files say
    which one does: what is in the environment would win over that, and count again whenever the container is restarted.
    """
    host = "[$(HOST_IP)]" if ":" in address else "$(HOST_IP)"
    return {
        _REST_PORT: str(ports["rest"]),
        _GRPC_PORT: str(ports["grpc"]),
        # The address a daemon binds is the one it advertises, so it is the Pi's own. The kubelet expands $(HOST_IP).
        _RAFT_ADDRESS: f"{host}:{ports['raft']}",
        **({} if bootstraps else {_BOOTSTRAP: "false"}),
    }


def file_settings(
    ports: Mapping[str, int], address: str, bootstrap: bool, folders: Mapping[str, str]
) -> dict[str, Any]:
    """The keys of one state in a configuration file, for the daemon at `address`.

    `folders` has `data_dir`, and `raft_dir` and `database` relative to it. They are written out: a release's own default may be
    relative to its working directory. A member is added by the leader, so the file names no peers.
    """
    data = folders["data_dir"]
    return {
        "api.port": ports["rest"],
        "grpc.port": ports["grpc"],
        "cluster.bind_addr": with_port(address, ports["raft"]),
        "cluster.bootstrap": bootstrap,
        "cluster.initial_peers": [],
        "cluster.data_dir": f"{data}/{folders['raft_dir']}",
        "app.data_dir": data,
        "database.path": f"{data}/{folders['database']}",
    }


def key_of(variable: str) -> str | None:
    """The key of the configuration file for a variable of the environment; None where no section of ours has it."""
    name = variable[len(PREFIX) :].lower() if variable.startswith(PREFIX) else ""
    for section in SECTIONS:
        if name.startswith(f"{section}_"):
            return f"{section}.{name[len(section) + 1 :]}"
    return None


def variable_of(key: str) -> str:
    """The variable of the environment for a key of the configuration file."""
    return PREFIX + key.upper().replace(".", "_")


def node_id_in(configuration: str) -> str | None:
    """The Raft ID in the text of a configuration file. Python's library has no YAML, so the key's own line has to do."""
    match = _NODE_ID_LINE.search(configuration)
    return match[1] if match else None

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The structure `migration` of an inventory: its defaults, and a user's partial override merged over them.

Everything here is a pure function. What is wrong with a configuration is in `_config_faults`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config_faults import CALCULATED, find_faults
from .durations import parse_duration

DEFAULTS: dict[str, Any] = {
    "temporary_ports": {"raft": 9092, "grpc": 9093, "rest": 8082},
    "standard_ports": {"raft": 9091, "grpc": 9090, "rest": 8080},
    "backup_path": "/var/backups/pi-controller-migration",
    "archive_path": "/var/lib/pi-controller.systemd.backup",
    "timeouts": {
        "snapshot_timeout": "30s",
        "transfer_timeout": "2m",
        # Writes wait all this time: better undone and tried again than carried over late.
        "cutover_timeout": "30s",
        # The gate before and after whatever touches a cluster: a leader, all voters there, each caught up.
        "health_timeout": "60s",
        # What the quorum watch raises an alert about.
        "phase_timeout": "10m",
        "quorum_lost_after": "2s",
        "leader_lost_after": "3s",
    },
    "safety": {
        "require_confirmation": True,
        "auto_rollback_on_error": True,
        "preserve_systemd_backup": True,
        # Whether an alert of the quorum watch stops the migration.
        "watch": True,
    },
    # What a pod must do otherwise while the unit runs on the same Pi.
    "temporary_env": {
        # The unit holds 8081.
        "PI_CONTROLLER_WEBSOCKET_PORT": "8084",
        # The agent server; its own default is 9091.
        "PI_CONTROLLER_AGENT_SERVER_PORT": "9094",
        # The unit holds 3000, and two web interfaces would confuse people.
        "PI_CONTROLLER_WEBUI_ENABLED": "false",
        # GPIO, I2C and PWM have one owner.
        "PI_CONTROLLER_GPIO_ENABLED": "false",
        "PI_CONTROLLER_AGENT_SERVER_ENABLE_GPIO": "false",
        # One mDNS announcement per Pi.
        "PI_CONTROLLER_DISCOVERY_ENABLED": "false",
        # The controller manager would listen on 8082 and 8083 and act on the same objects as the unit's.
        "PI_CONTROLLER_KUBERNETES_ENABLED": "false",
    },
    "standard_env": {},
}


class ConfigError(ValueError):
    """The configuration has faults; all of them, one a line."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


def merge(defaults: Any, override: Any) -> Any:
    """`override` over `defaults`, mapping by mapping; neither is changed."""
    if isinstance(defaults, Mapping) and isinstance(override, Mapping):
        merged = {key: merge(value, override.get(key, value)) for key, value in defaults.items()}
        return {**merged, **{key: value for key, value in override.items() if key not in defaults}}
    if isinstance(override, Mapping):
        return {key: merge(value, value) for key, value in override.items()}
    return override


def resolve(override: Any, beside: Mapping[str, Any] | None = None, once: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole configuration with `timeouts_seconds`; raises ConfigError with every fault.

    `beside` are the owner's own paths, by the names of their settings; `once` those given for this run alone.
    Feeding a result in again gives the same result.
    """
    given = override if isinstance(override, Mapping) else {}
    config: dict[str, Any] = merge(DEFAULTS, {key: value for key, value in given.items() if key != CALCULATED})
    faults = find_faults(override, config, DEFAULTS, beside or {}, once or {})
    if faults:
        raise ConfigError(faults)
    config[CALCULATED] = {name: parse_duration(value) for name, value in config["timeouts"].items()}
    return config


PHASES = ("temporary", "standard")


def port_environment(config: Mapping[str, Any], phase: str, bootstrap: bool = False) -> dict[str, str]:
    """What the three named ports, the Raft address and the bootstrap flag are called in the daemon's environment."""
    ports = config[f"{phase}_ports"]
    return {
        "PI_CONTROLLER_API_PORT": str(ports["rest"]),
        "PI_CONTROLLER_GRPC_PORT": str(ports["grpc"]),
        # The address a daemon binds is the one it advertises, so it is the Pi's own. The kubelet expands $(HOST_IP).
        "PI_CONTROLLER_CLUSTER_BIND_ADDR": f"$(HOST_IP):{ports['raft']}",
        "PI_CONTROLLER_CLUSTER_BOOTSTRAP": "true" if bootstrap else "false",
    }

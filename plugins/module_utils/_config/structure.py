# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The structure `migration` of an inventory: its defaults, and a user's partial override merged over them.

Everything here is a pure function. What is wrong with a configuration is in `errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.durations import parse_duration
from .._core.journal import PARALLEL, STRATEGIES
from .._daemon.drivers import settings
from .errors import CALCULATED, find_errors

DEFAULTS: dict[str, Any] = {
    "strategy": PARALLEL,
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
    "temporary_env": settings.BESIDE_THE_UNIT,
    "standard_env": {},
}


class ConfigError(ValueError):
    """The configuration has errors; all of them, one a line."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("\n".join(errors))


def merge(defaults: Any, override: Any) -> Any:
    """`override` over `defaults`, mapping by mapping; neither is changed."""
    if isinstance(defaults, Mapping) and isinstance(override, Mapping):
        merged = {key: merge(value, override.get(key, value)) for key, value in defaults.items()}
        return {**merged, **{key: value for key, value in override.items() if key not in defaults}}
    if isinstance(override, Mapping):
        return {key: merge(value, value) for key, value in override.items()}
    return override


def resolve(
    override: Any, beside: Mapping[str, Any] | None = None, once: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The whole configuration with `timeouts_seconds`; raises ConfigError with every error.

    `beside` are the owner's own paths, by the names of their settings; `once` those given for this run alone.
    Feeding a result in again gives the same result.
    """
    given = override if isinstance(override, Mapping) else {}
    config: dict[str, Any] = merge(DEFAULTS, {key: value for key, value in given.items() if key != CALCULATED})
    errors = find_errors(override, config, DEFAULTS, beside or {}, once or {}, tuple(STRATEGIES))
    if errors:
        raise ConfigError(errors)
    config[CALCULATED] = {name: parse_duration(value) for name, value in config["timeouts"].items()}
    return config


PORT_SETS = ("temporary", "standard")


def port_environment(config: Mapping[str, Any], phase: str, address: str = "") -> dict[str, str]:
    """The daemon's environment for the ports of a phase, where daemons have addresses like this one."""
    return settings.environment(config[f"{phase}_ports"], address, bootstraps=phase == "temporary")

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the configuration file of a Pi's daemon means for its pod. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._daemon.drivers import settings
from .findings import WARNING, Finding

EVERY_ADDRESS = ("", "0.0.0.0", "::", "[::]", "null", "~")
EVERY_FAMILY = tuple(address for address in EVERY_ADDRESS if address != "0.0.0.0")


def daemon_findings(
    data: Mapping[str, Mapping[str, Any] | None], standard_env: Mapping[str, Any], owner: Mapping[str, Any]
) -> Iterator[Finding]:
    """`data` has the part `data` of what M(preflight_host) saw, by host."""
    off = str(standard_env.get(settings.variable_of(settings.LOOKED_AT["kubernetes"]), "")).lower() == "false"
    for host, found in data.items():
        config = (found or {}).get("config")
        if config is None:
            continue
        yield from _file(host, config, bool((found or {}).get("raft_dir_found")), owner)
        if str(config["kubernetes"]).lower() in ("true", "yes", "on") and not off:
            yield Finding(
                host,
                "kubernetes.enabled",
                "true in the daemon's configuration file",
                "a kubeconfig in the pod: the published daemon ends where it finds none",
                "mount one (pi_controller_extra_volumes, pi_controller_extra_volume_mounts), or set "
                f'{settings.variable_of(settings.LOOKED_AT["kubernetes"])}: "false" in migration.standard_env',
                WARNING,
            )


def _file(host: str, config: Mapping[str, Any], raft_dir_found: bool, owner: Mapping[str, Any]) -> Iterator[Finding]:
    if config["error"]:
        yield Finding(
            host,
            "configuration file",
            config["error"],
            "a file that the pod's can be made from",
            "see the line it names",
        )
    if not raft_dir_found:
        configured = (
            config["raft_dir"]
            or "nothing, and the published daemon's default is ./data/raft below its working directory"
        )
        yield Finding(
            host,
            "Raft folder",
            f"{owner['raft_dir']} is not there; the configuration file says {configured}",
            "the folder that the daemon uses",
            "correct pi_controller_data_dir and pi_controller_raft_dir, which is relative to it",
        )
    listens = config["rest_host"]
    if ":" in str(owner["addresses"].get(host, "")) and listens is not None and listens not in EVERY_FAMILY:
        yield Finding(
            host,
            "api.host",
            f"{listens}, and the daemon's address is IPv6",
            "a daemon that listens on 127.0.0.1 too: a run asks it there while its clients are kept away",
            'set api.host to "::", one Pi at a time',
        )
        return
    if listens is not None and listens not in EVERY_ADDRESS and owner["probe_host"] and listens != "127.0.0.1":
        yield Finding(
            host,
            "api.host",
            f"{listens}, and the probes of all pods ask {owner['probe_host']}",
            "probes that reach the daemon of their own Pi",
            "set pi_controller_probe_host to an empty string, which asks each pod at its Pi's address, or api.host to 0.0.0.0",
        )

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a Pi can go the way that is configured. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._core.journal import PARALLEL
from .findings import EVERYWHERE, Finding
from .mounts import apart, where
from .plan import Plan


def strategy_findings(plan: Plan, hosts: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """What keeps a pod from starting without its unit's data, and what keeps a Pi from handing its data to its pod by a rename."""
    if plan.strategy == PARALLEL:
        if plan.logs_in:
            yield Finding(
                EVERYWHERE,
                "login",
                "pi_controller_user is set, and users are rows of the daemon's database, which the new pods do not have",
                "a token, or pods that start with their unit's data",
                "set migration.strategy to rolling, or use pi_controller_token",
            )
        return
    for host, seen in hosts.items():
        data, pods = seen["paths"]["data_dir"], seen["paths"]["pod_data_dir"]
        if pods["kind"] is not None:
            yield Finding(
                host,
                "pod_data_dir",
                f"{pods['path']} exists",
                "nothing there: the unit's folder is renamed to it, and a pod could start there before",
                "move it away, or set pi_controller_pod_data_dir to another folder",
            )
        if data.get("is_mount_point") or data.get("mounts_inside"):
            yield Finding(
                host,
                "data_dir",
                f"{data['path']} is a mount point, or contains one",
                "a folder that can be renamed",
                "move the data into a folder below the mount point and set pi_controller_data_dir to it, "
                "or set migration.strategy to parallel",
            )
        elif apart(pods, data):
            yield Finding(
                host,
                "pod_data_dir",
                where(pods, data),
                "both on one mount: the unit's folder is renamed, never copied",
                f"set pi_controller_pod_data_dir to {data['path']}-pods",
            )

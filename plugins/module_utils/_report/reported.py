# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status of a migration as the playbook `status` shows it: what the Pis and Kubernetes report, put together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .status import assemble_status
from .status_text import render


def reported_status(hosts: Mapping[str, Any], cluster: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The status, and in `table` the same as lines for a terminal.

    `hosts` is the result of migration_host_info by host, each with `address` beside it, `cluster` that of migration_cluster_info, `config`
    the migration's whole configuration.
    """
    status = assemble_status(
        {name: _readable(info) for name, info in hosts.items()}, cluster or {}, config, time.time()
    )
    return {**status, "table": render(status)}


def _readable(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """A host that could not be asked has a message and nothing else; one that had not answered before was not asked again."""
    if "gate" in info:
        return info
    unasked = "this Pi does not answer" if info.get("skipped") else "it was not asked"
    return {**info, "error": info.get("error") or info.get("msg") or unasked}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options every module shares that talks to the daemons over REST (documented in the `rest` fragment)."""

from __future__ import annotations

from typing import Any

from .client import RaftClient


def rest_options(*, urls_required: bool = True) -> dict[str, dict[str, Any]]:
    """The argument spec of the documentation fragment `rest`."""
    return {
        "urls": {"type": "list", "elements": "str", "aliases": ["url"], "required": urls_required},
        "token": {"type": "str", "no_log": True},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "timeout": {"type": "float", "default": 5.0},
    }


def clients_of(params: dict[str, Any]) -> list[RaftClient]:
    """One client per URL, in the order given, each URL once."""
    return [
        RaftClient(
            url,
            token=params["token"],
            validate_certs=params["validate_certs"],
            ca_path=params["ca_path"],
            timeout=params["timeout"],
        )
        for url in dict.fromkeys(params["urls"] or [])
    ]

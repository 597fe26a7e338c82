# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The daemon that is driven, and the options of every module that asks daemons (documented in the fragment `rest`).

The one place that names a driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .interface import Daemon, NodeStatus
from .pi_controller import settings
from .pi_controller.answers import parse_status
from .pi_controller.client import PiController

__all__ = ["ACCESS", "clients_of", "daemon_at", "read_report", "rest_options", "settings"]

# How the daemons want to be spoken to.
ACCESS: dict[str, dict[str, Any]] = {
    "token": {"type": "str", "no_log": True},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "client_cert": {"type": "path"},
    # The name of a file, not a key.
    "client_key": {"type": "path", "no_log": False},
}


def rest_options(*, urls_required: bool = True) -> dict[str, dict[str, Any]]:
    """The argument spec of the documentation fragment `rest`."""
    return {
        "urls": {"type": "list", "elements": "str", "aliases": ["url"], "required": urls_required},
        **ACCESS,
        "timeout": {"type": "float", "default": 5.0},
    }


def clients_of(params: Mapping[str, Any]) -> list[Daemon]:
    """One daemon per URL, in the order given, each URL once."""
    return [daemon_at(url, params, params["timeout"]) for url in dict.fromkeys(params["urls"] or [])]


def daemon_at(url: str, access: Mapping[str, Any], timeout: float) -> Daemon:
    """The daemon at this base URL; `access` has what ACCESS names, as far as it is given. Raises MigrationError for a bad URL."""
    given = {name: access[name] for name in ACCESS if access.get(name) is not None}
    return PiController(url, timeout=timeout, **given)


def read_report(found: Any) -> NodeStatus:
    """What a daemon's `report` says. Raises Unreadable where it is none."""
    return parse_status(found)

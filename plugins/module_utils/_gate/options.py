# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that several modules have for a gate and its lease."""

from __future__ import annotations

from typing import Any

PORTS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "options": {"standard": {"type": "int", "required": True}, "temporary": {"type": "int", "required": True}},
}
FORWARD_TO: dict[str, Any] = {"type": "list", "elements": "str"}
SERVICES: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {"cluster_ip": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
}
# What a module that changes more than the gate lets its caller say of it; for the argument spec of one option.
GATE: dict[str, Any] = {
    "type": "dict",
    "options": {
        "state": {"type": "str", "choices": ["open", "fenced", "forwarded"], "required": True},
        "ports": PORTS,
        "forward_to": FORWARD_TO,
        "established": {"type": "str", "choices": ["reset", "finish", "keep"], "default": "reset"},
        "patience": {"type": "float", "default": 0.5},
        "persist": {"type": "bool", "default": False},
    },
    "required_if": [("state", "fenced", ["ports"]), ("state", "forwarded", ["ports", "forward_to"])],
}
# See `lease.Moment`.
SINCE: dict[str, Any] = {
    "type": "dict",
    "options": {"boot": {"type": "str", "required": True}, "seconds": {"type": "float", "required": True}},
}

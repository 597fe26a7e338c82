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
# See `lease.Moment`.
SINCE: dict[str, Any] = {
    "type": "dict",
    "options": {"boot": {"type": "str", "required": True}, "seconds": {"type": "float", "required": True}},
}

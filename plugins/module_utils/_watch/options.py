# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of quorum_watch, for the module and for the action that spares it where nothing has to be started."""

from __future__ import annotations

from typing import Any

from .._core.journal import PARALLEL, STRATEGIES
from .._daemon.drivers import ACCESS
from .plan import WATCHED_PHASES

_LOCK: dict[str, Any] = {
    "namespace": {"type": "str", "default": "default"},
    "name": {"type": "str", "required": True},
    "duration": {"type": "int", "default": 60},
    "take_over": {"type": "bool", "default": False},
}
OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "required": True, "choices": ["started", "phase", "held", "stopped", "checked"]},
    "path": {"type": "path", "required": True},
    "standard_urls": {"type": "list", "elements": "str", "default": []},
    "temporary_urls": {"type": "list", "elements": "str", "default": []},
    "rest": {"type": "dict", "default": {}, "options": ACCESS},
    "sampling": {"type": "bool", "default": True},
    "interval": {"type": "float", "default": 0.4},
    "timeout": {"type": "float", "default": 1.0},
    "quorum_grace": {"type": "float", "default": 2.0},
    "leader_grace": {"type": "float", "default": 3.0},
    "lifetime": {"type": "float", "default": 43200},
    "lock": {"type": "dict", "options": _LOCK},
    "accept_outage": {"type": "bool", "default": False},
    "phase": {"type": "str", "choices": list(WATCHED_PHASES)},
    "strategy": {"type": "str", "choices": list(STRATEGIES), "default": PARALLEL},
    "phase_timeout": {"type": "float"},
    "replaced": {"type": "str"},
    "temporary_raft_port": {"type": "int"},
    "parent_pid": {"type": "int"},
}
REQUIRED_IF = [("state", "phase", ["phase"]), ("state", "held", ["lock"])]

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ..module_utils._preflight.control_node import reach
from ..plugin_utils.kept_modules import KeptModule


class ActionModule(KeptModule):
    """See plugins/modules/preflight_host.py. What the control node itself reaches is tried here."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        # One that could not be looked at has a cause of its own.
        if "listeners" not in result:
            return result
        address, ports = str(self._task.args["address"]), self._task.args.get("control_node_ports") or []
        return {**result, "from_control_node": {str(port): reach(address, int(port)) for port in ports}}

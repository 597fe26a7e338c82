# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A word to the watching process needs no module to be packed and started, which takes longer than the word itself.

All of it happens on the control node. The process itself is forked from that of the task, which has the Kubernetes client already;
only where the module would run with another Python, it is started by the module.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import failure_result
from ..module_utils._watch.control import WatchControl
from ..module_utils._watch.options import OPTIONS, REQUIRED_IF
from ..modules import quorum_watch
from ..plugin_utils.kubernetes_action import KubernetesAction


class ActionModule(KubernetesAction):
    MODULE = quorum_watch
    # Of the host that the task is for, nothing is wanted.
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        if self._task.args.get("state") in quorum_watch.WITH_LOCK:
            return super().run(tmp, task_vars)
        result = self.begin(tmp, task_vars)
        # The way to the API may be given all the same, as by the defaults of the module's action group.
        _validated, params = self.validate_argument_spec(
            argument_spec={**AUTH_ARG_SPEC, **OPTIONS}, required_if=REQUIRED_IF
        )
        warnings: list[str] = []
        try:
            control = WatchControl(params, self._task.check_mode, warnings.append)
            result["changed"] = getattr(control, params["state"])()
            result.update(control.result())
        except (MigrationError, OSError) as error:
            return {**result, **failure_result(error, f"watching by {params['path']}")}
        if warnings:
            result["warnings"] = warnings
        return result

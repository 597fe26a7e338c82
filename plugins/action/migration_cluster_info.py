# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module reads Kubernetes. With what the Pis have reported before, the status of the whole migration is put together here."""

from __future__ import annotations

from typing import Any

from ..module_utils._report.reported import reported_status
from ..modules import migration_cluster_info
from ..plugin_utils.kubernetes_action import KubernetesAction


class ActionModule(KubernetesAction):
    MODULE = migration_cluster_info

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        assemble = self._task.args.pop("assemble", None)
        result = super().run(tmp, task_vars)
        if assemble:
            # Also where Kubernetes could not be asked.
            result["status"] = reported_status(assemble["hosts"], result, assemble["config"])
        return result

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module writes the journal on the Pi. What the watch expects of the step is set here before, in the same task."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import failure_result
from ..module_utils._watch.control import WatchControl
from ..module_utils._watch.options import OPTIONS, REQUIRED_IF
from ..plugin_utils.kept_modules import KeptCode


class ActionModule(KeptCode):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        watch = args.pop("watch", None)
        warnings: list[str] = []
        if watch:
            try:
                _set(watch, self._task.check_mode, warnings)
            except (MigrationError, OSError) as error:
                return {**result, **failure_result(error, f"watching by {watch.get('path')}")}
        result.update(self._execute_module(module_args=args, task_vars=task_vars))
        if warnings:
            result["warnings"] = [*result.get("warnings", []), *warnings]
        return result


def _set(watch: dict[str, Any], check_mode: bool, warnings: list[str]) -> None:
    """As `quorum_watch` with state=phase, whose options `watch` has."""
    checked = ArgumentSpecValidator(OPTIONS, required_if=REQUIRED_IF).validate({**watch, "state": "phase"})
    if checked.error_messages:
        raise AnsibleActionFail(f"`watch` of migration_journal: {'; '.join(checked.error_messages)}")
    WatchControl(checked.validated_parameters, check_mode, warnings.append).phase()

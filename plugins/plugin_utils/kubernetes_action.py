# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of a Kubernetes module in the process of the task, without a Python of its own.

To import the Kubernetes client takes half a second, more on a slow machine. As a module each task pays for that; here
ansible-playbook pays once, before it forks its workers. See docs/decisions/0014-kubernetes-in-the-tasks-process.md.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import has_at_least

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import failure_result
from ..module_utils._kube.api import forget_credentials
from ..module_utils._kube.kubeconfig import secrets_in
from . import preload as _preload  # noqa: F401 - for the workers that are forked later

# What `connect` needs: imported before the workers are forked, and not by each of them.
_NEEDED = (
    "kubernetes.client",
    "kubernetes.config",
    "kubernetes.dynamic",
    "ansible_collections.kubernetes.core.plugins.module_utils.k8s.client",
)
try:
    for _name in _NEEDED:
        importlib.import_module(_name)
    CLIENT = has_at_least("kubernetes", "24.2.0")
except ImportError:
    # The module says which library is missing.
    CLIENT = False

# With these values Ansible looks for a Python itself; the one that it runs with has the client.
DISCOVERED = ("auto", "auto_silent", "auto_legacy", "auto_legacy_silent")


class WorkerModule:
    """What the work of a module uses of AnsibleModule. The parameters are as plain as a module gets them."""

    def __init__(self, params: dict[str, Any], check_mode: bool, diff: bool) -> None:
        self.params: dict[str, Any] = json.loads(json.dumps(params))
        self.check_mode = check_mode
        self._diff = diff
        self.warnings: list[str] = []

    def warn(self, warning: str) -> None:
        self.warnings.append(warning)


class KubernetesAction(ActionBase):
    """Runs `MODULE.run` here where the module would run with this very Python; everywhere else it runs the module."""

    TRANSFERS_FILES = False
    MODULE: ModuleType

    def begin(self, tmp: str | None, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """What Ansible does first for any action, for one that takes a way of its own."""
        begun: dict[str, Any] = super().run(tmp, task_vars)
        return begun

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = self.begin(tmp, task_vars)
        if not CLIENT or not self._is_here(task_vars or {}):
            return {**result, **self._execute_module(task_vars=task_vars)}
        spec = {key: value for key, value in self.MODULE.SPEC.items() if key != "supports_check_mode"}
        validated, params = self.validate_argument_spec(**spec)
        secrets = set(validated._no_log_values)
        if isinstance(params.get("kubeconfig"), dict):
            secrets |= secrets_in(params["kubeconfig"])
        module = WorkerModule(params, self._task.check_mode, self._task.diff)
        found: dict[str, Any] = {"changed": False}
        try:
            self.MODULE.run(module, found)
        except (MigrationError, OSError) as error:
            found |= failure_result(error, self.MODULE.DOING)
        finally:
            forget_credentials()
        if module.warnings:
            found["warnings"] = module.warnings
        return {**result, **remove_values(found, secrets)}

    def _update_module_args(self, module_name: str, module_args: dict[str, Any], *arguments: Any, **named: Any) -> None:
        """An object's definition has the values of its pods' variables, which may be secrets: a module that runs does not log them, nor
        return them with its parameters.
        """
        super()._update_module_args(module_name, module_args, *arguments, **named)
        module_args |= {"_ansible_no_log": True, "_ansible_inject_invocation": False}

    def _is_here(self, task_vars: dict[str, Any]) -> bool:
        """Whether the module would run on this machine, as this user, in this environment and with this Python."""
        if (
            self._connection.transport != "local"
            or self._connection.become is not None
            or any(self._task.environment or [])
        ):
            return False
        delegated = task_vars.get("ansible_delegated_vars") or {}
        variables = delegated.get(self._task.delegate_to) or task_vars
        chosen = str(self._templar.template(variables.get("ansible_python_interpreter", "auto")))
        return chosen in DISCOVERED or _same(Path(chosen), Path(sys.executable))


def _same(one: Path, other: Path) -> bool:
    """One environment's Python has several names. Those of two environments may be links to one file."""
    return one.parent == other.parent and one.resolve() == other.resolve()

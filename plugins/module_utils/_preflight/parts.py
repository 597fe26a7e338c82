# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One module reads several parts. Each fails on its own: what one of them meets keeps no other from being read and reported."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible.module_utils.common.parameters import remove_values

from .._core.failures import MigrationError
from .._core.modules import explained

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


@dataclass(frozen=True)
class Part:
    """What was read; where it came to no end, what there was by then, and why."""

    found: dict[str, Any]
    error: MigrationError | None = None

    def reported(self) -> dict[str, Any]:
        """As a module of its own would return it."""
        if self.error is None:
            return self.found
        return {**self.found, "msg": self.error.full_message, "failure": self.error.failure}


def read_part(read: Callable[[dict[str, Any]], None], doing: str) -> Part:
    """Let `read` fill the part. `doing` is what an error of the operating system interrupts."""
    found: dict[str, Any] = {}
    try:
        read(found)
    except (MigrationError, OSError) as error:
        return Part(found, explained(error, doing))
    except Exception as error:  # noqa: BLE001 - a defect, which would take the other parts with it
        # Under the name that Ansible has for what a module that crashed has printed.
        found["module_stderr"] = traceback.format_exc()
        return Part(found, MigrationError(f"{type(error).__name__}: {error}"))
    return Part(found)


def hide_secrets(module: AnsibleModule, result: dict[str, Any], name: str) -> None:
    """Hide tokens and passwords in the part `name` alone, the one that they are used for, and in the module's own arguments.

    Ansible hides them in all that a module returns. With a password that is a word of a path, such as `controller`, the Pi's own
    paths and units would differ from the configured ones, and pre-flight would refuse to begin.
    """
    result[name] = remove_values(result[name], module.no_log_values)
    result["invocation"] = {"module_args": remove_values(module.params, module.no_log_values)}
    module.no_log_values = set()

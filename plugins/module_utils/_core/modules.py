# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How every module ends: with its result, or with what failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Union

from .failures import MigrationError, fail

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

AGAIN = "fix the problem above and run the same command again"


def explained(error: Union[MigrationError, OSError], doing: str) -> MigrationError:
    """An error of the operating system says which file or address, but not what it was needed for."""
    if isinstance(error, MigrationError):
        return error
    return MigrationError(f"{doing}: {error}", seen=str(error), next_step=AGAIN)


def at_step(error: Union[MigrationError, OSError], step: str) -> MigrationError:
    """The same failure of a module that changes several things, saying at which of them it was."""
    failed = explained(error, step)
    return MigrationError(
        str(failed) if failed is not error else f"{step}: {error}",
        **{key: value for key, value in failed.failure.items() if value is not None},
    )


def failure_result(error: Union[MigrationError, OSError], doing: str) -> dict[str, Any]:
    """What an action plugin, which has no `fail_json`, adds to its result: the same that a module fails with."""
    failed = explained(error, doing)
    return {"failed": True, "msg": failed.full_message, "failure": failed.failure}


def run_module(module: AnsibleModule, work: Callable[[AnsibleModule, dict[str, Any]], None], doing: str) -> NoReturn:
    """Let `work(module, result)` fill the result, and end the module with it.

    A MigrationError or OSError ends the module with its text as `msg`, its facts as `failure`, and what the result has by then.
    `doing` is what an OSError interrupted, for instance `reading the journal`. Other exceptions are defects and pass.
    """
    result: dict[str, Any] = {"changed": False}
    try:
        work(module, result)
    except (MigrationError, OSError) as error:
        fail(module, explained(error, doing), **result)
    module.exit_json(**result)
    raise AssertionError("exit_json has ended the process")

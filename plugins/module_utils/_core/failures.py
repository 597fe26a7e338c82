# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base exception of the collection, and the one place that turns it into a module failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from .text import visible, visible_in

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


class MigrationError(Exception):
    """What was asked of whom, what was seen, what was wanted, and what to do next."""

    def __init__(
        self,
        message: str,
        *,
        url: str | None = None,
        status: int | None = None,
        seen: Any = None,
        wanted: Any = None,
        next_step: str | None = None,
    ) -> None:
        # Much of it is text of others, on its way to a terminal, the journal and the report.
        super().__init__(visible(message))
        self.status = status
        self.failure: dict[str, Any] = {
            "url": url,
            "status": status,
            "seen": visible_in(seen),
            "wanted": visible_in(wanted),
            "next_step": next_step,
        }

    @property
    def full_message(self) -> str:
        """The message followed by the next step, as users see it."""
        next_step = self.failure["next_step"]
        return f"{self}. Next: {next_step}" if next_step else str(self)


class LockTaken(MigrationError):
    """The migration's lock is not this run's any more."""


def fail(module: AnsibleModule, error: MigrationError, **result: Any) -> NoReturn:
    """End the module with the error's text as `msg` and its facts as `failure`."""
    module.fail_json(msg=error.full_message, failure=error.failure, **result)
    raise AssertionError("fail_json has ended the process")

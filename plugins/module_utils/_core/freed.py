# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether ports that a stopped daemon had are free again."""

from __future__ import annotations

from collections.abc import Sequence

from .failures import MigrationError
from .listening import refusal
from .waiting import wait_until


def wait_freed(addresses: Sequence[str], timeout: float) -> None:
    """Wait until nothing accepts a connection at any of these, each `host:port`. Raises MigrationError after `timeout` seconds."""
    waited = wait_until(
        lambda: [address for address in addresses if refusal(address) is None], lambda held: not held, timeout
    )
    if not waited.met:
        held = ", ".join(waited.value)
        raise MigrationError(
            f"{held} still accepts connections {waited.elapsed:.0f} s after the unit was stopped",
            seen=waited.value,
            wanted="free ports",
            next_step="see which process listens there (ss -tlnp), stop it, and run the same command again",
        )

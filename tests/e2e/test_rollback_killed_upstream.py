# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback killed in its turns, with a daemon that cannot hand leadership over; tests/e2e/test_rollback_killed.py has the other one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.e2e import rehearsal
from tests.e2e.killed import killed_in_every_turn


def test_a_rollback_killed_in_a_turn_without_leadership_transfer(
    migrated: Callable[[str], list[str]], tmp_path: Path
) -> None:
    killed_in_every_turn(migrated("upstream"), tmp_path, *rehearsal.UPSTREAM_LAGS)

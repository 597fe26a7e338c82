# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback killed in its turns, one after the other; tests/e2e/test_rollback_killed_upstream.py has a daemon that cannot hand over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.e2e.killed import killed_in_every_turn


def test_a_rollback_killed_in_a_turn_goes_on_where_it_was(migrated: Callable[[str], list[str]], tmp_path: Path) -> None:
    killed_in_every_turn(migrated("full"), tmp_path)

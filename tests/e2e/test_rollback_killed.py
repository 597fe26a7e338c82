# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback killed in its turns, one after the other, with a daemon that can hand leadership over and with one that cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import rehearsal
from tests.e2e.killed import killed_in_every_turn

pytestmark = pytest.mark.by_name


@pytest.mark.parametrize("profile", ["full", pytest.param("upstream", marks=pytest.mark.longer)])
def test_a_rollback_killed_in_a_turn_goes_on_where_it_was(
    migrated: Callable[[str], list[str]], tmp_path: Path, profile: str
) -> None:
    lags = [] if profile == "full" else rehearsal.UPSTREAM_LAGS
    killed_in_every_turn(migrated(profile), tmp_path, *lags)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from conftest import import_plugin

rollback_outcome = import_plugin("filter.rollback_outcome").rollback_outcome
FAILED = "Finish | Stop the pods: refused"


@pytest.mark.parametrize(
    ("outcomes", "outcome"),
    [
        (["none", "none"], "none"),
        (["done", "done"], "done"),
        # One that was away has not been asked.
        (["none", "done"], "done"),
        (["done", FAILED], FAILED),
        ([": ", "done", FAILED], FAILED),
        (["none", ": ", FAILED], FAILED),
        ([": ", "none"], "a Pi does not answer"),
        (["done", ": "], "a Pi does not answer"),
    ],
)
def test_a_failure_counts_before_a_rollback_that_is_done(outcomes: list[str], outcome: str) -> None:
    assert rollback_outcome(outcomes) == outcome

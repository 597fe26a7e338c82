# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.filter.rows_differ import rows_differ


def data(*rows: str) -> dict[str, Any]:
    return {"tables": {"nodes": {"rows": "".join(rows), "unsteady": "", "up_to": None}}}


ONE, TWO = "1" * 16, "2" * 16


@pytest.mark.parametrize(
    ("seen", "differ"),
    [
        ({"pi-1": data(ONE), "pi-2": data(ONE)}, False),
        ({"pi-1": data(ONE), "pi-2": data(ONE, TWO)}, True),
        ({"pi-1": data(ONE, TWO), "pi-2": data(ONE), "pi-3": data(ONE)}, True),
        # What was not read is a finding of its own, and rolling reads no rows.
        ({"pi-1": data(ONE), "pi-2": {"msg": "no such file"}, "pi-3": {}}, False),
        ({"pi-1": {"tables": {}}, "pi-2": {"tables": {}}}, False),
        ({}, False),
    ],
)
def test_a_difference_between_any_two_pis(seen: dict[str, Any], differ: bool) -> None:
    assert rows_differ(seen) is differ

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module does around a change of the gate. tests/network has a real kernel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conftest import import_plugin

gate_of = import_plugin("module_utils._lease.gate")
change = import_plugin("module_utils._gate.change")
table = import_plugin("module_utils._gate.table")

FORWARDED = table.Gate("forwarded", (table.Port(8080, 8082),), ("192.0.2.9",))


@pytest.mark.parametrize(("changed", "check_mode"), [(True, False), (True, True), (False, False)])
def test_other_chains_are_read_where_the_gate_changes(
    monkeypatch: pytest.MonkeyPatch, changed: bool, check_mode: bool
) -> None:
    asked: list[set[str]] = []
    warned: list[str] = []

    def denied_by(families: set[str]) -> list[str]:
        asked.append(families)
        return ["ip filter FORWARD"]

    nft = SimpleNamespace(
        binary="nft",
        table=lambda: None,
        forwarding_denied_by=denied_by,
    )
    monkeypatch.setattr(gate_of.Nft, "of", lambda _module: nft)
    monkeypatch.setattr(gate_of, "completed", lambda gate, _before: gate)
    monkeypatch.setattr(gate_of, "change_gate", lambda *_: (changed, change.Changed(None, None)))
    module: Any = SimpleNamespace(check_mode=check_mode, warn=warned.append)
    params = {"persist": False, "established": "reset", "patience": 0}

    assert gate_of.apply_gate(module, FORWARDED, params)["changed"] is changed
    assert asked == [{"ip"}] * changed
    assert len(warned) == changed

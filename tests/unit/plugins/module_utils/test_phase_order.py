# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A phase begins only where the journals of all Pis say that it is the next one."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import import_plugin

journals = import_plugin("module_utils._core.journal")
phase_obstacles = import_plugin("filter.phase_obstacles").FilterModule().filters()["phase_obstacles"]


def known(*done: str, started: str = "", strategy: str | None = None) -> dict[str, Any]:
    journal = None
    for phase in done:
        journal = journals.marked(journal, phase, "done", {}, "m-1", journals.now(), strategy)
    if started:
        journal = journals.marked(journal, started, "started", {}, "m-1", journals.now(), strategy)
    return journals.known_by(journal)


AFTER_PREPARE = known("prepare")
BACK = known("prepare", started="rollback")


@pytest.mark.parametrize(
    ("views", "phase", "reasons"),
    [
        ([known(), known()], "prepare", {}),
        ([AFTER_PREPARE, AFTER_PREPARE], "transfer", {}),
        ([AFTER_PREPARE, known("prepare", "transfer")], "transfer", {}),
        ([AFTER_PREPARE, known("prepare", started="transfer")], "transfer", {}),
        (
            [known(), AFTER_PREPARE],
            "transfer",
            {"pi-1": "phase transfer comes after prepare, which is pending; run that first"},
        ),
        (
            [AFTER_PREPARE, AFTER_PREPARE],
            "cutover",
            dict.fromkeys(("pi-1", "pi-2"), "phase cutover comes after transfer, which is pending; run that first"),
        ),
        # One Pi's word is enough, and a phase that is behind a Pi does not begin there.
        (
            [AFTER_PREPARE, BACK],
            "transfer",
            dict.fromkeys(("pi-1", "pi-2"), "a rollback is in progress; finish it first"),
        ),
        ([AFTER_PREPARE, BACK], "prepare", {}),
        ([{}, AFTER_PREPARE], "transfer", {"pi-1": "phase transfer comes after None, which is pending"}),
    ],
)
def test_why_a_phase_may_not_begin(views: list[dict[str, Any]], phase: str, reasons: dict[str, str]) -> None:
    found = phase_obstacles(dict(zip(("pi-1", "pi-2"), views)), phase, "parallel")
    assert set(found) == set(reasons)
    assert all(found[host].startswith(f"{host}: {reason}") for host, reason in reasons.items()), found


def test_a_migration_goes_on_the_way_that_it_was_begun() -> None:
    rolling = known("prepare", strategy="rolling")
    views = {"pi-1": rolling, "pi-2": rolling}
    assert phase_obstacles(views, "transfer", "rolling") == {}
    found = phase_obstacles(views, "transfer", "parallel")
    assert found["pi-1"] == (
        "The migration was begun with the strategy rolling, and migration.strategy is parallel. "
        "Set it to rolling again, or roll back first"
    )
    assert set(found) == {"pi-1", "pi-2"}

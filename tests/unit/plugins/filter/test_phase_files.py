# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is run of a phase, by the journals of all Pis and by what has failed in this run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from conftest import import_plugin

journals = import_plugin("module_utils._core.journal")
phase_files = import_plugin("filter.phase_files").FilterModule().filters()["phase_files"]

BEFORE_CUTOVER = ("prepare", "transfer", "validate")
BEGUN, GOES_ON, REFUSED = ["phase_begun.yml"], ["phase_goes_on.yml"], ["phase_refused.yml"]


def known(*done: str, started: str = "", facts: dict[str, Any] | None = None) -> dict[str, Any]:
    journal = None
    for phase in done:
        journal = journals.marked(journal, phase, "done", {}, "m-1", journals.now(), "parallel")
    if started:
        journal = journals.marked(journal, started, "started", facts or {}, "m-1", journals.now(), "parallel")
    return {"raft_migration_journal_read": journals.known_by(journal)}


OPENED = known(*BEFORE_CUTOVER, started="cutover", facts={"opening": {}})
READY = known(*BEFORE_CUTOVER)
CUT_OVER = known(*BEFORE_CUTOVER, "cutover")


def files(hosts: list[dict[str, Any]], phase: str, configured: str = "parallel", **given: bool) -> list[str]:
    hostvars = {f"pi-{number}": variables for number, variables in enumerate(hosts, 1)}
    return phase_files(
        hostvars, hostvars, phase, configured, **{"confirmed": True, "predictable": True, "resumes": False, **given}
    )


@pytest.mark.parametrize(
    ("hosts", "phase", "wanted"),
    [
        ([known(), known()], "prepare", BEGUN),
        ([known("prepare"), known("prepare")], "prepare", []),
        ([known("prepare"), known()], "prepare", BEGUN),
        ([READY, READY], "cutover", BEGUN),
        ([known("prepare"), READY], "cutover", REFUSED),
        ([READY, known(*BEFORE_CUTOVER, started="rollback")], "cutover", REFUSED),
        ([READY, OPENED], "cutover", ["opened.yml", *BEGUN]),
        ([CUT_OVER, CUT_OVER], "cutover", []),
        ([READY, {"raft_migration_journal_read": {"unreachable": True}}], "cutover", REFUSED),
    ],
)
def test_what_is_run_of_a_phase(hosts: list[dict[str, Any]], phase: str, wanted: list[str]) -> None:
    assert files(hosts, phase) == wanted


def test_nothing_is_run_once_a_pi_has_failed() -> None:
    assert files([READY, {**READY, "raft_migration_failure": {"phase": "validate"}}], "cutover") == []


def test_a_phase_that_is_done_is_neither_confirmed_nor_predicted() -> None:
    assert files([CUT_OVER], "cutover", confirmed=False, predictable=False) == []


def test_an_unconfirmed_phase_is_not_refused() -> None:
    assert files([known()], "cutover", confirmed=False) == ["phase_unconfirmed.yml"]
    assert files([known()], "cutover", confirmed=False, predictable=False) == ["phase_unpredictable.yml"]


STARTED = known(*BEFORE_CUTOVER, started="cutover")


@pytest.mark.parametrize(
    ("hosts", "resumes", "wanted"),
    [
        ([STARTED, STARTED], False, GOES_ON),
        # An earlier run has started it: this one proves that no other has been at work since.
        ([STARTED, STARTED], True, BEGUN),
        ([STARTED, READY], False, BEGUN),
        # Its end was not recorded everywhere.
        ([STARTED, known("prepare", "transfer", started="validate")], False, REFUSED),
    ],
)
def test_a_phase_is_started_once(hosts: list[dict[str, Any]], resumes: bool, wanted: list[str]) -> None:
    assert files(hosts, "cutover", resumes=resumes) == wanted
    assert files(hosts, "cutover", resumes=resumes, confirmed=False) == ["phase_unconfirmed.yml"]


def test_another_strategy_is_refused() -> None:
    assert files([READY], "cutover", "rolling") == REFUSED


def test_the_variables_of_each_host_are_read_once() -> None:
    """Ansible puts them together anew at each look."""

    class Hostvars(dict):  # type: ignore[type-arg]
        looks: Counter[str] = Counter()

        def __getitem__(self, host: str) -> Any:
            self.looks[host] += 1
            return super().__getitem__(host)

    hostvars = Hostvars({"pi-1": READY, "pi-2": OPENED})
    phase_files(["pi-1", "pi-2"], hostvars, "cutover", "parallel", confirmed=True, predictable=True, resumes=False)
    assert hostvars.looks == {"pi-1": 1, "pi-2": 1}

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journals of all Pis say together, by which every Pi decides."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import import_plugin

journal = import_plugin("module_utils._core.journal")
recorded = import_plugin("filter.recorded").FilterModule().filters()["recorded"]

UNREACHABLE = {"unreachable": True, "msg": "no route to host"}


def result(*steps: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """What migration_journal returns after these steps, each a phase, its state and facts."""
    known = None
    for phase, state, facts in steps:
        known = journal.marked(known, phase, state, facts, "m-20260101T000000Z", "2026-01-01T00:00:00+00:00")
    return {"journal": known, "phase_states": journal.phase_states(known), "current": journal.current_phase(known)}


def states(**phases: str) -> dict[str, Any]:
    return result(*((phase, state, {}) for phase, state in phases.items()))


OPENED = {"opening": True, "fence": "network", "content_digest": "ab"}
CLAIMED = result(("cutover", "started", OPENED))
STARTED = states(cutover="started")
PAST = result(("cutover", "done", OPENED))


def with_rollback(facts: dict[str, Any]) -> dict[str, Any]:
    return result(("cutover", "started", OPENED), ("rollback", "started", facts))


@pytest.mark.parametrize("journals", [{}, {"pi-1": result(), "pi-2": UNREACHABLE}, {"pi-1": {}}])
def test_without_a_journal_nothing_has_begun(journals: dict[str, Any]) -> None:
    state = recorded(journals)
    by_host = ("turns", "handovers")
    assert not any(state[name] for name in state if name not in by_host)
    assert all(state[name] == {host: "waiting" for host in journals} for name in by_host)


def test_a_phase_is_done_when_every_pi_says_so() -> None:
    both, one = states(prepare="done", transfer="done"), states(prepare="done", transfer="started")
    assert recorded({"pi-1": both, "pi-2": both})["done"] == ["prepare", "transfer"]
    assert recorded({"pi-1": both, "pi-2": one})["done"] == ["prepare"]
    assert recorded({"pi-1": both, "pi-2": UNREACHABLE})["done"] == []
    assert recorded({"pi-1": both, "pi-2": result()})["done"] == []


@pytest.mark.parametrize("place", [0, 2])
def test_one_journal_is_enough_for_an_opening(place: int) -> None:
    journals = [STARTED, STARTED]
    journals.insert(place, CLAIMED)
    state = recorded(dict(zip(["pi-1", "pi-2", "pi-3"], journals)))
    assert (state["opening"], state["opening_hosts"]) == (True, [f"pi-{place + 1}"])
    assert state["cutover"] == OPENED
    assert recorded({"pi-1": STARTED})["opening"] is False
    assert recorded({"pi-1": STARTED})["cutover"] == {}


@pytest.mark.parametrize(
    ("journals", "unproven"),
    [
        ([CLAIMED, STARTED], True),
        ([PAST, PAST], False),
        ([PAST, STARTED], True),
        ([CLAIMED, UNREACHABLE], True),
        ([with_rollback({"id": "x"}), CLAIMED], True),
        ([with_rollback({"taken": {}}), CLAIMED], False),
        ([with_rollback({"opening": True}), CLAIMED], False),
        ([STARTED, STARTED], False),
    ],
)
def test_an_opening_needs_proof_unless_all_recorded_it(journals: list[Any], unproven: bool) -> None:
    assert recorded({f"pi-{number}": found for number, found in enumerate(journals)})["opening_unproven"] is unproven


def test_what_a_rollback_has_written_down_on_any_pi_counts() -> None:
    state = recorded(
        {
            "pi-1": with_rollback({"id": "x", "way": "turns", "turn": "started"}),
            "pi-2": with_rollback({"opening": True}),
            "pi-3": STARTED,
        }
    )
    assert state["rollback_begun"]
    assert state["rollback"] == {"id": "x", "way": "turns", "turn": "started", "opening": True}
    assert (state["by_turns"], state["units_opened"]) == (True, True)
    assert state["turns"] == {"pi-1": "started", "pi-2": "waiting", "pi-3": "waiting"}
    together = recorded({"pi-1": with_rollback({"way": "together"})})
    assert (together["by_turns"], together["units_opened"]) == (False, False)


def test_one_pod_that_may_have_moved_is_enough() -> None:
    assert recorded({"pi-1": STARTED, "pi-2": states(port_migration="started")})["ports_moved"]
    assert not recorded({"pi-1": STARTED})["ports_moved"]
    # The entry that ends the shutdown starts the ports, and one Pi has not written it.
    both = states(systemd_shutdown="done", port_migration="started")
    assert not recorded({"pi-1": both, "pi-2": states(systemd_shutdown="started")})["ports_moved"]
    assert recorded({"pi-1": both, "pi-2": states(systemd_shutdown="done")})["ports_moved"]


def test_the_first_journal_with_a_name_names_the_migration() -> None:
    unnamed: dict[str, Any] = {"journal": {"migration_id": None, "phases": {}}, "phase_states": {}}
    assert recorded({"pi-1": unnamed, "pi-2": STARTED})["migration_id"] == "m-20260101T000000Z"
    assert recorded({"pi-1": unnamed})["migration_id"] == ""


@pytest.mark.parametrize(
    ("facts", "removed", "kept"),
    [
        ({"archive": "removed", "why": None}, True, []),
        ({"archive": "made", "why": None}, False, []),
        ({"archive": "kept in place", "why": "/data is a mount point"}, False, ["/data is a mount point"]),
        ({}, False, []),
    ],
)
def test_a7_p6_one_journal_is_enough_for_what_became_of_an_archive(
    facts: dict[str, Any], removed: bool, kept: list[str]
) -> None:
    state = recorded(
        {"pi-1": states(cleanup="started"), "pi-2": result(("cleanup", "started", facts)), "pi-3": UNREACHABLE}
    )
    assert (state["archive_removed"], state["archive_kept"]) == (removed, kept)


def rolling(turn: str | None, *steps: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """The journal of a Pi in a migration Pi by Pi, with its turn and what came after."""
    facts = {"turn": turn} if turn else {}
    known = journal.marked(None, "cutover", "started", facts, "m-1", "2026-01-01T00:00:00+00:00", "rolling")
    for phase, state, more in steps:
        known = journal.marked(known, phase, state, more, "m-1", "2026-01-01T00:00:00+00:00")
    return {"journal": known, "phase_states": journal.phase_states(known)}


def test_the_turns_of_a_migration_are_those_of_each_pi() -> None:
    state = recorded(
        {"pi-1": rolling("done"), "pi-2": rolling("started"), "pi-3": rolling(None), "pi-4": rolling("waiting")}
    )
    assert state["strategy"] == "rolling"
    assert state["handovers"] == {"pi-1": "done", "pi-2": "started", "pi-3": "waiting", "pi-4": "waiting"}
    assert state["handed_over"] == ["pi-1", "pi-2"]


def test_in_a_rollback_only_pis_that_may_have_a_pod_have_a_turn() -> None:
    """One that was left in the middle of its turn is in the middle of it again, so it comes first."""
    state = recorded({"pi-1": rolling("done"), "pi-2": rolling("started"), "pi-3": rolling(None)})
    assert state["turns"] == {"pi-1": "waiting", "pi-2": "started", "pi-3": "done"}
    back = rolling("started", ("rollback", "started", {"turn": "done"}))
    assert recorded({"pi-1": rolling("done"), "pi-2": back})["turns"] == {"pi-1": "waiting", "pi-2": "done"}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from conftest import import_plugin

doubts = import_plugin("filter.opening_doubts").opening_doubts
CUTOVER = {"old_term": 7, "content_digest": "cafe"}


@pytest.mark.parametrize(
    ("term", "digest", "doubted"),
    [
        (7, "cafe", False),
        # A follower of the published daemon keeps rows of its own, and led at no time.
        (7, "beef", False),
        # Elected, but no client has written.
        (8, "cafe", False),
        (8, "beef", True),
        (8, None, True),
        # It does not run.
        (None, "cafe", False),
    ],
)
def test_a_unit_elected_since_with_other_content_is_in_doubt(term, digest, doubted):
    units = {"pi-1": {"term": 7}, "pi-2": {"term": term} if term else {"failed": True}}
    contents = {"pi-1": {"digest": "cafe"}, "pi-2": {"digest": digest} if digest else {"msg": "no such file"}}
    found = doubts(units, contents, CUTOVER)

    assert len(found) == int(doubted)
    assert not doubted or found[0].startswith("the unit on pi-2 is in term 8 and holds content ")


def test_a_pi_that_was_not_asked_says_nothing():
    assert doubts({"pi-1": {}}, {"pi-2": {"digest": "cafe"}}, CUTOVER) == []


@pytest.mark.parametrize("contents", [{}, {"pi-1": {"msg": "locked"}}, {"pi-1": {"digest": "beef"}}])
@pytest.mark.parametrize("view", [{}, {"failed": True}, {"term": 7}])
def test_p5_where_no_unit_holds_the_openings_content_all_are_in_doubt(view, contents):
    """One that took a write may have been stopped since, or may not answer."""
    (text,) = doubts({"pi-1": view}, contents, CUTOVER)
    assert "at the opening the units held content cafe, which none holds now" in text


def test_a_unit_that_a_rollback_has_restored_took_no_write():
    units = {"pi-1": unit(9, 50, "leader"), "pi-2": unit(9, 50)}
    contents = {"pi-1": {"digest": "d00d"}, "pi-2": {"digest": "d00d"}}
    assert doubts(units, contents, CUTOVER, ["d00d"]) == []
    assert len(doubts(units, contents, CUTOVER)) == 1


def unit(term: int, applied: int | None, role: str = "follower") -> dict[str, object]:
    others = [{"id": "pi-9", "reachable": False, "applied_index": None, "role": None}]
    return {
        "term": term,
        "members": [*others, {"id": "own", "reachable": True, "applied_index": applied, "role": role}],
    }


@pytest.mark.parametrize(
    ("own", "holds", "doubted"),
    [
        # It has what came after.
        (41, "beef", True),
        # Behind since before the cutover.
        (39, "beef", False),
        (40, "beef", False),
        # An election, and no write.
        (41, "cafe", False),
        (None, "beef", False),
        (41, None, False),
    ],
)
def test_p5_a_unit_of_the_term_that_has_applied_more_is_in_doubt(own, holds, doubted):
    """Without a fence the old leader takes writes as before, in the same term; a unit that is away still holds what was there before."""
    units = {"pi-1": unit(7, own), "pi-2": unit(7, 40)}
    contents = {"pi-1": {"digest": holds} if holds else {"msg": "locked"}, "pi-2": {"digest": "cafe"}}
    assert [text[:16] for text in doubts(units, contents, CUTOVER)] == ["the unit on pi-1"] * doubted


def test_an_index_that_is_not_known_of_either_says_nothing():
    units = {"pi-1": unit(7, 41), "pi-2": {"failed": True}}
    contents = {"pi-1": {"digest": "beef"}, "pi-2": {"digest": "cafe"}}
    assert doubts(units, contents, CUTOVER) == []


@pytest.mark.parametrize(("role", "doubted"), [("leader", True), ("follower", False)])
@pytest.mark.parametrize("seen", [{"digest": "beef"}, {"msg": "locked"}])
def test_the_leader_of_that_term_held_what_was_written_down(role, doubted, seen):
    """A unit that was stopped meanwhile still holds it, and does not say how far it came."""
    units = {"pi-1": unit(7, 41, role), "pi-2": {"failed": True}}
    contents = {"pi-1": seen, "pi-2": {"digest": "cafe"}}
    assert bool(doubts(units, contents, CUTOVER)) is doubted

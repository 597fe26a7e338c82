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
    assert doubts({"pi-1": {}}, {}, CUTOVER) == []

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who answers for a leader's Pi in a cutover that fences on the network: never one whose own clients are led to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

# Every pair of leaders there can be in clusters of up to three, and of five.
CASES = [
    {"raft_migration_peers": peers, "raft_migration_old_leader": old, "raft_migration_new_leader": new}
    for peers in ([f"pi-{number}" for number in range(1, size + 1)] for size in (1, 2, 3, 5))
    for old, new in itertools.product(peers, peers)
]


# Ansible's filters for sets give their result in the order of the hashes, another one in every run.
@pytest.mark.parametrize("seed", ["1", "2"])
def test_no_two_pis_lead_their_clients_to_each_other(evaluate: Callable[..., list[Any]], seed: str) -> None:
    both = ["{{ raft_migration_old_stand_in }}", "{{ raft_migration_new_stand_in }}"]
    chosen = evaluate("cutover", both, CASES, PYTHONHASHSEED=seed)
    assert len(chosen) == len(CASES)
    for case, (for_old, for_new) in zip(CASES, chosen):
        peers, old, new = case.values()
        neither = [peer for peer in peers if peer not in (old, new)]
        others = [peer for peer in peers if peer != old]
        assert for_old == (neither + others + [""])[0], case
        assert for_new == (neither + [""])[0], case
        # The old leader's Pi leads away until it is flipped, and the new leader's may be flipped before it.
        assert old == new or (for_old, for_new) != (new, old), case

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose pod counts as moved when a port migration is gone on with: it is let in before any other pod is taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT, import_plugin

OLD, NEW, OTHER = "10.77.0.1:9092", "10.77.0.1:9091", "10.77.0.11:9091"
# What the list of members has for this Pi, who leads, and whether its pod has moved.
MOVED: list[tuple[str | None, str, bool]] = [
    (OLD, OLD, False),
    (OLD, OTHER, False),
    (NEW, OTHER, True),
    (NEW, NEW, True),
    (OLD, NEW, True),  # stopped before its member was changed, and elected since
    (None, OTHER, False),  # stopped between removing and adding it
]


def case(member: str | None, leader: str) -> dict[str, Any]:
    members = [{"address": address} for address in (OTHER, member) if address]
    return {
        "raft_migration": {"standard_ports": {"raft": 9091}},
        "raft_migration_address": "10.77.0.1",
        "raft_migration_clusters": {"new": {"leader": {"address": leader}, "members": members}},
    }


def test_a_moved_pod_is_known_by_its_member_or_leadership(evaluate: Callable[..., list[Any]]) -> None:
    tasks = yaml.safe_load((CHECKOUT / "roles/port_migration/tasks/order.yml").read_text())
    (place,) = [task for task in tasks if "raft_migration_pod_place" in task.get("ansible.builtin.set_fact", {})]
    expression = place["ansible.builtin.set_fact"]["raft_migration_pod_place"]["moved"]
    cases = [case(member, leader) for member, leader, _moved in MOVED]
    assert evaluate("port_migration", expression, cases, place) == [moved for _member, _leader, moved in MOVED]


def pods(moved: tuple[str, ...] = (), unreached: tuple[str, ...] = ()) -> dict[str, dict[str, bool]]:
    return {pi: {"moved": pi in moved, "reached": pi not in unreached} for pi in ("pi-1", "pi-2", "pi-3")}


@pytest.mark.parametrize(
    ("places", "leader", "order"),
    [
        (pods(), "pi-1", ["pi-2", "pi-3", "pi-1"]),
        (pods(), "pi-3", ["pi-1", "pi-2", "pi-3"]),
        # Left with its gate shut, also where it leads by now.
        (pods(moved=("pi-3",)), "pi-1", ["pi-3", "pi-2", "pi-1"]),
        (pods(moved=("pi-1",)), "pi-1", ["pi-1", "pi-2", "pi-3"]),
        # Left without a member.
        (pods(unreached=("pi-3",)), "pi-1", ["pi-3", "pi-2", "pi-1"]),
        (pods(moved=("pi-3",), unreached=("pi-2",)), "pi-1", ["pi-3", "pi-2", "pi-1"]),
        # A leader is not one that the leader does not reach.
        (pods(unreached=("pi-1",)), "pi-1", ["pi-2", "pi-3", "pi-1"]),
    ],
)
def test_half_way_first_then_followers_the_leader_last(
    places: dict[str, dict[str, bool]], leader: str, order: list[str]
) -> None:
    port_order = import_plugin("filter.port_order").FilterModule().filters()["port_order"]
    assert port_order(places, leader) == order

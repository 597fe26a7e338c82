# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose pod counts as moved when a port migration is gone on with: it is let in before any other pod is taken away."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import import_plugin

module = import_plugin("module_utils._raft.port_order")
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


@pytest.mark.parametrize(("member", "leader", "moved"), MOVED)
def test_a_moved_pod_is_known_by_its_member_or_leadership(member: str | None, leader: str, moved: bool) -> None:
    members = [{"address": address, "in_contact": True, "url": None} for address in (OTHER, member) if address]
    looks = {"pi-1": {"leader": {"address": leader, "host": "pi-1"}, "members": members}}
    assert module.port_turns(looks, {"pi-1": "10.77.0.1"}, 9091, 8080) == [{"host": "pi-1", "moved": moved}]


def test_each_pi_is_where_it_says_and_the_first_says_who_leads() -> None:
    addresses = {"pi-1": "10.77.0.11", "pi-2": "fd00:0::12", "pi-3": "10.77.0.13"}

    def look(host: str, own: str, in_contact: bool, leader: str) -> dict[str, Any]:
        member = {"address": own, "in_contact": in_contact, "url": None}
        return {"leader": {"address": own, "host": leader}, "members": [member]}

    looks = {
        "pi-1": look("pi-1", "10.77.0.11:9092", True, "pi-1"),
        "pi-2": look("pi-2", "[fd00::12]:9091", True, "pi-2"),
        "pi-3": look("pi-3", "10.77.0.13:9092", False, "pi-2"),
    }
    turns = module.port_turns(looks, addresses, 9091, 8080)
    assert turns == [
        {"host": "pi-2", "moved": True},
        {"host": "pi-3", "moved": False},
        {"host": "pi-1", "moved": False},
    ]


@pytest.mark.parametrize("half_way", [True, False])
@pytest.mark.parametrize("family", [4, 6])
def test_a_moved_pod_that_is_listed_where_it_was_comes_first(half_way: bool, family: int) -> None:
    """Its old port is routed to the new one, so the leader reaches it. A run that died there has left its gate shut."""
    hosts = {f"pi-{number}": f"10.77.0.1{number}" if family == 4 else f"fd00::1{number}" for number in (1, 2, 3)}
    at = {host: address if family == 4 else f"[{address}]" for host, address in hosts.items()}
    looks = {}
    for host in hosts:
        members = [
            {
                "address": f"{at[other]}:9092",
                "in_contact": True,
                # From any other Pi its standard port is routed to its neighbour.
                "url": f"http://{at[other]}:{8080 if (other, host, half_way) == ('pi-3', 'pi-3', True) else 8082}",
            }
            for other in hosts
        ]
        looks[host] = {"leader": {"address": f"{at['pi-1']}:9092", "host": "pi-1"}, "members": members}
    order = [turn["host"] for turn in module.port_turns(looks, hosts, 9091, 8080)]
    assert order == (["pi-3", "pi-2", "pi-1"] if half_way else ["pi-2", "pi-3", "pi-1"])


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
    assert module.port_order(places, leader) == order

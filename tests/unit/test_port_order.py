# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose pod counts as moved when a port migration is gone on with: it is let in before any other pod is taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from conftest import CHECKOUT

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


def test_a_pod_has_moved_where_its_member_says_so_or_where_it_leads_from(evaluate: Callable[..., list[Any]]) -> None:
    tasks = yaml.safe_load((CHECKOUT / "roles/port_migration/tasks/order.yml").read_text())
    facts = {name: value for task in tasks for name, value in task.get("ansible.builtin.set_fact", {}).items()}
    found = evaluate("port_migration", facts["raft_migration_pod_moved"], [case(member, leader) for member, leader, _moved in MOVED])
    assert found == [moved for _member, _leader, moved in MOVED]

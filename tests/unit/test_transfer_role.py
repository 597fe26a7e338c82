# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members the second cluster gets, and what transfer waits for before it begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

TASKS = CHECKOUT / "roles/transfer/tasks"
MEMBERSHIP = "pi_controller.raft_migration.raft_membership"


def read(name: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = yaml.safe_load((TASKS / f"{name}.yml").read_text())
    return tasks


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        (
            {"pi-1": "10.77.0.11:9091", "pi-2": "10.77.0.12:9091", "pi-3": "[fd00::3]:9091"},
            {"pi-1": "10.77.0.11:9092", "pi-3": "[fd00::3]:9092"},
        ),
        ({"pi-2": "10.77.0.12:9091"}, {}),
    ],
)
def test_the_others_join_with_their_old_ids(
    evaluate: Callable[..., list[Any]], members: dict[str, str], wanted: dict[str, str]
) -> None:
    (join,) = read("join")
    case = {
        "raft_migration_clusters": {
            "old": {"members": [{"id": name, "address": address, "voter": True} for name, address in members.items()]},
            "new": {"leader": {"id": "pi-2"}},
        },
        "raft_migration": {"temporary_ports": {"raft": 9092}},
    }
    assert evaluate("cluster", join[MEMBERSHIP]["members"], [case], join) == [wanted]


def test_one_look_at_both_clusters_begins_it(evaluate: Callable[..., list[Any]]) -> None:
    """The old one is healthy. The pods answer: a cluster they may not be yet."""
    first = read("main")[0]
    assert first["ansible.builtin.import_role"]["tasks_from"] == "look_both"
    (look,) = yaml.safe_load((CHECKOUT / "roles/cluster/tasks/look_both.yml").read_text())
    old, new = look["pi_controller.raft_migration.raft_info"]["clusters"]
    known = {"raft_migration_strategy": "parallel", "raft_migration_peers": ["pi-1"]}
    cases = [{**known, **first["vars"]}, known]
    healthy = {"leader": True, "learners": False, "voters": 1, "caught_up": True}
    assert evaluate("cluster", old["wait_for"], cases) == [healthy, healthy]
    assert evaluate("cluster", new["wait_for"], cases) == [{"answered": True}, healthy]

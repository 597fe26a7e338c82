# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn is next on the way back Pi by Pi, and when that way is taken at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

PIS = ["pi-1", "pi-2", "pi-3"]
ADDRESSES = dict(zip(PIS, ["10.77.0.11", "10.77.0.12", "10.77.0.13"]))
RAFT = {pi: f"{address}:9091" for pi, address in ADDRESSES.items()}


def case(turns: dict[str, str], leader: str | None, last: str = "", view: Any = None) -> dict[str, Any]:
    """Three Pis; `turns` has the states in their journals, `last` the Pi whose turn has just ended."""
    seen = view or {"leader": {"address": RAFT[leader]} if leader else None}
    return {
        "raft_migration_peers": PIS,
        "raft_migration_addresses": list(ADDRESSES.values()),
        "raft_migration": {"standard_ports": {"raft": 9091}, "archive_path": "/archive"},
        "raft_migration_recorded": {"turns": {pi: turns.get(pi, "waiting") for pi in PIS}, "rollback": {}},
        # None is as good as not yet chosen.
        "raft_migration_in_turn": last,
        "raft_migration_turn_views": {pi: seen for pi in PIS},
    }


ORDER = [
    (case({}, "pi-1"), "pi-2"),
    (case({}, "pi-2"), "pi-1"),
    # Leadership has moved since: whoever leads now waits.
    (case({"pi-1": "started"}, "pi-2", last="pi-1"), "pi-3"),
    (case({"pi-1": "done", "pi-3": "started"}, "pi-2", last="pi-3"), "pi-2"),
    # Left in its turn by an earlier run, also where it leads or nobody does.
    (case({"pi-1": "done", "pi-3": "started"}, "pi-1"), "pi-3"),
    (case({"pi-3": "started"}, "pi-3"), "pi-3"),
    (case({"pi-3": "started"}, None), "pi-3"),
    # Killed while it wrote down the end of one turn and the start of the next.
    (case({"pi-1": "started", "pi-2": "started"}, "pi-3"), "pi-1"),
    (case({"pi-1": "started", "pi-2": "started"}, "pi-3", last="pi-1"), "pi-2"),
]


@pytest.fixture
def decide(tmp_path: Path, ansible_playbook: str) -> Callable[[str, list[dict[str, Any]]], list[Any]]:
    """What an expression comes to with the variables of the role, those of a case in place of what hosts have registered."""

    def run(expression: str, cases: list[dict[str, Any]]) -> list[Any]:
        role = yaml.safe_load((CHECKOUT / "roles/rollback/vars/main.yml").read_text())
        fact = {"found": "{{ found | default([]) + [decided] }}"}
        tasks = [{"ansible.builtin.set_fact": fact, "vars": {**role, **case, "decided": expression}} for case in cases]
        told = {"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": "{{ playbook_dir }}/found.json", "mode": "0600"}}
        (tmp_path / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [*tasks, told]}]))
        command = [ansible_playbook, "play.json", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
        done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        return json.loads((tmp_path / "found.json").read_text())

    return run


def test_half_way_first_then_followers_the_leader_last(decide: Callable[..., list[Any]]) -> None:
    tasks = yaml.safe_load((CHECKOUT / "roles/rollback/tasks/turn.yml").read_text())
    chosen = next(task["ansible.builtin.set_fact"] for task in tasks if "ansible.builtin.set_fact" in task)
    assert decide(chosen["raft_migration_in_turn"], [case for case, _wanted in ORDER]) == [wanted for _case, wanted in ORDER]


def looked(view: dict[str, Any], takeover: dict[str, Any] | None = None, daemonset: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the looks before the choice have registered; pi-2 has the given takeover."""
    return {
        **case({}, "pi-1"),
        "raft_migration_takeovers": [{"changed": True}, takeover or {"changed": True}, {"changed": True}],
        "raft_migration_daemonset_seen": daemonset or {"changed": True},
        "raft_migration_view": view,
    }


def members(port: int = 9091) -> dict[str, Any]:
    return {"members": [{"id": pi, "address": f"{address}:{port}"} for pi, address in ADDRESSES.items()]}


IN_THE_WAY = [
    (looked(members()), None),
    (looked(members(), takeover={"msg": "on different file systems"}), "on different file systems"),
    (looked(members(), daemonset={"msg": "there is no DaemonSet"}), "there is no DaemonSet"),
    (looked({**members(), "msg": "caught_up: pi-3"}), "caught_up: pi-3"),
    # One that has no answer at all has no members either.
    (looked({"msg": "no URL answers"}), "no URL answers"),
    (looked(members(port=9092)), "the members are at 10.77.0.11:9092"),
]


def test_pods_and_units_go_together_where_anything_is_in_the_way(decide: Callable[..., list[Any]]) -> None:
    for found, (_case, reason) in zip(decide("{{ raft_migration_not_by_turns }}", [case for case, _reason in IN_THE_WAY]), IN_THE_WAY):
        assert len(found) == (reason is not None), found
        assert reason is None or reason in found[0]

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cutover's leases: which is set before which, how long each lasts, and that nothing in the pause is without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

TASKS = CHECKOUT / "roles/cutover/tasks"
GATE = "pi_controller.raft_migration.traffic_gate"
LEASE = "pi_controller.raft_migration.cutover_lease"
CARRY = "pi_controller.raft_migration.raft_carry"


def listed(path: str, skip: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """The tasks of a file of the role in their order, with those of the files that it takes in."""
    for task in yaml.safe_load((TASKS / path).read_text()):
        taken_in = task.get("ansible.builtin.import_tasks") or task.get("ansible.builtin.include_tasks")
        if taken_in and taken_in not in skip:
            yield from listed(taken_in, skip)
        else:
            yield task


def places(fence: str) -> list[dict[str, Any]]:
    """What a run does from arming the lease to the opening."""
    return [*listed("arm.yml"), *listed(f"pause_{fence}.yml"), *listed("permanent.yml"), *listed(f"open_{fence}.yml")]


def switch(fence: str) -> list[dict[str, Any]]:
    """The files of a switch in their order, each an import."""
    (task,) = yaml.safe_load((TASKS / f"switch_{fence}.yml").read_text())
    assert [name for name in task if name != "name"] == ["block", "rescue"]
    block: list[dict[str, Any]] = task["block"]
    return block


@pytest.mark.parametrize("fence", ["network", "read-only"])
def test_gates_are_leases_before_the_commit_and_stay_after_it(fence: str) -> None:
    tasks = places(fence)
    (commit,) = [number for number, task in enumerate(tasks) if task.get(LEASE, {}).get("state") == "committed"]
    gates = [(number, task[GATE]) for number, task in enumerate(tasks) if GATE in task]
    assert [number for number, gate in gates if number < commit and "lease" not in gate] == []
    assert [number for number, gate in gates if number < commit and gate.get("persist")] == []
    assert [number for number, gate in gates if number > commit and gate.get("persist") is not True] == []
    assert len([number for number, _gate in gates if number > commit]) == (2 if fence == "network" else 1)


@pytest.mark.parametrize("fence", ["network", "read-only"])
def test_the_clock_is_before_the_lease_and_the_lease_before_the_fence(fence: str) -> None:
    tasks = places(fence)

    def place(found: Callable[[dict[str, Any]], bool]) -> int:
        (number, *_more) = [number for number, task in enumerate(tasks) if found(task)]
        return number

    clock = place(lambda task: task.get("register") == "raft_migration_gate_checked")
    armed = place(lambda task: task.get(LEASE, {}).get("state") == "armed")
    fenced = place(lambda task: CARRY in task or (GATE in task and not task.get("check_mode")))
    assert clock < armed < fenced
    assert tasks[clock]["check_mode"] is True
    assert "run_once" not in tasks[clock]
    assert "run_once" not in tasks[armed]
    assert not any("unit_state" in str(key) for task in tasks for key in task), "the lease disables the unit"


@pytest.mark.parametrize("fence", ["network", "read-only"])
def test_all_waits_are_over_before_the_clock_is_read(fence: str) -> None:
    """The Service, the proxies and the pods: none of them is time that a redirection has. No file is included while writes wait."""
    files = [task["ansible.builtin.import_tasks"] for task in switch(fence)]
    assert files == [f"before_fence_{fence}.yml", "arm.yml", f"pause_{fence}.yml"]
    assert "include_tasks" not in str([*listed(files[1]), *listed(files[2])])


def test_the_commit_looks_at_the_lock_without_asking_anyone() -> None:
    (commit,) = yaml.safe_load((TASKS / "commit.yml").read_text())
    here, held = commit["when"]
    assert here == "inventory_hostname == raft_migration_clusters.old.leader.host", "only that Pi looks"
    assert "quorum_alert', raft_migration_watch_dir, kinds=['lock_lost'], lock=true) is mapping" in held


def test_what_follows_the_commit_is_never_undone() -> None:
    """Outside of the block whose rescue opens the old side."""
    fences = ("network", "read-only")
    files = [task["ansible.builtin.import_tasks"] for fence in fences for task in switch(fence)]
    inside = [task for path in files for task in listed(path)]
    *before, after = yaml.safe_load((TASKS / "main.yml").read_text())
    main = [task["name"] for task in (*before, *after["block"])]
    assert len(inside) > len(files)
    assert [task["name"] for task in inside if task.get(GATE, {}).get("persist")] == []
    switched = main.index("Move clients to the pods, or prove that they may be opened")
    assert switched < main.index("Make the redirections permanent")
    assert main.index("Make the redirections permanent") < main.index("Open where the daemons refused writes")


def test_redirections_end_before_the_fence_and_commits_before_both(evaluate: Callable[..., list[Any]]) -> None:
    cases = [{"raft_migration": {"timeouts_seconds": {"cutover_timeout": seconds}}} for seconds in (1, 30, 300)]
    found = evaluate("cutover", "{{ raft_migration_lease }}", cases)
    assert [{name: float(value) for name, value in lease.items()} for lease in found] == [
        pytest.approx({"fence": seconds, "redirection": 0.9 * seconds, "commit": 0.8 * seconds})
        for seconds in (1, 30, 300)
    ]


def clusters(fence: str, leader: str) -> dict[str, Any]:
    detour = {"state": "forwarded", "forward_to": "192.0.2.13"}
    return {"fence": fence, "old": {"leader": {"host": "pi-1"}}, "new": {"leader": {"host": leader}, "detour": detour}}


def test_with_the_network_as_fence_the_new_leaders_pi_is_left_out(
    evaluate: Callable[..., list[Any]],
) -> None:
    cases = [
        {"raft_migration_clusters": clusters(fence, leader)}
        for fence in ("network", "read-only")
        for leader in ("localhost", "pi-2")
    ]
    redirected = {"state": "redirected"}
    assert evaluate("cutover", "{{ raft_migration_flipped }}", cases) == [
        {"state": "forwarded", "forward_to": "192.0.2.13"},
        redirected,
        redirected,
        redirected,
    ]


@pytest.mark.parametrize(
    ("fence", "committed", "state"),
    [
        ("network", True, "forwarded"),
        ("read-only", True, "redirected"),
        # A later run knows no cluster.
        ("network", False, "fenced"),
        ("read-only", False, "redirected"),
    ],
)
def test_redirections_become_permanent_in_this_run_or_a_later_one(
    evaluate: Callable[..., list[Any]], fence: str, committed: bool, state: str
) -> None:
    (task,) = listed("permanent.yml")
    known: dict[str, Any] = {"raft_migration_recorded": {"cutover": {"fence": fence}}}
    if committed:
        known |= {
            "raft_migration_committed": {"changed": True},
            "raft_migration_clusters": clusters(fence, "localhost"),
        }
    assert task[GATE]["lease"] == {"held": True}
    assert evaluate("cutover", task[GATE]["state"], [known], task) == [state]

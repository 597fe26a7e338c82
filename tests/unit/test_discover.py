# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Pis stop a run at once because their journal could not be read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from conftest import CHECKOUT

READ = {"phase_states": {"prepare": "done"}}
UNREACHABLE = {"unreachable": True, "msg": "no route to host"}
FAILED = {"failed": True, "msg": "the journal is not JSON"}


class Case(NamedTuple):
    """What the task comes upon, and what it must and must not stop with; nothing it must stop with is a run that goes on."""

    journals: dict[str, dict]
    stops: list[str]
    stops_not: list[str] = []
    variables: dict[str, Any] = {}


def read(name: str) -> dict:
    return {"phase_states": {}, "journal": {"migration_id": name, "phases": {}, "events": []}}


def read_id(journal: dict) -> str:
    return (journal.get("journal") or {}).get("migration_id", "")


LATER = {"raft_migration_unreachable_reported_later": True}
OTHER = ["Is this the inventory you meant?"]
BEGUN = {"raft_migration_recorded": {"migration_id": "m-1", "begun": True}}
NO_API = {"raft_migration_found_nodes": {"failed": True, "msg": "the Kubernetes API is unreachable"}}
# Each has hosts of its own: the run has a play for each case.
CASES = {
    "two are missing": Case(
        {"a-1": READ, "a-2": UNREACHABLE, "a-3": FAILED},
        ["The journal of a-2, a-3 could not be read", "no route to host"],
    ),
    "one that is unreachable is reported later": Case(
        {"b-1": READ, "b-2": UNREACHABLE, "b-3": FAILED},
        ["The journal of b-3 could not be read"],
        ["no route to host"],
        LATER,
    ),
    "all that are missing are reported later": Case({"c-1": READ, "c-2": UNREACHABLE}, [], [], LATER),
    "none is missing": Case({"d-1": READ, "d-2": READ}, []),
    "cluster_id fits": Case({"e-1": read("home-20261129T010203Z")}, [], [], {"cluster_id": "home"}),
    "cluster_id is no pattern": Case({"f-1": read("home-20261129T010203Z")}, OTHER, [], {"cluster_id": "home."}),
    "cluster_id is of another": Case({"g-1": read("home-2-20261129T010203Z")}, OTHER, [], {"cluster_id": "home"}),
    "cluster_id before a migration": Case({"h-1": READ}, [], [], {"cluster_id": "home"}),
    "cluster_id is not valid": Case({"i-1": READ}, OTHER, [], {"cluster_id": "../home"}),
    "journals disagree": Case(
        {"j-1": read("m-1"), "j-2": read("m-2")},
        ["Look at /var/backups/migration/journal.json on these Pis"],
        ["could not be read"],
    ),
    # With the inventory's names the DaemonSet would have no pod on any of these Pis.
    "nodes are not known in a migration": Case(
        {"k-1": READ, "k-2": READ},
        ["The Kubernetes node of k-1, k-2 is not known (the Kubernetes API is unreachable)"],
        [],
        {**BEGUN, **NO_API},
    ),
    "one node is not known in a migration": Case(
        {"l-1": READ, "l-2": READ},
        ["The Kubernetes node of l-2 is not known (no node has its name"],
        [],
        {**BEGUN, "raft_migration_found_nodes": {"names": {"l-1": "node-1"}}},
    ),
    "nodes are not known before a migration": Case({"m-1": READ}, [], [], NO_API),
    "nodes are not known, and it only looks": Case(
        {"n-1": READ}, [], [], {**BEGUN, **NO_API, "raft_migration_only_looks": True}
    ),
    "the owner has named the nodes": Case(
        {"o-1": READ},
        [],
        [],
        {**BEGUN, "pi_controller_node_name": "node-1", "raft_migration_found_nodes": {"skipped": True}},
    ),
}


def test_missing_or_foreign_journals_stop_the_run(
    tmp_path: Path, ansible_playbook: str, keep: Callable[[str, Path], dict[str, Any]]
) -> None:
    """All cases in one run: a play with hosts of its own for each, which writes down what the task stopped with."""
    tasks = yaml.safe_load((CHECKOUT / "roles/run/tasks/discover.yml").read_text())
    (task,) = (task for task in tasks if task["name"] == "Check that the journals of all Pis are of this migration")
    plays, groups = [], {}
    for number, (name, case) in enumerate(CASES.items()):
        end = tmp_path / f"ended-{number}"
        tried = [{"block": [task, keep("", end)], "rescue": [keep("{{ ansible_failed_result.msg }}", end)]}]
        plays.append({"name": name, "hosts": f"case_{number}", "gather_facts": False, "tasks": tried})
        variables = {
            "raft_migration_hosts": "pis",
            "raft_migration_peers": list(case.journals),
            "raft_migration": {"backup_path": "/var/backups/migration"},
            "raft_migration_unreachable_reported_later": False,
            "ansible_python_interpreter": sys.executable,
            "raft_migration_recorded": {"migration_id": read_id(next(iter(case.journals.values()))), "begun": False},
            **case.variables,
        }
        hosts = {host: {"raft_migration_journal_read": journal} for host, journal in case.journals.items()}
        groups[f"case_{number}"] = {"hosts": hosts, "vars": variables}
    (tmp_path / "play.json").write_text(json.dumps(plays))
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"children": groups}}))
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections")}
    command = [ansible_playbook, "play.json", "-i", "hosts.json", "-c", "local"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    ended = {name: tmp_path / f"ended-{number}" for number, name in enumerate(CASES)}
    # Not the code that Ansible ends with: a task of `run_once` that fails and is rescued leaves the other hosts failed.
    assert [name for name, path in ended.items() if not path.exists()] == [], done.stdout + done.stderr

    found = {name: path.read_text() for name, path in ended.items()}
    wrong = {
        name: found[name]
        for name, case in CASES.items()
        if bool(found[name]) != bool(case.stops)
        or not all(text in found[name] for text in case.stops)
        or any(text in found[name] for text in case.stops_not)
    }
    assert wrong == {}


def test_no_fact_is_put_together_before_what_it_is_made_of() -> None:
    """A task sets its facts at once, and each is made of what was known before. One that a later task needs new is set by itself."""
    definitions: dict[str, Any] = {}
    for role in ("cluster", "run"):
        definitions |= yaml.safe_load((CHECKOUT / f"roles/{role}/vars/main.yml").read_text())
    tasks = yaml.safe_load((CHECKOUT / "roles/run/tasks/discover.yml").read_text())
    (task,) = (task for task in tasks if task["name"] == "Set the migration's ID, this Pi's node and its endpoint")
    facts = task["ansible.builtin.set_fact"]
    kept = {name for name, value in facts.items() if value == f"{{{{ {name} }}}}"}
    new = facts.keys() - kept - task["vars"].keys()

    def made_of(name: str) -> set[str]:
        words = set(re.findall(r"raft_migration_\w+", json.dumps(definitions.get(name, ""))))
        return words.union(*(made_of(word) for word in words))

    assert {"raft_migration_strategy", "raft_migration_gate_ports"} <= kept
    assert "raft_migration_node" in new
    assert {name: found for name in kept if (found := made_of(name) & new)} == {}

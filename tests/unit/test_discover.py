# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Pis stop a run at once because their journal could not be read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

READ = {"phase_states": {"prepare": "done"}}
UNREACHABLE = {"unreachable": True, "msg": "no route to host"}
FAILED = {"failed": True, "msg": "the journal is not JSON"}


@pytest.mark.parametrize(
    ("reported_later", "journals", "named"),
    [
        (False, {"pi-1": READ, "pi-2": UNREACHABLE, "pi-3": FAILED}, ["pi-2", "pi-3"]),
        (True, {"pi-1": READ, "pi-2": UNREACHABLE, "pi-3": FAILED}, ["pi-3"]),
        (True, {"pi-1": READ, "pi-2": UNREACHABLE}, []),
        (False, {"pi-1": READ, "pi-2": READ}, []),
    ],
)
def test_a_missing_journal_stops_the_run_unless_reported_later(
    tmp_path: Path, ansible_playbook: str, reported_later: bool, journals: dict[str, dict], named: list[str]
) -> None:
    done = run(tmp_path, ansible_playbook, journals, reported_later)
    assert bool(done.returncode) == bool(named), done.stdout + done.stderr
    if named:
        assert f"The journal of {', '.join(named)} could not be read" in done.stdout
        assert ("no route to host" in done.stdout) == ("pi-2" in named)


def run(
    tmp_path: Path, tool: str, journals: dict[str, dict], reported_later: bool, **more: Any
) -> subprocess.CompletedProcess[str]:
    tasks = yaml.safe_load((CHECKOUT / "roles/run/tasks/discover.yml").read_text())
    (task,) = (task for task in tasks if task["name"] == "Check that the journals of all Pis are of this migration")
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    variables = {
        "raft_migration_hosts": "pis",
        "raft_migration_peers": list(journals),
        "raft_migration": {"backup_path": "/var/backups/migration"},
        "raft_migration_unreachable_reported_later": reported_later,
        "ansible_python_interpreter": sys.executable,
        "raft_migration_recorded": {"migration_id": next((read_id(journal) for journal in journals.values()), "")},
        **more,
    }
    hosts = {name: {"raft_migration_journal_read": journal} for name, journal in journals.items()}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
    command = [tool, "play.json", "-i", "hosts.json", "-c", "local"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections")}
    return subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )


def read_id(journal: dict) -> str:
    return (journal.get("journal") or {}).get("migration_id", "")


def read(name: str) -> dict:
    return {"phase_states": {}, "journal": {"migration_id": name, "phases": {}, "events": []}}


@pytest.mark.parametrize(
    ("journal", "cluster_id", "stops"),
    [
        (read("home-20261129T010203Z"), "home", False),
        (read("home-20261129T010203Z"), "home.", True),
        (read("home-2-20261129T010203Z"), "home", True),
        (READ, "home", False),
        (READ, "../home", True),
    ],
)
def test_cluster_id_names_the_migration(
    tmp_path: Path, ansible_playbook: str, journal: dict, cluster_id: str, stops: bool
) -> None:
    done = run(tmp_path, ansible_playbook, {"pi-1": journal}, reported_later=False, cluster_id=cluster_id)
    assert bool(done.returncode) == stops, done.stdout + done.stderr
    assert ("Is this the inventory you meant?" in done.stdout) == stops


def test_journals_that_disagree_stop_the_run(tmp_path: Path, ansible_playbook: str) -> None:
    done = run(tmp_path, ansible_playbook, {"pi-1": read("m-1"), "pi-2": read("m-2")}, reported_later=False)
    assert done.returncode != 0
    assert "Look at /var/backups/migration/journal.json on these Pis" in done.stdout
    assert "could not be read" not in done.stdout


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

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plays of phases that `rolling` does not have are for no host in it, and for all hosts in any other case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import CHECKOUT

ROLLING, PARALLEL = {"raft_migration_strategy": "rolling"}, {"raft_migration_strategy": "parallel"}


@pytest.mark.parametrize(
    ("facts", "runs"),
    [
        ([ROLLING, ROLLING], False),
        ([PARALLEL, PARALLEL], True),
        ([{}, {}], True),
        ([ROLLING, {}], True),
    ],
)
def test_a_play_of_parallel_costs_rolling_no_task(
    tmp_path: Path, ansible_playbook: str, facts: list[dict[str, str]], runs: bool
) -> None:
    plays = yaml.safe_load((CHECKOUT / "playbooks/parts/complete.yml").read_text())
    known = [
        {"ansible.builtin.set_fact": fact, "when": f"inventory_hostname == 'pi-{number}'"}
        for number, fact in enumerate(facts, 1)
        if fact
    ]
    begin = {"name": "Begin", "hosts": "pis", "gather_facts": False, "tasks": [{"ansible.builtin.ping": {}}, *known]}
    kept = [{key: play[key] for key in ("name", "hosts", "vars") if key in play} for play in plays]
    for play in kept:
        play.update({"gather_facts": False, "tasks": [{"name": play["name"], "ansible.builtin.debug": {"msg": "ran"}}]})
    (tmp_path / "play.json").write_text(json.dumps([begin, *kept]))
    (tmp_path / "hosts").write_text(
        "[pis]\npi-[1:2] ansible_connection=local\n[others]\npi-9 ansible_connection=local\n"
    )
    command = [ansible_playbook, "play.json", "-i", "hosts", "-e", "raft_migration_hosts=pis"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = {play["name"][:5]: f"TASK [{play['name']}]" in done.stdout for play in kept}
    assert ran == {"(4/6)": runs, "(5/6)": runs, "(6/6)": True}, done.stdout
    assert "pi-9" not in done.stdout


def test_the_playbook_is_read_without_an_inventory(tmp_path: Path, ansible_playbook: str) -> None:
    command = [ansible_playbook, "pi_controller.raft_migration.complete", "--syntax-check", "-i", "localhost,"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A path given on the command line is refused by the first task of the playbook, before any Pi is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT


@pytest.mark.parametrize(
    ("playbook", "given", "fault"),
    [
        ("transfer", "snapshot_path=/var/backups/../../etc/shadow", 'snapshot_path must not contain ".."'),
        ("rollback", "restore_from=/var/backups/../../etc", 'restore_from must not contain ".."'),
        ("rollback", "restore_from=backup", 'restore_from must be an absolute path, not "backup"'),
        (
            "prepare",
            "raft_migration_control_dir=copies",
            'raft_migration_control_dir must be an absolute path, not "copies"',
        ),
        ("report", "raft_migration_control_dir=", 'raft_migration_control_dir must be an absolute path, not "(empty)"'),
    ],
)
def test_a_path_that_climbs_or_is_relative_stops_the_first_task(
    tmp_path: Path, ansible_playbook: str, playbook: str, given: str, fault: str
) -> None:
    (tmp_path / "hosts").write_text("[k3s_cluster]\npi-1 ansible_connection=local\n")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [ansible_playbook, f"pi_controller.raft_migration.{playbook}", "-i", str(tmp_path / "hosts"), "-e", given]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", "-e", f"backup_path={tmp_path}/backups"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode != 0
    assert fault in done.stdout + done.stderr
    tasks = [line for line in done.stdout.splitlines() if line.startswith("TASK")]
    assert "Read and check the configuration" in tasks[-1], tasks
    assert not (tmp_path / "backups").exists()


def test_a_tilde_is_the_home_of_the_control_nodes_user(monkeypatch: pytest.MonkeyPatch, evaluate: Any) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    case = {"raft_migration_control_dir": "~/copies"}
    paths = "{{ [raft_migration_control_path, raft_migration_watch_dir] }}"
    assert evaluate("cluster", paths, [case]) == [["/home/anna/copies", "/home/anna/copies/watch"]]


def test_no_task_uses_the_folder_as_it_was_given() -> None:
    files = [*(CHECKOUT / "roles").glob("*/tasks/*.yml"), *(CHECKOUT / "roles").glob("*/vars/*.yml")]
    uses = {
        path.relative_to(CHECKOUT / "roles").as_posix(): path.read_text().count("raft_migration_control_dir")
        for path in files
    }
    assert {path: count for path, count in uses.items() if count} == {
        "cluster/vars/main.yml": 1,
        "run/tasks/discover.yml": 1,
    }

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Pi that does not answer for one task, in real runs: it must not go on alone when the others have stopped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT
from flaky_runs import CONNECTION

HOSTS = ("pi-1", "pi-2", "pi-3")
# The role of the phase under test: each Pi leaves a trace of every task that it comes to. `raw` goes through the connection and starts no
# Python.
ROLE = """
- name: before
  ansible.builtin.raw: touch '{folder}/before.{{{{ inventory_hostname }}}}'
- name: pi-3 does not answer to the next task
  ansible.builtin.raw: touch '{folder}/pi-3'
  delegate_to: pi-1
  run_once: true
- name: during
  ansible.builtin.include_tasks: during.yml
- name: after
  ansible.builtin.raw: touch '{folder}/after.{{{{ inventory_hostname }}}}'
- name: once
  ansible.builtin.raw: touch '{folder}/once'
  run_once: true
"""
DURING = """
- name: during
  ansible.builtin.raw: touch '{folder}/during.{{{{ inventory_hostname }}}}'
"""
PLAY = """
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - ansible.builtin.include_role:
        name: pi_controller.raft_migration.run
        tasks_from: {tasks}
"""


def collection(folder: Path, replaced: str) -> Path:
    """The checkout as a collection, with one role replaced by the one above."""
    top = folder / "collections/ansible_collections/pi_controller/raft_migration"
    (top / "roles").mkdir(parents=True)
    for path in CHECKOUT.iterdir():
        if path.name in ("plugins", "meta", "galaxy.yml"):
            (top / path.name).symlink_to(path)
    for role in (CHECKOUT / "roles").iterdir():
        if role.name != replaced:
            (top / "roles" / role.name).symlink_to(role)
    tasks = top / "roles" / replaced / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text(ROLE.format(folder=folder))
    (tasks / "during.yml").write_text(DURING.format(folder=folder))
    return folder / "collections"


def variables(folder: Path) -> dict[str, Any]:
    return {
        "raft_migration_peers": list(HOSTS),
        "raft_migration_recorded": {
            "strategy": "",
            "opening_unproven": False,
            "opening": False,
            "done": [],
            "rollback_begun": False,
        },
        "raft_migration": {
            "strategy": "parallel",
            "temporary_ports": {"raft": 9092},
            "timeouts_seconds": {"phase_timeout": 60},
            "safety": {"watch": False},
        },
        "raft_migration_resumes": False,
        "raft_migration_journal_read": {"current": "transfer", "phase_states": {"transfer": "pending"}},
        "raft_migration_watch_dir": str(folder / "watch"),
        "raft_migration_journal_path": str(folder / "journal-{{ inventory_hostname }}.json"),
        "raft_migration_standard_urls": ["http://127.0.0.1:1"],
        "raft_migration_temporary_urls": ["http://127.0.0.1:2"],
        "raft_migration_id": "migration-20260102T030405Z",
        "raft_migration_phase": "transfer",
        "pi_controller_token": "",
        "pi_controller_validate_certs": True,
        "ansible_connection": "flaky",
        "ansible_python_interpreter": sys.executable,
    }


@pytest.mark.parametrize(("tasks", "replaced"), [("rollback", "rollback"), ("phase", "transfer")])
def test_a_pi_that_comes_back_does_not_go_on_alone(
    tmp_path: Path, ansible_playbook: str, tasks: str, replaced: str
) -> None:
    collections = collection(tmp_path, replaced)
    (tmp_path / "connection_plugins").mkdir()
    (tmp_path / "connection_plugins/flaky.py").write_text(CONNECTION)
    (tmp_path / "hosts").write_text("\n".join(HOSTS))
    given = variables(tmp_path)
    if tasks == "rollback":
        given.pop("raft_migration_phase")
    (tmp_path / "variables.json").write_text(json.dumps(given))
    (tmp_path / "play.yml").write_text(PLAY.format(tasks=tasks))
    environment = {
        **os.environ,
        "AWAY": str(tmp_path),
        "ANSIBLE_CONNECTION_PLUGINS": str(tmp_path / "connection_plugins"),
        "ANSIBLE_COLLECTIONS_PATH": f"{collections}:{CHECKOUT / '.collections'}",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [ansible_playbook, "play.yml", "-i", "hosts", "-e", "@variables.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )

    traces = {path.name for path in tmp_path.iterdir()}
    assert {f"before.{host}" for host in HOSTS} <= traces, done.stdout[-3000:] + done.stderr
    assert "no route to host" in done.stdout
    assert {"during.pi-1", "during.pi-2"} <= traces, "the others get to the end of the task that one did not answer to"
    assert not traces & {"during.pi-3", "once", *(f"after.{host}" for host in HOSTS)}, done.stdout[-3000:]
    assert not re.search(r"TASK \[.*(It is back|phase is done|as done)\] \*+\n(ok|changed)", done.stdout), done.stdout[
        -3000:
    ]


# A task that one Pi runs for all of them on another one, as `carry` of the role `cluster` has it.
DELEGATED = """
- name: A Pi loses its power
  ansible.builtin.raw: touch '{folder}/{gone}.gone'
  delegate_to: pi-2
  run_once: true
- name: "Carry | Take the snapshot"
  ansible.builtin.raw: touch '{folder}/taken'
  delegate_to: {gone}
  run_once: true
"""


@pytest.mark.parametrize("gone", ["pi-3", "pi-1"])
def test_the_pi_that_does_not_answer_is_the_one_reported(
    tmp_path: Path, ansible_playbook: str, keep: Callable[[str, Path], dict[str, Any]], gone: str
) -> None:
    """Not the healthy one that has delegated a task to it, and is unreachable to Ansible."""
    collections = collection(tmp_path, "transfer")
    role = collections / "ansible_collections/pi_controller/raft_migration/roles/transfer/tasks/main.yml"
    role.write_text(DELEGATED.format(folder=tmp_path, gone=gone))
    (tmp_path / "connection_plugins").mkdir()
    (tmp_path / "connection_plugins/flaky.py").write_text(CONNECTION)
    (tmp_path / "hosts").write_text("\n".join(HOSTS))
    given = variables(tmp_path)
    given["raft_migration"]["safety"]["auto_rollback_on_error"] = False
    (tmp_path / "variables.json").write_text(json.dumps(given))
    left = "{{ [raft_migration_failure.message, raft_migration_unreachable] | to_json }}"
    play = {"hosts": "all", "gather_facts": False, "any_errors_fatal": True}
    plays = [
        {
            **play,
            "tasks": [
                {
                    "ansible.builtin.include_role": {
                        "name": "pi_controller.raft_migration.run",
                        "tasks_from": tasks,
                        "public": True,
                    }
                },
                *([keep(left, tmp_path / "left-{{ inventory_hostname }}")] if tasks == "after_failure" else []),
            ],
        }
        for tasks in ("phase", "after_failure")
    ]
    (tmp_path / "play.json").write_text(json.dumps(plays))
    environment = {
        **os.environ,
        "AWAY": str(tmp_path),
        "ANSIBLE_CONNECTION_PLUGINS": str(tmp_path / "connection_plugins"),
        "ANSIBLE_COLLECTIONS_PATH": f"{collections}:{CHECKOUT / '.collections'}",
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [ansible_playbook, "play.json", "-i", "hosts", "-e", "@variables.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert (tmp_path / "left-pi-1").exists(), done.stdout + done.stderr
    found = {host: json.loads((tmp_path / f"left-{host}").read_text()) for host in HOSTS}
    assert {host for host, (_message, unreachable) in found.items() if unreachable} == {gone}, done.stdout
    assert [host for host, (message, _) in found.items() if message.startswith("this Pi does not answer")] == [gone]
    assert found["pi-1"][0].endswith("this Pi answers now") == (gone == "pi-3")

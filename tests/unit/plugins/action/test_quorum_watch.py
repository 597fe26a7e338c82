# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real ansible-playbook with a real watching process: an alert stops the next task of a role that is included, and no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT, import_plugin

processes = import_plugin("module_utils._core.processes")

PLAY = """
- hosts: pi-1,pi-2
  gather_facts: false
  any_errors_fatal: true
  environment: >-
    {{ lookup('pi_controller.raft_migration.quorum_alert', folder) if raft_migration_stoppable | default(false) else {} }}
  tasks:
    - pi_controller.raft_migration.quorum_watch: {state: started, path: "{{ folder }}"}
      run_once: true
    - name: In time, with the defaults that a role of a phase has
      pi_controller.raft_migration.quorum_watch: {state: phase, path: "{{ folder }}", phase: rollback, phase_timeout: 600}
      module_defaults: {group/pi_controller.raft_migration.kubernetes: {kubeconfig: /nowhere}}
      run_once: true
    - name: A phase
      block:
        - include_role: {name: phase}
          vars: {raft_migration_stoppable: true}
      rescue:
        - meta: clear_host_errors
        - name: Rescued
          debug: {msg: "{{ ansible_failed_result.msg | default('failed by the other one') }}"}
        - include_role: {name: phase, tasks_from: after}
    - name: What it says
      pi_controller.raft_migration.quorum_watch: {state: checked, path: "{{ folder }}"}
      register: seen
      run_once: true
    - copy: {content: "{{ seen | to_json }}", dest: "{{ folder }}/seen.json", mode: "0600"}
      run_once: true
    - pi_controller.raft_migration.quorum_watch: {state: stopped, path: "{{ folder }}"}
      run_once: true
"""
ROLE = """
- name: Before
  debug: {msg: well}
- name: Too late
  pi_controller.raft_migration.quorum_watch: {state: phase, path: "{{ folder }}", phase: rollback, phase_timeout: 3}
  run_once: true
- name: Something that takes longer
  wait_for: {path: "{{ folder }}/alerts.jsonl", timeout: 20, sleep: 0}
- name: Never
  debug: {msg: never}
"""
AFTER = """
- name: After the rescue
  debug: {msg: well}
"""


@pytest.fixture
def played(tmp_path: Path, ansible_playbook: str) -> tuple[str, dict, dict]:
    """The output of the play, the watch's part of it, and its final record."""
    tasks = tmp_path / "roles/phase/tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text(ROLE)
    (tasks / "after.yml").write_text(AFTER)
    (tmp_path / "play.yml").write_text(PLAY)
    folder = tmp_path / "watch"
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    }
    options = [
        "-i",
        "pi-1,pi-2,",
        "-c",
        "local",
        "-e",
        f"folder={folder}",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
    ]
    done = subprocess.run(
        [ansible_playbook, str(tmp_path / "play.yml"), *options], cwd=CHECKOUT, env={**environment, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads((folder / "seen.json").read_text()), json.loads((folder / "watch.json").read_text())


@pytest.mark.timed
def test_an_alert_stops_the_next_task_but_not_its_rescue(played):
    output, seen, about = played
    before, after = output.split("TASK [Rescued]", maxsplit=1)
    assert "TASK [phase : Something that takes longer]" in before
    assert "TASK [phase : Never]" in before
    assert '"msg": "never"' not in output
    assert "Quorum watch, phase_timeout in phase rollback: phase rollback has run for" in after
    assert "TASK [phase : After the rescue]" in after
    assert after.count('"msg": "well"') == 2

    assert [alert["kind"] for alert in seen["alerts"]] == ["phase_timeout"]
    assert (seen["running"], seen["phase"], seen["changed"]) == (True, "rollback", False)
    assert about["why"] == "stopped"
    assert not processes.Process.from_dict(about["process"]).alive

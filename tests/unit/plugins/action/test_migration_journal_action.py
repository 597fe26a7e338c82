# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ansible-playbook with a real watching process: a phase is set in the watch before it is in a journal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import CHECKOUT

PLAY = """
- hosts: pi-1,pi-2
  gather_facts: false
  tasks:
    - pi_controller.raft_migration.quorum_watch: {state: started, path: "{{ folder }}/watch"}
      run_once: true
    - name: Record
      pi_controller.raft_migration.migration_journal:
        path: "{{ folder }}/{{ inventory_hostname }}/journal.json"
        phase: prepare
        state: started
        watch: "{{ order if inventory_hostname == 'pi-1' else omit }}"
      vars: {order: {path: "{{ folder }}/watch", phase: prepare, phase_timeout: 600}}
    - pi_controller.raft_migration.quorum_watch: {state: checked, path: "{{ folder }}/watch"}
      register: seen
      run_once: true
    - name: Keep what is known
      copy:
        content: "{{ [seen.phase, ansible_facts.raft_migration_journal.phase_states.prepare] | to_json }}"
        dest: "{{ folder }}/{{ inventory_hostname }}/known"
        mode: "0600"
    - name: End the watch behind its back
      command: "kill -9 {{ seen.pid }}"
      run_once: true
    - wait_for: {path: "/proc/{{ seen.pid }}/stat", state: absent, timeout: 20}
      run_once: true
    - name: Record without a watch
      pi_controller.raft_migration.migration_journal:
        path: "{{ folder }}/{{ inventory_hostname }}/journal.json"
        phase: prepare
        state: done
        watch: "{{ order if inventory_hostname == 'pi-1' else omit }}"
      vars: {order: {path: "{{ folder }}/watch", phase: transfer, phase_timeout: 600}}
"""


def test_the_watch_is_set_and_where_it_ended_nothing_is_recorded(tmp_path: Path, ansible_playbook: str) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [
        ansible_playbook,
        str(tmp_path / "play.yml"),
        "-i",
        "pi-1,pi-2,",
        "-c",
        "local",
        "-e",
        f"folder={tmp_path}",
    ]
    done = subprocess.run(
        [*command, "-e", f"ansible_python_interpreter={sys.executable}"],
        cwd=CHECKOUT,
        env=environment,
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    known = [json.loads((tmp_path / pi / "known").read_text()) for pi in ("pi-1", "pi-2")]
    assert known == [["prepare", "started"]] * 2, done.stdout + done.stderr
    assert done.returncode != 0
    assert "the quorum watch ended unexpectedly" in done.stdout
    journals = [json.loads((tmp_path / pi / "journal.json").read_text()) for pi in ("pi-1", "pi-2")]
    assert [journal["phases"]["prepare"]["state"] for journal in journals] == ["started", "done"]

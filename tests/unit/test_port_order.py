# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose pod counts as moved when a port migration is gone on with: it is let in before any other pod is taken away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from conftest import CHECKOUT

OLD, NEW, OTHER = "10.77.0.1:9092", "10.77.0.1:9091", "10.77.0.11:9091"
# What the list of members has for this Pi, who leads, and whether its pod has moved.
CASES = [
    {"member": OLD, "leader": OLD, "moved": False},
    {"member": OLD, "leader": OTHER, "moved": False},
    {"member": NEW, "leader": OTHER, "moved": True},
    {"member": NEW, "leader": NEW, "moved": True},
    # Stopped before its member was changed, and elected since.
    {"member": OLD, "leader": NEW, "moved": True},
    # Stopped between removing and adding it.
    {"member": None, "leader": OTHER, "moved": False},
]
PLAYBOOK = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.include_vars": str(CHECKOUT / "roles/port_migration/vars/main.yml")},
            {
                "ansible.builtin.set_fact": {
                    "found": "{{ found | default([]) + [raft_migration_standard_address in raft_migration_own_addresses] }}",
                },
                "vars": {
                    "raft_migration": {"standard_ports": {"raft": 9091}},
                    "raft_migration_address": "10.77.0.1",
                    "raft_migration_new": {
                        "leader": {"address": "{{ item.leader }}"},
                        "members": "{{ [{'address': '10.77.0.11:9091'}] + ([{'address': item.member}] if item.member else []) }}",
                    },
                },
                "loop": CASES,
            },
            {"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": "{{ playbook_dir }}/found.json", "mode": "0600"}},
        ],
    }
]


def test_a_pod_has_moved_where_its_member_says_so_or_where_it_leads_from(tmp_path: Path, ansible_playbook: str) -> None:
    (tmp_path / "play.json").write_text(json.dumps(PLAYBOOK))
    command = [ansible_playbook, "play.json", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "found.json").read_text()) == [case["moved"] for case in CASES]

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
MOVED: list[tuple[str | None, str, bool]] = [
    (OLD, OLD, False),
    (OLD, OTHER, False),
    (NEW, OTHER, True),
    (NEW, NEW, True),
    (OLD, NEW, True),  # stopped before its member was changed, and elected since
    (None, OTHER, False),  # stopped between removing and adding it
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
                        "leader": {"address": "{{ item.1 }}"},
                        "members": "{{ [{'address': '10.77.0.11:9091'}] + ([{'address': item.0}] if item.0 else []) }}",
                    },
                },
                "loop": [list(case) for case in MOVED],
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
    assert json.loads((tmp_path / "found.json").read_text()) == [moved for _member, _leader, moved in MOVED]

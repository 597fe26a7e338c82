# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who answers for a leader's Pi in a cutover that fences on the network: never one whose own clients are led to it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT

# Every pair of leaders there can be in clusters of up to three, and of five.
CASES = [
    {"peers": peers, "old": old, "new": new}
    for peers in ([f"pi-{number}" for number in range(1, size + 1)] for size in (1, 2, 3, 5))
    for old, new in itertools.product(peers, peers)
]
PLAYBOOK = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.include_vars": str(CHECKOUT / "roles/cutover/vars/main.yml")},
            {
                "ansible.builtin.set_fact": {
                    "chosen": "{{ chosen | default([]) + [[raft_migration_old_stand_in, raft_migration_new_stand_in]] }}",
                },
                "vars": {
                    "raft_migration_peers": "{{ item.peers }}",
                    "raft_migration_old_leader": "{{ item.old }}",
                    "raft_migration_new_leader": "{{ item.new }}",
                },
                "loop": CASES,
            },
            {"ansible.builtin.copy": {"content": "{{ chosen | to_json }}", "dest": "{{ playbook_dir }}/chosen.json", "mode": "0600"}},
        ],
    }
]


# Ansible's filters for sets give their result in the order of the hashes, another one in every run.
@pytest.mark.parametrize("seed", ["1", "2"])
def test_no_two_pis_lead_their_clients_to_each_other(tmp_path: Path, ansible_playbook: str, seed: str) -> None:
    (tmp_path / "play.json").write_text(json.dumps(PLAYBOOK))
    command = [ansible_playbook, "play.json", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    chosen = json.loads((tmp_path / "chosen.json").read_text())
    assert len(chosen) == len(CASES)
    for case, (for_old, for_new) in zip(CASES, chosen):
        peers, old, new = case["peers"], case["old"], case["new"]
        neither = [peer for peer in peers if peer not in (old, new)]
        others = [peer for peer in peers if peer != old]
        assert for_old == (neither + others + [""])[0], case
        assert for_new == (neither + [""])[0], case
        # The old leader's Pi leads away until it is flipped, and the new leader's may be flipped before it.
        assert old == new or (for_old, for_new) != (new, old), case

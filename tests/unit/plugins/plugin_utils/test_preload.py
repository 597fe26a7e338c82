# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run has loaded by the time it forks the workers of a phase, in a real run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT, COLLECTION

FILTER = """
import sys

class FilterModule:
    def filters(self):
        # Ansible's own plugins have a number behind their names.
        return {"loaded": lambda name: any(found == name or found.startswith(f"{name}_") for found in sys.modules)}
"""
OWN = [
    f"{COLLECTION}.plugins.{name}"
    for name in ("filter.recorded", "filter.next_turn", "lookup.quorum_alert", "module_utils._core.journal")
]
NAMES = [*OWN, "ansible.plugins.filter.core", "ansible.plugins.test.core"]


@pytest.mark.parametrize("action", ["k8s_node_names", "quorum_watch"])
def test_workers_find_filters_lookup_and_client_loaded(
    tmp_path: Path, ansible_playbook: str, keep: Callable[[str, Path], dict[str, Any]], action: str
) -> None:
    """The task itself is skipped: what counts is what is there before a worker is forked for it."""
    options = {"k8s_node_names": {"addresses": {}}, "quorum_watch": {"state": "stopped", "path": str(tmp_path)}}
    names = [*NAMES, "kubernetes.client"] if action == "k8s_node_names" else NAMES
    tasks = [
        {f"pi_controller.raft_migration.{action}": options[action], "when": False},
        {"set_fact": {"found": "{{ names | map('loaded') | list }}"}},
        keep("{{ found | to_json }}", tmp_path / "found.json"),
    ]
    (tmp_path / "filter_plugins").mkdir()
    (tmp_path / "filter_plugins/loaded.py").write_text(FILTER)
    (tmp_path / "play.json").write_text(
        json.dumps([{"hosts": "pi-1", "gather_facts": False, "vars": {"names": names}, "tasks": tasks}])
    )
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"), "ANSIBLE_NOCOLOR": "1"}
    command = [
        ansible_playbook,
        "play.json",
        "-i",
        "pi-1,",
        "-c",
        "local",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert dict(zip(names, json.loads((tmp_path / "found.json").read_text()), strict=True)) == dict.fromkeys(
        names, True
    )

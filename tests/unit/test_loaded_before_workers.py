# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first worker has the collection's filters from the process that forked it, and the first play is for the hosts of the group."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import CHECKOUT

# An action plugin runs in the worker.
LOADED = """
import sys
from pathlib import Path
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        name = "ansible_collections.pi_controller.raft_migration.plugins.filter."
        Path("loaded-" + task_vars["inventory_hostname"]).write_text(str(name + "migration_config" in sys.modules))
        return {}
"""


@pytest.mark.parametrize(("group", "hosts"), [("pis", ["pi-1", "pi-2"]), ("missing", ["localhost"])])
def test_filters_are_loaded_before_the_first_worker(
    tmp_path: Path, ansible_playbook: str, group: str, hosts: list[str]
) -> None:
    (begin,) = yaml.safe_load((CHECKOUT / "playbooks/parts/begin.yml").read_text())
    play = {key: begin[key] for key in ("name", "hosts", "vars", "gather_facts")}
    (tmp_path / "action_plugins").mkdir()
    (tmp_path / "action_plugins/loaded.py").write_text(LOADED)
    (tmp_path / "play.json").write_text(json.dumps([{**play, "tasks": [{"name": "Look", "loaded": {}}]}]))
    (tmp_path / "hosts").write_text("[pis]\npi-[1:2] ansible_connection=local\n")
    command = [ansible_playbook, "play.json", "-i", "hosts", "-e", f"raft_migration_hosts={group}"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {path.name: path.read_text() for path in tmp_path.glob("loaded-*")}
    assert found == {f"loaded-{host}": "True" for host in hosts}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status comes with the look at Kubernetes, also with one that fails. Run by Ansible."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import report_inputs as given
from conftest import CHECKOUT
from fake_kube import FakeKube
from kube_server import served


@pytest.fixture
def status(tmp_path: Path, ansible_playbook: str, keep: Callable[[str, Path], dict[str, Any]]) -> Callable[[int], Any]:
    """What every Pi knows of the status after a look through this port."""

    def run(port: int) -> dict[str, Any]:
        asked = {
            "host": f"http://127.0.0.1:{port}",
            "api_key": "t",
            **dict.fromkeys(("namespace", "service", "daemonset"), "pi-controller"),
            "assemble": {"hosts": given.migrated(), "config": given.CONFIG},
        }
        look = {
            "pi_controller.raft_migration.migration_cluster_info": asked,
            "delegate_to": "localhost",
            "run_once": True,
            "register": "found",
            "failed_when": False,
        }
        known = keep("{{ hostvars['pi-2'].found.status | to_json }}", tmp_path / "status.json")
        seen = keep("{{ hostvars['pi-2'].found | to_json }}", tmp_path / "found.json")
        play = [{"hosts": "all", "gather_facts": False, "tasks": [look, known, seen]}]
        (tmp_path / "play.json").write_text(json.dumps(play))
        done = subprocess.run(
            [ansible_playbook, "play.json", "-i", "pi-1,pi-2,", "-c", "local"],
            cwd=tmp_path,
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"), "ANSIBLE_NOCOLOR": "1"},
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("status", "found")}

    return run


def test_every_pi_knows_the_status_after_one_look(status: Callable[[int], Any]) -> None:
    with served(FakeKube(lag=0)) as port:
        read = status(port)
    assert read["found"]["faults"] == []
    assert read["status"]["state"] == "migrated"
    assert sorted(read["status"]["traffic"]["hosts"]) == sorted(given.NAMES)
    assert "pi-1" in "\n".join(read["status"]["table"])


def test_without_kubernetes_there_is_a_status_too(status: Callable[[int], Any]) -> None:
    read = status(1)
    assert read["found"]["faults"] or read["found"].get("msg")
    assert sorted(read["status"]["traffic"]["hosts"]) == sorted(given.NAMES)

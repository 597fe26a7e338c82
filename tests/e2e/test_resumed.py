# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that was killed, and one that goes on with other settings: the pods are those of the settings that count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import killed, rehearsal
from tests.lab.shell import wait_for

pytestmark = pytest.mark.longer

PORT = "PI_CONTROLLER_WEBSOCKET_PORT"


def with_port(port: str) -> list[str]:
    """Arguments of a run whose pods listen there beside the units."""
    return ["-e", json.dumps({"migration": {"temporary_env": {PORT: port}}})]


def ports_of_pods() -> list[str]:
    """The port that each pod was started with."""
    found = []
    for pod in rehearsal.kubectl_json("-n", "pi-controller", "get", "pods")["items"]:
        environment = {entry["name"]: entry.get("value") for entry in pod["spec"]["containers"][0]["env"]}
        found.append(environment[PORT])
    return found


def test_pods_have_the_settings_of_the_run_that_goes_on(old_world: Callable[[str], list[str]], tmp_path: Path) -> None:
    """A pod is replaced only when it is deleted, and the run that would have done so is dead."""
    names = old_world("full")
    killed.killed_at(
        "Kubernetes | Wait for one running pod", 1, tmp_path / "killed.log", "playbooks/prepare.yml", *with_port("8085")
    )
    wait_for(
        "pods of the run that was killed",
        lambda: None if ports_of_pods() == ["8085"] * 3 else str(ports_of_pods()),
        timeout=60,
        advice="python3 -m tests.lab kubectl -- -n pi-controller describe pods",
    )
    run = rehearsal.run_playbook("playbooks/prepare.yml", *with_port("8086"), log=tmp_path / "prepare.log", show=True)
    assert run.returncode == 0, run.output[-4000:]
    assert ports_of_pods() == ["8086"] * 3

    killed.killed_at(
        "Transfer | Replace pods", 1, tmp_path / "killed-again.log", "playbooks/transfer.yml", *with_port("8087")
    )
    run = rehearsal.run_playbook("playbooks/transfer.yml", *with_port("8087"), log=tmp_path / "transfer.log", show=True)
    assert run.returncode == 0, run.output[-4000:]
    assert ports_of_pods() == ["8087"] * 3

    run = rehearsal.run_playbook("playbooks/rollback.yml", *with_port("8087"), log=tmp_path / "back.log", show=True)
    assert run.returncode == 0, run.output[-4000:]
    assert rehearsal.is_rolled_back(names)

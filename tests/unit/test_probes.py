# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The DaemonSet's probes meet the traffic gate like any client on loopback."""

from __future__ import annotations

import re

import jinja2
import yaml
from conftest import CHECKOUT

TEMPLATE = CHECKOUT / "roles/cluster/templates/daemonset.yml.j2"
TURN = CHECKOUT / "roles/port_migration/tasks/move.yml"


def probe(name: str) -> dict[str, int]:
    """The numbers of a probe in the template."""
    text = TEMPLATE.read_text().partition(f"{name}:\n")[2]
    block = re.match(r"(?: {12}.*\n|\{%.*\n)+", text)
    assert block
    return {key: int(value) for key, value in re.findall(r"^ +(\w+): (\d+)$", block[0], re.MULTILINE)}


def test_k9_no_pod_is_restarted_because_its_gate_is_still_closed():
    (task,) = [
        task for task in yaml.safe_load(TURN.read_text()) if "pi_controller.raft_migration.raft_membership" in task
    ]
    turn = task["pi_controller.raft_migration.raft_membership"]
    patient = "{{ raft_migration.timeouts_seconds.health_timeout }}"
    assert (turn["wait_for_listener"], turn["wait_caught_up"]) == (patient, patient)
    (delay,) = re.findall(r"initialDelaySeconds: (.+)\n", TEMPLATE.read_text())
    for seconds in (1.0, 60.0, 75.0, 600.0):
        timeouts = {"timeouts_seconds": {"health_timeout": seconds}}
        assert int(jinja2.Template(delay).render(raft_migration=timeouts)) >= 2 * (seconds + seconds)


def test_k9_the_service_routes_to_a_pod_once_its_gate_is_open():
    assert probe("readinessProbe")["periodSeconds"] == 1
    assert "initialDelaySeconds" not in probe("readinessProbe")

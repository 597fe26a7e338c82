# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The DaemonSet's probe meets the traffic gate like any client on loopback."""

from __future__ import annotations

import re

import pytest
from conftest import CHECKOUT

TEMPLATE = CHECKOUT / "roles/cluster/templates/daemonset.yml.j2"


def probe(name: str) -> dict[str, int]:
    """The numbers of a probe in the template."""
    text = TEMPLATE.read_text().partition(f"{name}:\n")[2]
    block = re.match(r"(?: {12}.*\n|\{%.*\n)+", text)
    assert block
    return {key: int(value) for key, value in re.findall(r"^ +(\w+): (\d+)$", block[0], re.MULTILINE)}


@pytest.mark.parametrize("restarting", ["livenessProbe:", "startupProbe:"])
def test_k9_no_pod_is_restarted_because_its_gate_is_still_closed(restarting: str) -> None:
    """However long that is: where a run dies in a turn, until the next one. The restart of a voter may cost the quorum."""
    assert restarting not in TEMPLATE.read_text()


def test_k9_the_service_routes_to_a_pod_once_its_gate_is_open() -> None:
    assert probe("readinessProbe")["periodSeconds"] == 1
    assert "initialDelaySeconds" not in probe("readinessProbe")

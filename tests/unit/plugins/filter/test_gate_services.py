# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a Service's addresses a Pi's gate redirects."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import import_plugin

gate_services = import_plugin("filter.gate_services").FilterModule().filters()["gate_services"]


@pytest.mark.parametrize(
    ("spec", "address", "chosen"),
    [
        ({"clusterIP": "10.43.0.1", "clusterIPs": ["10.43.0.1", "fd00::1"]}, "10.77.0.11", "10.43.0.1"),
        ({"clusterIP": "10.43.0.1", "clusterIPs": ["10.43.0.1", "fd00::1"]}, "[fd77::11]", "fd00::1"),
        ({"clusterIP": "10.43.0.1"}, "10.77.0.11", "10.43.0.1"),
        ({"clusterIP": "10.43.0.1"}, "fd77::11", None),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, "10.77.0.11", None),
        ({}, "10.77.0.11", None),
    ],
)
def test_the_service_address_of_the_pis_own_family(spec: dict[str, Any], address: str, chosen: str | None) -> None:
    wanted = [{"cluster_ip": chosen, "address": address}] if chosen else []
    assert gate_services([{"spec": spec}], address) == wanted


def test_without_a_service_there_is_nothing_to_redirect() -> None:
    assert gate_services([], "10.77.0.11") == []

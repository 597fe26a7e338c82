# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is derived from the daemon's own files: the ports that the gate routes, and the user of the pods."""

from __future__ import annotations

import pytest
from conftest import import_plugin

migration_config = import_plugin("filter.migration_config").FilterModule().filters()["migration_config"]
gate_ports = import_plugin("filter.gate_ports").FilterModule().filters()["gate_ports"]
run_as = import_plugin("filter.run_as").FilterModule().filters()["run_as"]

WEBSOCKET, AGENT, WEB = "PI_CONTROLLER_WEBSOCKET_PORT", "PI_CONTROLLER_AGENT_SERVER_PORT", "PI_CONTROLLER_WEBUI_PORT"


def pairs(listeners, extra=(), **config):
    return [(port["standard"], port["temporary"]) for port in gate_ports(migration_config(config), listeners, extra)]


def test_d12_every_listener_has_a_place_beside_the_unit():
    assert pairs({WEBSOCKET: 8081, AGENT: 9191, WEB: 3000}) == [
        (8080, 8082),
        (9090, 9093),
        (8081, 8084),
        (9191, 9094),
        (3000, 3001),
    ]


def test_d12_what_the_owner_moves_is_followed():
    moved = {"standard_env": {WEBSOCKET: "8181"}, "temporary_env": {WEBSOCKET: "8184"}}
    assert pairs({WEBSOCKET: 8081}, **moved)[2:] == [(8181, 8184)]


@pytest.mark.parametrize("port", [9091, 8080])
def test_d12_raft_is_not_gated_and_no_port_twice(port):
    assert pairs({AGENT: port}) == [(8080, 8082), (9090, 9093)]


def test_d12_the_owners_own_ports_are_gated_too():
    assert pairs({WEBSOCKET: 8081}, [{"standard": 9100, "temporary": 9101}])[2:] == [(8081, 8084), (9100, 9101)]


@pytest.mark.parametrize(
    ("owners", "context", "wanted"),
    [
        (
            {"pi-1": {"uid": 1001, "gid": 1002}, "pi-2": {"uid": 1001, "gid": 1002}},
            {},
            {"runAsUser": 1001, "runAsGroup": 1002},
        ),
        ({"pi-1": {"uid": 0, "gid": 0}, "pi-2": {}}, {"privileged": True}, {"runAsUser": 0, "runAsGroup": 0}),
        ({"pi-1": {"uid": 1001, "gid": 1001}, "pi-2": {"uid": 0, "gid": 0}}, {}, {}),
        ({"pi-1": {"uid": 1001, "gid": 1001}}, {"runAsUser": 0}, {}),
        ({"pi-1": {}}, {}, {}),
    ],
)
def test_d7_pods_run_as_the_one_owner_of_the_data(owners, context, wanted):
    assert run_as(owners, context) == wanted

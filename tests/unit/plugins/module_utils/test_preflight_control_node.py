# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pre-flight tries what the quorum watch will ask: the REST ports, from the control node."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import import_plugin
from preflight_world import healthy, owner, settings

control_node = import_plugin("module_utils._preflight.control_node")
preflight = import_plugin("module_utils._preflight.judge")
action = import_plugin("action.preflight_host")

OPEN = {"8080": "connected", "8082": "refused"}


def findings(**ended: Any) -> list[tuple[str, str, str]]:
    seen = healthy()
    for host in seen["host"].values():
        host["from_control_node"] = dict(OPEN)
    seen["host"]["pi-2"]["from_control_node"] |= {port.lstrip("_"): text for port, text in ended.items()}
    return [(found.host, found.check, found.seen) for found in preflight.evaluate(seen, settings(), owner())]


def test_open_ports_are_no_finding():
    assert findings() == []
    # A pod may listen there already, as prepare's do.
    assert findings(_8082="connected") == []


@pytest.mark.parametrize(
    ("port", "ended"),
    [(8080, "no answer"), (8080, "refused"), (8082, "no answer"), (8082, "No route to host")],
)
def test_a_port_that_the_control_node_does_not_reach_is_a_finding(port: int, ended: str):
    seen = f"{ended} from 10.77.0.12:{port}, as seen from this control node"
    assert findings(**{f"_{port}": ended}) == [("pi-2", f"port {port} from the control node", seen)]


def test_the_finding_names_both_remedies():
    seen = {**healthy()["host"]["pi-1"], "from_control_node": {"8080": "no answer"}}
    plan = import_plugin("module_utils._preflight.plan").make_plan(settings(), owner(), healthy()["journal"])
    (found,) = control_node.control_node_findings(plan, "pi-1", seen)
    assert found.level == "error"
    assert "open TCP 8080" in found.fix
    assert "migration.safety.watch to false" in found.fix


def test_a_daemon_that_does_not_listen_is_no_matter_of_the_way():
    seen = {**healthy()["host"]["pi-1"], "listeners": [], "from_control_node": {"8080": "refused"}}
    plan = import_plugin("module_utils._preflight.plan").make_plan(settings(), owner(), healthy()["journal"])
    assert list(control_node.control_node_findings(plan, "pi-1", seen)) == []


def test_a_connection_is_tried_for_real():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert control_node.reach("127.0.0.1", port) == "connected"
    assert control_node.reach("127.0.0.1", port) == "refused"


def test_what_cannot_be_reached_is_not_called_refused(monkeypatch):
    def lost(_address: Any, _timeout: float) -> None:
        raise TimeoutError

    monkeypatch.setattr(control_node.socket, "create_connection", lost)
    assert control_node.reach("10.77.0.11", 8080) == "no answer"
    monkeypatch.setattr(
        control_node.socket,
        "create_connection",
        lambda *_given: (_ for _ in ()).throw(OSError(113, "No route to host")),
    )
    assert control_node.reach("10.77.0.11", 8080) == "No route to host"


@pytest.mark.parametrize(
    ("result", "tried"),
    [({"listeners": []}, {"8080": "connected"}), ({"unreachable": True, "msg": "no answer"}, None)],
)
def test_the_action_tries_it_where_the_pi_was_looked_at(monkeypatch, result: dict[str, Any], tried: Any):
    monkeypatch.setattr(action.KeptModule, "run", lambda *_given: dict(result))
    monkeypatch.setattr(action, "reach", lambda address, port: "connected" if address == "10.77.0.11" else "refused")
    made = object.__new__(action.ActionModule)
    made._task = SimpleNamespace(args={"address": "10.77.0.11", "control_node_ports": [8080]})
    assert made.run().get("from_control_node") == tried

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Capabilities and low ports: what the unit's process can do, and a pod not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import preflight_world as world
import pytest
from conftest import import_plugin

facts = import_plugin("module_utils._core.unit_process")
procfs = import_plugin("module_utils._core.procfs")
rights = import_plugin("module_utils._preflight.rights")
preflight = import_plugin("module_utils._preflight.judge")
NET_BIND = 1 << 10
PI = {"uid": 1000, "gid": 1000, "user": "pi"}
OF_PI = {"data_owners": dict.fromkeys(world.HOSTS, {"uid": 1000, "gid": 1000})}
ON_443 = {"standard_ports": {"rest": 443, "grpc": 9090, "raft": 9091}}


def found(process: Any = None, migration: Any = None, seen: Any = None, **owner: Any) -> list[Any]:
    """Of pi-2; what is about closed or open ports is left out."""
    all_seen = world.healthy()
    for host in all_seen["host"].values():
        host["unit"]["process"] = world.process(**(process or {}))
        host.update(seen or {})
    findings = preflight.evaluate(all_seen, world.settings(**(migration or {})), world.owner(**owner))
    return [
        finding
        for finding in findings
        if finding.host == "pi-2" and finding.check in ("low ports", "unit capabilities")
    ]


def test_p8_capabilities_of_a_process_are_read():
    assert (
        facts.capabilities("CapPrm:\t0000000000000000\nCapEff:\t0000000000000400\nCapBnd:\t000001ffffffffff\n")
        == NET_BIND
    )
    assert facts.capabilities("") == 0
    assert rights.names_of(NET_BIND | 1 << 12 | 1 << 60) == ["NET_BIND_SERVICE", "NET_ADMIN", "60"]


@pytest.mark.parametrize(("text", "first"), [("443\n", 443), (None, 1024), ("?", 1024)])
def test_p8_the_first_port_that_any_process_can_bind(tmp_path: Path, text, first):
    folder = tmp_path / "sys/net/ipv4"
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "ip_unprivileged_port_start").write_text(text)
    assert procfs.unprivileged_ports_from(tmp_path) == first


LOW_PORT_CASES = {
    "a user, privileged": (PI, ON_443, {}, OF_PI, "net.ipv4.ip_unprivileged_port_start=443"),
    "a user that the owner names": (
        PI,
        ON_443,
        {},
        {"security_context": {"runAsUser": 1000}},
        "ip_unprivileged_port_start",
    ),
    "capabilities of a user count for nothing": (
        PI,
        ON_443,
        {},
        {"security_context": {"runAsUser": 1000, "capabilities": {"add": ["NET_BIND_SERVICE"]}}},
        "ip_unprivileged_port_start",
    ),
    "root without capabilities": ({}, ON_443, {}, {"security_context": {}}, "add NET_BIND_SERVICE to capabilities.add"),
    "root with others": (
        {},
        ON_443,
        {},
        {"security_context": {"capabilities": {"add": ["SETUID", "ALL"]}}},
        "add NET_BIND_SERVICE",
    ),
    "a port that the environment sets": (
        PI,
        {"standard_env": {"PI_CONTROLLER_WEBUI_PORT": "80"}},
        {},
        OF_PI,
        "ip_unprivileged_port_start=80",
    ),
    "a port of the daemon's file": (PI, {}, {"own_listeners": {"PI_CONTROLLER_WEBUI_PORT": 80}}, OF_PI, "start=80"),
}


@pytest.mark.parametrize("name", LOW_PORT_CASES)
def test_p8_a_port_that_the_pods_cannot_bind_is_refused(name):
    process, migration, seen, owner, fix = LOW_PORT_CASES[name]
    (finding,) = found(process, migration, seen, **owner)
    assert (finding.check, finding.level) == ("low ports", "error")
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("process", "migration", "seen", "owner"),
    [
        ({}, ON_443, {}, {}),
        ({}, ON_443, {}, {"security_context": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}),
        ({}, ON_443, {}, {"security_context": {"capabilities": {"drop": []}}}),
        (PI, ON_443, {"unprivileged_ports_from": 443}, OF_PI),
        (PI, ON_443, {}, {"security_context": {"privileged": True, "runAsUser": 0}}),
        (PI, {}, {}, OF_PI),
        (
            PI,
            {"standard_env": {"PI_CONTROLLER_WEBUI_PORT": "3000"}},
            {"own_listeners": {"PI_CONTROLLER_WEBUI_PORT": 80}},
            OF_PI,
        ),
    ],
)
def test_p8_ports_that_the_pods_can_bind_are_not_a_finding(process, migration, seen, owner):
    assert found(process, migration, seen, **owner) == []


def test_p8_capabilities_that_a_pod_of_a_user_lacks_are_a_warning():
    process = {**PI, "capabilities": NET_BIND | 1 << 13}
    (finding,) = found(process, **OF_PI)
    assert (finding.check, finding.level, finding.seen) == ("unit capabilities", "warning", "NET_BIND_SERVICE, NET_RAW")
    # Root's pods have what their security context gives them.
    assert found(process, security_context={"privileged": True, "runAsUser": 0}) == []
    # A port that needs it has a finding of its own.
    findings = found({**PI, "capabilities": NET_BIND}, ON_443, **OF_PI)
    assert [finding.check for finding in findings] == ["low ports"]

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe of the ports between hosts with networks and firewalls of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

# Not a conftest: the unit tests import from theirs by that name.
pytest_plugins = ["namespaces"]

PATIENCE = 60.0  # seconds, long beside what a probe takes
NEW, OLD = [9092, 9093, 8082], [9091]
CODE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._preflight.port_probe import probe
print(json.dumps(probe(json.load(sys.stdin))))
"""


@pytest.fixture
def hosts(wire):
    """Three hosts with a listener on the old port."""
    for host in wire.hosts.values():
        host.serve(OLD[0], host.name)
    return wire.hosts


def probes(hosts, patience: float = PATIENCE) -> dict[str, dict[str, Any]]:
    """All hosts probe at the same time."""
    from namespaces import CHECKOUT

    peers = [{"name": host.name, "address": host.address} for host in hosts.values()]
    running = {}
    for host in hosts.values():
        options = {
            "name": host.name,
            "address": host.address,
            "peers": peers,
            "new_ports": NEW,
            "old_ports": OLD,
            "patience": patience,
        }
        command = ["ip", "netns", "exec", host.namespace, sys.executable, "-c", CODE, str(CHECKOUT / ".collections")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(json.dumps(options))
        process.stdin.close()
        process.stdin = None
        running[host.name] = process
    return {name: json.loads(process.communicate(timeout=2 * PATIENCE)[0]) for name, process in running.items()}


def refused_or_lost(results) -> dict[tuple[str, str, str], str]:
    return {
        (host, peer, port): seen["result"]
        for host, result in results.items()
        for peer, ports in result["reached"].items()
        for port, seen in ports.items()
        if seen["result"] not in ("answered", "connected")
    }


def test_every_pi_reaches_every_pi(hosts):
    results = probes(hosts)

    assert refused_or_lost(results) == {}
    for name, result in results.items():
        assert result["listened"] == sorted(NEW)
        assert result["heard"] == {peer: sorted(NEW) for peer in hosts if peer != name}
        assert {seen["result"] for ports in result["reached"].values() for seen in (ports[str(OLD[0])],)} == {
            "connected"
        }
        assert all(abs(clock["offset"]) - clock["uncertainty"] < 0.05 for clock in result["clocks"].values())
        assert result["elapsed"] < PATIENCE / 2


@pytest.mark.parametrize(
    ("target", "result"), [(["DROP"], "timeout"), (["REJECT", "--reject-with", "tcp-reset"], "refused")]
)
def test_a_port_blocked_one_way_is_reported_that_way(hosts, target, result):
    rule = ["INPUT", "-p", "tcp", "-s", hosts["pi-1"].address, "--dport", "9092", "-j", *target]
    hosts["pi-2"].run("iptables", "-I", *rule)
    results = probes(hosts)

    assert refused_or_lost(results) == {("pi-1", "pi-2", "9092"): result}
    assert results["pi-2"]["heard"]["pi-1"] == [8082, 9093]
    # The patience is for those who are not there at all.
    assert max(result["elapsed"] for result in results.values()) < PATIENCE / 2


def test_a_holder_of_the_port_on_loopback_only_is_in_the_way_too(hosts):
    hosts["pi-2"].serve(9092, "squatter", "::ffff:127.0.0.1")
    results = probes(hosts, patience=3)

    assert results["pi-2"]["taken"] == {"9092": "in use"}
    assert refused_or_lost(results) == {("pi-1", "pi-2", "9092"): "refused", ("client", "pi-2", "9092"): "refused"}


def test_a_host_without_a_network_is_missed_on_every_port(hosts):
    hosts["pi-2"].run("ip", "link", "set", "eth0", "down")
    results = probes(hosts, patience=3)

    lost = refused_or_lost(results)
    assert {(host, peer) for host, peer, _port in lost} == {
        ("pi-1", "pi-2"), ("client", "pi-2"), ("pi-2", "pi-1"), ("pi-2", "client")
    }  # fmt: skip
    assert len(lost) == 4 * len(NEW + OLD)


def test_k1_a_stranger_behind_nat_is_seen_from_the_others(hosts):
    """As with a pod's hostPort, or a Service on the Pi's address: the port is free on the Pi, and whoever connects reaches something else."""
    hosts["pi-2"].serve(7777, "a pod")
    hosts["pi-2"].run(
        "iptables",
        "-t",
        "nat",
        "-I",
        "PREROUTING",
        "-p",
        "tcp",
        "--dport",
        "8082",
        "-j",
        "REDIRECT",
        "--to-ports",
        "7777",
    )
    results = probes(hosts)

    assert 8082 in results["pi-2"]["listened"]
    assert {host: results[host]["reached"]["pi-2"]["8082"]["result"] for host in ("client", "pi-1")} == {
        "client": "connected",
        "pi-1": "connected",
    }
    assert results["client"]["reached"]["pi-1"]["8082"]["result"] == "answered"

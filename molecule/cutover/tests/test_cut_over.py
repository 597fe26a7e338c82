# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the cutover: whoever asks a Pi reaches its pod, also after a reboot, and the units only stand by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.lab import cluster, shell, state

Content = Callable[[int], dict[str, list[dict[str, Any]]]]


def test_who_asks_a_pi_reaches_its_pod(host: Host, addresses: dict[str, str]) -> None:
    node = state.require().node(host.backend.get_hostname())
    members = cluster.request(node, "GET", "/api/v1/raft/members")["members"]
    assert {member["Address"] for member in members} == {f"{address}:9092" for address in addresses.values()}


@pytest.mark.parametrize(("standard", "temporary"), [(8080, 8082), (9090, 9093), (8081, 8084)])
def test_d12_every_port_is_routed_to_the_pod(host: Host, standard: int, temporary: int) -> None:
    assert any(f"tcp dport {standard} " in rule and f" dnat to :{temporary} " in rule for rule in on.gate_rules(host))


def test_the_unit_alone_holds_the_hardware(
    daemons: dict[str, list[int]], holds_hardware: Callable[[int], bool]
) -> None:
    (unit,), (pod,) = daemons["unit"], daemons["pod"]
    assert holds_hardware(unit)
    assert not holds_hardware(pod)


def test_a_boot_would_route_them_to_the_pod_again(host: Host) -> None:
    unit = "pi-controller-migration-gate.service"
    assert host.file(f"/etc/systemd/system/multi-user.target.wants/{unit}").is_symlink
    before = on.gate_rules(host)
    assert before
    # What a boot does, with nothing of it left in the kernel.
    host.run_expect([0], f"nft delete table inet pi_controller_gate && systemctl restart {unit}")
    assert on.gate_rules(host) == before
    # The unit itself must not be what a boot brings back.
    assert on.unit_state(host) == ("disabled", "active")
    # Nor what opens the old side again where a cutover is interrupted.
    assert not host.file("/etc/systemd/system/pi-controller-migration-lease.service").exists
    assert not host.file("/var/lib/pi-controller-migration-lease").exists


@pytest.fixture
def written() -> str:
    """The name of a row that a client writes through the standard port of the Pi that leads now."""
    nodes = state.require().nodes
    (leader,) = [node for node in nodes if f"{node.address}:9092" == cluster.leader(node)]
    name = f"written-after-the-cutover-{len(cluster.request(leader, 'GET', '/api/v1/nodes')['nodes'])}"
    cluster.request(leader, "POST", "/api/v1/nodes", {"name": name})
    return name


def test_what_a_client_writes_reaches_every_pod_and_no_unit(host: Host, content: Content, written: str) -> None:
    def names(port: int) -> set[str]:
        return {row["name"] for row in content(port)["nodes"]}

    # A follower has it a heartbeat later than the leader.
    shell.wait_for(
        f"the pod holds {written}",
        lambda: None if written in names(8082) else "it does not",
        timeout=10,
        advice="look at its log",
    )
    assert written not in names(8080)


def test_the_service_points_to_the_pods(addresses: dict[str, str]) -> None:
    endpoints = rehearsal.kubectl_json("-n", "pi-controller", "get", "endpoints", "pi-controller")["subsets"]
    assert {address["ip"] for subset in endpoints for address in subset["addresses"]} == set(addresses.values())
    assert {port["port"] for subset in endpoints for port in subset["ports"]} == {8082, 9093}


def test_nothing_is_archived_yet(host: Host) -> None:
    assert host.file("/var/lib/pi-controller/pi-controller.db").is_file
    assert not host.file("/var/lib/pi-controller.systemd.backup").exists

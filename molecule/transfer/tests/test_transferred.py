# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the second phase: two clusters of the same IDs and the same content, which do not know of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from testinfra.host import Host

from tests.e2e import hosts as on

Members = Callable[[int], set[tuple[str, str, bool]]]


def test_the_pods_are_a_cluster_of_their_own(members: Members, addresses: dict[str, str]) -> None:
    assert members(8082) == {(name, f"{address}:9092", True) for name, address in addresses.items()}


def test_it_has_one_leader(addresses: dict[str, str]) -> None:
    leaders = {on.raft_status(on.host(name), 8082)["leader"] for name in addresses}
    assert len(leaders) == 1
    assert leaders < {f"{address}:9092" for address in addresses.values()}


def test_the_old_cluster_is_as_it_was(host: Host, members: Members, addresses: dict[str, str]) -> None:
    assert members(8080) == {(name, f"{address}:9091", True) for name, address in addresses.items()}
    assert on.unit_state(host) == ("enabled", "active")
    assert host.check_output(f"systemctl show -P NRestarts {on.DAEMON}") == "0"


def test_the_pod_listens_beside_the_unit(daemons: dict[str, list[int]], ports: Callable[[int], set[int]]) -> None:
    (unit,), (pod,) = daemons["unit"], daemons["pod"]
    assert ports(unit) >= {8080, 9090, 9091}
    assert ports(pod) >= {8082, 9093, 9092}
    assert ports(pod).isdisjoint(ports(unit))


def test_both_hold_the_same(content: Callable[[int], dict[str, list[dict[str, Any]]]]) -> None:
    old = content(8080)
    assert all(old.values())
    assert content(8082) == old


def test_the_hardware_is_still_the_units(daemons: dict[str, list[int]], holds_hardware: Callable[[int], bool]) -> None:
    (unit,), (pod,) = daemons["unit"], daemons["pod"]
    assert holds_hardware(unit)
    assert not holds_hardware(pod)


def test_clients_are_led_to_the_units_as_before(host: Host) -> None:
    assert on.gate_rules(host) == []


def test_no_pod_is_left_that_would_bootstrap(host: Host, daemons: dict[str, list[int]]) -> None:
    (pod,) = daemons["pod"]
    environment = host.check_output(f"tr '\\0' '\\n' < /proc/{pod}/environ").splitlines()
    assert not [line for line in environment if "BOOTSTRAP" in line], "it would win over the pod's file"
    assert (
        yaml.safe_load(host.file("/var/lib/pi-controller-pods.config/temporary.yaml").content_string)["cluster"][
            "bootstrap"
        ]
        is False
    )

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from conftest import import_plugin

faults = import_plugin("filter.inventory_faults").FilterModule().filters()["inventory_faults"]
ADDRESSES = {"pi-1": "10.77.0.11", "pi-2": "10.77.0.12", "pi-3": "10.77.0.13"}
NODES = {host: host for host in ADDRESSES}


def found(addresses=None, nodes=None, played=tuple(ADDRESSES)):
    return faults(
        ADDRESSES if addresses is None else addresses, "k3s_cluster", NODES if nodes is None else nodes, list(played)
    )


def test_a_group_that_fits():
    assert found() == []


def test_no_group_at_all():
    (fault,) = found({}, {}, ["localhost"])

    assert fault.startswith("The group k3s_cluster is not in the inventory or has no hosts")


def test_a_run_for_some_of_the_hosts_is_refused_before_anything_else():
    """Hosts that are left out have no address yet, which is not their fault."""
    (fault,) = found({"pi-1": "10.77.0.11", "pi-2": "", "pi-3": ""}, played=["pi-1"])

    assert fault.startswith("This run leaves out pi-2, pi-3;")


def test_what_only_looks_may_leave_hosts_out_but_needs_the_group():
    assert faults({"pi-1": "10.77.0.11", "pi-2": ""}, "k3s_cluster", {}, ["pi-1"], whole=False) == []
    (fault,) = faults({}, "k3s_cluster", {}, ["localhost"], whole=False)
    assert fault.startswith("The group k3s_cluster is not in the inventory")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("played", [["localhost"], ["nas", *ADDRESSES]])
def test_a_group_that_is_named_in_the_inventory_alone_is_refused(played, whole):
    """The plays have chosen the hosts of another group, or none."""
    (fault,) = faults(ADDRESSES, "pis", NODES, played, whole=whole)

    assert f"this run is for {played[0]} as well" in fault
    assert fault.endswith("Give it with every command: -e raft_migration_hosts=pis.")


def test_two_hosts_with_one_address_or_one_node():
    assert found({**ADDRESSES, "pi-3": "10.77.0.11"}, {**NODES, "pi-2": "pi-1"}) == [
        "pi-1 and pi-3 have the same address 10.77.0.11; give each its own pi_controller_address.",
        "pi-1 and pi-2 have the same node pi-1; give each its own pi_controller_node_name.",
    ]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "localhost", "::1"])
def test_an_address_no_other_pi_reaches(address):
    (fault,) = found({**ADDRESSES, "pi-2": address})

    assert fault.startswith(f"pi-2 has the address {address}, where no other Pi")


def test_a_name_is_an_address_like_any_other():
    assert found({**ADDRESSES, "pi-2": "pi-2.lan"}) == []

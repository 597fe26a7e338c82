# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which node a host of the inventory is, whatever the inventory calls it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from conftest import CHECKOUT, import_plugin
from fake_kube import FakeKube

api = import_plugin("module_utils._kube.api")
nodes = import_plugin("module_utils._kube.nodes")


def node(name: str, *addresses: str) -> dict[str, Any]:
    listed = [{"type": "InternalIP", "address": address} for address in addresses]
    return {"metadata": {"name": name}, "status": {"addresses": [*listed, {"type": "Hostname", "address": name}]}}


NODES = [
    node("raspberrypi1", "192.16.35.11"),
    node("raspberrypi2", "192.16.35.12", "fd00::2"),
    node("pi-3", "192.16.35.13"),
]


@pytest.mark.parametrize(
    ("addresses", "names"),
    [
        # The sample inventory of k3s-ansible.
        (
            {"192.16.35.11": "192.16.35.11", "192.16.35.12": "192.16.35.12"},
            {"192.16.35.11": "raspberrypi1", "192.16.35.12": "raspberrypi2"},
        ),
        ({"pi-3": "192.16.35.13"}, {"pi-3": "pi-3"}),
        # A name of the inventory that is another than the node's.
        ({"kitchen": "192.16.35.12"}, {"kitchen": "raspberrypi2"}),
        ({"kitchen": "fd00:0:0::2"}, {"kitchen": "raspberrypi2"}),
        # The own name wins: an address may have moved.
        ({"pi-3": "192.16.35.11"}, {"pi-3": "pi-3"}),
        ({"nowhere": "192.16.35.99", "by-name": "pi-7.local"}, {}),
    ],
)
def test_a5_a_node_is_found_by_name_or_by_its_internal_ip(addresses, names):
    assert nodes.node_names(NODES, addresses) == names


def test_a5_the_module_asks_the_api(run_module, monkeypatch):
    fake = FakeKube(lag=0)
    fake.objects["/api/v1/nodes"] = {"items": NODES}
    monkeypatch.setattr(import_plugin("modules.k8s_node_names"), "connect", lambda _module: api.KubeApi(fake))
    result = run_module("k8s_node_names", {"addresses": {"192.16.35.11": "192.16.35.11"}})
    assert (result["changed"], result["names"]) == (False, {"192.16.35.11": "raspberrypi1"})
    assert fake.writes == []


def test_a5_discover_takes_the_node_that_was_found(evaluate):
    """As the tasks of discover.yml decide it; what the owner has set wins, and without the API the inventory's name stays."""
    tasks = {task["name"]: task for task in yaml.safe_load((CHECKOUT / "roles/run/tasks/discover.yml").read_text())}
    first = tasks["Read and check the configuration"]["ansible.builtin.set_fact"]["raft_migration_node"]
    later = tasks["Set the migration's ID, this Pi's node and its endpoint"]
    assert later["ansible.builtin.set_fact"]["raft_migration_node"] == "{{ _node }}"
    known = {name: text.replace("inventory_hostname", "case_name") for name, text in later["vars"].items()}
    known["raft_migration_node"] = first.replace("inventory_hostname", "case_name")
    found, name = {"names": {"10.0.0.1": "pi-1"}}, {"case_name": "10.0.0.1"}
    cases = [
        {**name, "raft_migration_found_nodes": found},
        {**name, "raft_migration_found_nodes": {"failed": True, "msg": "no API"}},
        {**name, "raft_migration_found_nodes": found, "pi_controller_node_name": "mine"},
    ]
    assert evaluate("run", "{{ _node }}", cases, {"vars": known}) == ["pi-1", "10.0.0.1", "mine"]

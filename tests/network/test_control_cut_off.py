# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A control node that is cut off hears nothing from a Pi by ssh or from the API, and the Pi's clients on the same machine notice nothing."""

from __future__ import annotations

import pytest

from tests.lab import faults, settings
from tests.lab.state import Node

# Not a conftest: the unit tests import from theirs by that name.
pytest_plugins = ["namespaces"]

REACH = f"table {faults.CONTROL_TABLE}\ndelete table {faults.CONTROL_TABLE}\n"


@pytest.fixture
def rules() -> str:
    return faults.control_rules(settings.FAMILIES.values())


def test_ssh_and_the_api_are_cut_off_until_they_are_let_through_again(client, pi, rules):
    machine = settings.FAMILIES["ipv4"].machine
    client.run("ip", "address", "add", f"{machine}/24", "dev", "eth0")
    for port in faults.CONTROL_PORTS.values():
        pi.serve(port, "control")
    assert client.ask(pi.address, 22, machine) == f"control {machine}"
    # The second time instead of the first.
    for _ in range(2):
        pi.run("nft", "-f", "-", data=rules)
        for port in faults.CONTROL_PORTS.values():
            assert client.ask(pi.address, port, machine) == "timeout"
        # As the witness: from the same address to a daemon's port, and another client anywhere.
        assert client.ask(pi.address, 8080, machine) == f"old-1 {machine}"
        assert client.ask(pi.address, 22, client.address) == f"control {client.address}"
    pi.run("nft", "-f", "-", data=REACH)
    assert client.ask(pi.address, 22, machine) == f"control {machine}"
    # Where nothing is cut off there is nothing to take back.
    pi.run("nft", "-f", "-", data=REACH)


def test_an_answer_that_is_under_way_does_not_arrive(client, pi, rules):
    """As of a module that ends on the Pi meanwhile."""
    machine = settings.FAMILIES["ipv4"].machine
    client.run("ip", "address", "add", f"{machine}/24", "dev", "eth0")
    server = pi.serve(22, "control")
    connection = client.start("talk", pi.address, "22", machine, "3")
    connection.stdin.write("hold\n")
    connection.stdin.flush()
    assert server.stdout.readline().strip() == "holding"
    pi.run("nft", "-f", "-", data=rules)
    server.stdin.write("go on\n")
    server.stdin.flush()
    assert connection.stdout.readline().strip() == "timeout"


def test_reach_is_what_the_lab_does(monkeypatch):
    sent = []
    monkeypatch.setattr(faults.network, "nft", lambda node, *argv, stdin: sent.append((node, argv, stdin)))
    faults.reach_control(Node(1))
    assert sent == [(Node(1), ("-f", "-"), REACH)]

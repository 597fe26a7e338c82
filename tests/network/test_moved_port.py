# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member's old port that is routed to its new one, in the kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Not a conftest: the unit tests import from theirs by that name.
pytest_plugins = ["namespaces"]

CHECKOUT = Path(__file__).resolve().parents[2]
OLD, NEW = 9092, 9091
# As raft_membership does it, without a cluster.
SCRIPT = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._gate import moved, nft
def run(command, data):
    done = subprocess.run(command, input=data, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr
port = moved.MovedPort(nft.Nft("nft", run), sys.argv[2], int(sys.argv[3]))
getattr(port, sys.argv[4])()
"""


def do(pi, address, what):
    pi.run(sys.executable, "-c", SCRIPT, str(CHECKOUT / ".collections"), address, str(OLD), what)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_others_reach_the_new_port_at_the_old_one(client, pi, other, family):
    address = pi.address if family == "ipv4" else pi.address6
    at = f"{address}:{NEW}" if family == "ipv4" else f"[{address}]:{NEW}"
    pi.serve(NEW, "moved")
    other.serve(OLD, "neighbour")
    assert client.ask(address, OLD) == "reset"
    for _again in range(2):
        do(pi, at, "route")
    assert client.ask(address, OLD).startswith("moved")
    assert other.ask(address, OLD).startswith("moved")
    assert pi.ask(address, OLD) == "reset", "the Pi itself sees that nothing listens there"
    assert client.ask(address, NEW).startswith("moved")
    neighbour = other.address if family == "ipv4" else other.address6
    assert pi.ask(neighbour, OLD).startswith("neighbour"), "the same port of another Pi is another one"

    for _again in range(2):
        do(pi, at, "clear")
    assert client.ask(address, OLD) == "reset"
    assert "pi_controller_moved" not in pi.run("nft", "list", "tables").stdout


@pytest.mark.parametrize("state", ["forwarded", "fenced", "redirected", "open"])
def test_it_lasts_no_longer_than_the_turn(client, pi, other, state):
    """The gate forwards in a turn. In any other state the old port may be that of a member of another cluster, which has the same IDs."""
    pi.serve(NEW, "moved")
    do(pi, f"{pi.address}:{NEW}", "route")
    assert pi.gate(state, forward_to=other.address)["state"] == state
    assert client.ask(pi.address, OLD).split()[0] == ("moved" if state == "forwarded" else "reset")

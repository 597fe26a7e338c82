# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pre-flight and chains that drop what the gate forwards in a Pi's turn."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import import_plugin
from preflight_world import healthy, owner, settings

forwarding = import_plugin("module_utils._preflight.forwarding")
judge = import_plugin("module_utils._preflight.judge")
plan = import_plugin("module_utils._preflight.plan")


def warnings(*chains: str, unreadable: str | None = None, **host: Any) -> list[Any]:
    """What pre-flight shows of forwarded packets where pi-1 has these chains."""
    world = healthy()
    world["host"]["pi-1"].update(forwarding={"denied_by": list(chains), "unreadable": unreadable}, **host)
    findings = judge.evaluate(world, settings(), owner())
    return [finding for finding in findings if finding.check == "forwarded packets"]


@pytest.mark.parametrize(
    ("chain", "command"),
    [
        ("inet filter forward", "nft insert rule inet filter forward ct status dnat accept"),
        ("ip mine forward", "nft insert rule ip mine forward ct status dnat accept"),
        # A rule of nft in a table of iptables would keep iptables from reading it.
        ("ip filter FORWARD", "iptables -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT"),
        ("ip6 filter FORWARD", "ip6tables -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT"),
    ],
)
def test_p1_a_chain_that_drops_is_named_with_the_rule_it_lacks(chain, command):
    (finding,) = warnings(chain)

    assert (finding.host, finding.level) == ("pi-1", "warning")
    assert f"chain {chain} drops forwarded packets by default" in finding.seen
    assert finding.fix.endswith(command)


def test_p1_each_chain_has_a_warning():
    assert len(warnings("inet filter forward", "ip filter FORWARD")) == 2


@pytest.mark.parametrize(
    ("addresses", "strategy", "followers_write", "count"),
    [
        (1, "parallel", False, 0),
        (2, "parallel", False, 1),
        (3, "rolling", False, 1),
        # Clients of a Pi that keeps its data to itself are refused in its turn.
        (3, "rolling", True, 0),
    ],
)
def test_p1_only_a_pi_that_forwards_has_a_warning(addresses, strategy, followers_write, count):
    whole = owner(followers_write=followers_write)
    whole["addresses"] = dict(list(whole["addresses"].items())[:addresses])
    made = plan.make_plan(settings(strategy=strategy), whole, {})
    seen = {**healthy()["host"]["pi-1"], "forwarding": {"denied_by": ["inet filter forward"], "unreadable": None}}

    assert len(list(forwarding.forwarding_findings(made, "pi-1", seen))) == count


def test_p1_chains_that_could_not_be_read_are_not_taken_for_good():
    (finding,) = warnings(unreadable="nft failed with 1: no JSON")

    assert (finding.level, finding.seen) == ("warning", "not read: nft failed with 1: no JSON")


@pytest.mark.parametrize("cause", [{"missing_tools": ["nft"]}, {"privileged": False}])
def test_p1_a_cause_with_a_finding_of_its_own_is_not_repeated(cause):
    assert warnings(unreadable="nft failed", **cause) == []

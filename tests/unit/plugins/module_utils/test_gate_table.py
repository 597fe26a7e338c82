# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sets, chains and rules a state wants, and what is read of them; tests/network asks a real kernel what they do."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from conftest import import_plugin

table = import_plugin("module_utils._gate.table")
standing = import_plugin("module_utils._gate.standing")
Gate, Port = table.Gate, table.Port

PORTS = (Port(8080, 8082), Port(9090, 9093))
LAPSED = "ct original proto-dst != @fenced"
OWN = ("192.0.2.11", "2001:db8::11")


def gate(state: str, **options: Any) -> Any:
    return Gate(state, PORTS, ("192.0.2.12", "2001:db8::12") if state == "forwarded" else (), own=OWN, **options)


GATES = {
    "open": gate("open"),
    "open, ending": gate("open", ends_routed=True),
    **{state: gate(state) for state in ("fenced", "redirected", "forwarded")},
    **{f"{state}, keeping": gate(state, keep_established=True) for state in ("fenced", "redirected", "forwarded")},
    "redirected with Services": gate(
        "redirected", services=(("10.96.0.17", "192.0.2.11"), ("fd00::17", "2001:db8::11"))
    ),
    "forwarded with Services": gate("forwarded", services=(("10.96.0.17", "192.0.2.11"), ("fd00::17", "2001:db8::11"))),
    **{f"{state}, a lease": gate(state, lifetime=30.0) for state in ("fenced", "redirected", "forwarded")},
    "forwarded, IPv4 only": replace(gate("forwarded"), forward_to=("192.0.2.12",)),
}


def rules(wanted: Any, chain: str) -> list[str]:
    return [rule.text for rule in wanted.chains().get(chain, [])]


def as_json(wanted: Any) -> str:
    """The table as nft lists it."""
    seen = wanted.expected()
    where = {"family": "inet", "table": standing.NAME}
    entries: list[dict[str, Any]] = [
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "inet", "name": standing.NAME}},
    ]
    for name, elements in seen.sets.items():
        kind = "inet_service" if name == "fenced" else "ipv4_addr"
        shown = [
            {"prefix": {"addr": element.partition("/")[0], "len": int(element.partition("/")[2])}}
            if "/" in element
            else element
            for element in elements
        ]
        if name == "fenced" and seen.lapsing:
            shown = [{"elem": {"val": int(element), "timeout": 30, "expires": 12}} for element in elements]
        entries.append({"set": {**where, "name": name, "type": kind, "elem": shown}})
    for name, chain in seen.chains.items():
        entries.append(
            {"chain": {**where, "name": name, "type": chain.kind, "hook": chain.hook, "prio": chain.priority}}
        )
    for name, listed in seen.rules.items():
        for comment, verdict in listed:
            entries.append(
                {"rule": {**where, "chain": name, "comment": comment, "expr": [{"match": {}}, {verdict: None}]}}
            )
    return json.dumps({"nftables": entries})


@pytest.mark.parametrize("name", GATES)
def test_what_nft_lists_of_a_gate_is_that_gate(name):
    wanted = GATES[name]
    if not wanted.exists:
        assert wanted.expected() is None
        assert standing.state_of(None) == "open"
        return
    seen = standing.parse(as_json(wanted))

    assert seen == wanted.expected()
    assert standing.state_of(seen) == wanted.state


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(GATES, 2)))
def test_no_gate_is_taken_for_another(one, other):
    assert GATES[one].expected() != GATES[other].expected()


@pytest.mark.parametrize(("before", "after"), list(itertools.product(GATES, repeat=2)))
def test_a_change_in_place_deletes_no_chain_that_is_wanted(before, after):
    """One that is made anew has a moment in which a new connection misses it."""
    text = GATES[after].update_text(GATES[before].expected())
    if not GATES[before].exists or not GATES[after].exists:
        assert text == GATES[after].text()
        return
    wanted = GATES[after].chains()
    assert "delete table" not in text
    for name in GATES[before].chains():
        assert (f"delete chain inet {standing.NAME} {name}\n" in text) is (name not in wanted)


@pytest.mark.parametrize("damage", ["chain", "priority", "set"])
def test_a_table_with_strangers_is_replaced_as_a_whole(damage):
    before = gate("fenced").expected()
    if damage == "chain":
        before.chains["stray"] = standing.Chain("", "", 0)
    elif damage == "priority":
        before.chains["deliver"] = standing.Chain("filter", "input", 0)
    else:
        before.sets["stray"] = frozenset()

    assert gate("fenced").update_text(before) == gate("fenced").text()


@pytest.mark.parametrize("name", GATES)
def test_the_whole_table_is_one_transaction(name):
    lines = GATES[name].text().splitlines()

    assert lines[:2] == [f"add table inet {standing.NAME}", f"delete table inet {standing.NAME}"]
    assert lines.count(lines[1]) == 1


def test_open_has_no_table_unless_it_ends_redirected_connections():
    assert not GATES["open"].exists
    ends = rules(GATES["open, ending"], "deliver")
    assert "tcp dport 8082 ct direction original ct original proto-dst 8080 reject with tcp reset" in ends
    assert not any("@fenced" in rule for rule in ends)


@pytest.mark.parametrize(
    "name", [name for name in GATES if name.partition(",")[0] in ("fenced", "redirected", "forwarded")]
)
def test_the_operator_comes_first_and_is_root(name):
    for chain in ("front", "deliver"):
        listed = rules(GATES[name], chain)
        assert not listed or listed[0] == 'iifname "lo" ip saddr 127.0.9.64/26 accept'
    out = rules(GATES[name], "out")
    assert out[0] == "ip saddr 127.0.9.64/26 tcp dport @fenced meta skuid != 0 reject with tcp reset"
    assert all("127.0.9.64/26 accept" in rule for rule in out[1:3])


@pytest.mark.parametrize("state", ["fenced", "redirected", "forwarded"])
def test_nothing_reaches_the_daemon_and_nothing_it_says_gets_out(state):
    assert rules(gate(state), "deliver")[-1] == "tcp dport @fenced reject with tcp reset"
    resets, answers = rules(gate(state), "out")[-2:]
    # The gate's own resets pass here too: changed or dropped, clients would hang.
    assert resets.endswith("tcp flags & rst == rst accept")
    assert answers == "tcp sport @fenced tcp flags set rst"


@pytest.mark.parametrize("state", ["fenced", "redirected", "forwarded"])
def test_what_is_kept_is_never_rejected_or_silenced(state):
    kept = gate(state, keep_established=True)

    assert not any("tcp flags set rst" in rule for rule in rules(kept, "out"))
    listed = [rule for chain in ("front", "deliver") for rule in rules(kept, chain)]
    # Those for a lease that has ended are for connections to the pod.
    rejected = [rule for rule in listed if "reject" in rule and LAPSED not in rule]
    assert rejected
    assert all("& (fin | syn | rst | ack) == syn" in rule for rule in rejected)


def test_forwarding_skips_loopback_and_a_family_without_target():
    assert GATES["forwarded"].sets["ours4"] == {"192.0.2.11"}
    assert GATES["forwarded"].sets["ours6"] == {"2001:db8::11"}
    assert GATES["forwarded, IPv4 only"].sets["ours6"] == frozenset()
    assert not any(
        "ip6" in rule
        for chain in ("lead_in", "through", "back")
        for rule in rules(GATES["forwarded, IPv4 only"], chain)
    )


def test_services_are_routed_in_their_own_family():
    redirected = rules(GATES["redirected with Services"], "lead_out")
    assert any(
        rule.startswith("ip daddr 10.96.0.17 ") and rule.endswith("dnat ip to 192.0.2.11:8082") for rule in redirected
    )
    assert any(
        rule.startswith("ip6 daddr fd00::17 ") and rule.endswith("dnat ip6 to [2001:db8::11]:8082")
        for rule in redirected
    )
    forwarded = rules(GATES["forwarded with Services"], "lead_out")
    assert any(rule.startswith("ip daddr 10.96.0.17 ") and rule.endswith("dnat ip to 192.0.2.12") for rule in forwarded)
    assert any(
        rule.startswith("ip6 daddr fd00::17 ") and rule.endswith("dnat ip6 to 2001:db8::12") for rule in forwarded
    )


def damaged(change: Any) -> Any:
    seen = gate("redirected").expected()
    change(seen)
    return seen


@pytest.mark.parametrize(
    "change",
    [
        lambda seen: seen.rules["deliver"].pop(),
        lambda seen: seen.rules["out"].reverse(),
        lambda seen: seen.rules["out"].append(("", "accept")),
        lambda seen: seen.rules.update(stray=[("a rule of a stranger", "accept")]),
        lambda seen: seen.rules["deliver"].append(gate("fenced").expected().rules["deliver"][-1]),
        lambda seen: seen.rules.clear(),
    ],
    ids=["a rule is missing", "order", "a stranger", "a strange chain", "of another state", "empty"],
)
def test_a_table_that_is_not_whole_is_of_no_state(change):
    assert standing.state_of(damaged(change)) == "mixed"


def test_the_target_of_a_forwarded_gate_is_read():
    text = json.dumps({"nftables": [
        {"rule": {"chain": "lead_in", "expr": [{"dnat": {"family": "ip", "addr": "192.0.2.12"}}]}},
        {"rule": {"chain": "lead_in", "expr": [{"dnat": {"family": "ip", "addr": "192.0.2.11", "port": 8082}}]}},
        {"rule": {"chain": "lead_in", "expr": [{"dnat": {"port": 8082}}]}},
    ]})  # fmt: skip
    assert standing.parse(text).forward_to == ("192.0.2.12",)


def test_elements_are_read_however_nft_lists_them():
    """Networks and ranges are of a table that was edited by hand, or of an older release."""
    elements = ["192.0.2.9", {"range": ["192.0.2.10", "192.0.2.12"]}, {"prefix": {"addr": "127.0.0.0", "len": 8}}]
    listed = {
        "set": {
            "name": "ours4",
            "type": "ipv4_addr",
            "elem": [*elements, {"elem": {"val": "192.0.2.8", "timeout": 30}}],
        }
    }
    read = standing.parse(json.dumps({"nftables": [listed]})).sets["ours4"]
    assert read == {"192.0.2.8", "192.0.2.9", "192.0.2.10-192.0.2.12", "127.0.0.0/8"}


@pytest.mark.parametrize("name", GATES)
def test_no_set_has_networks_as_these_come_after_the_rules(name):
    assert "interval" not in GATES[name].text()
    # And an address is asked for once its port is known to be there.
    refused = [line for line in GATES[name].text().splitlines() if "daddr != @" in line]
    assert all(line.index("@fenced") < line.index("daddr != @") for line in refused)


@pytest.mark.parametrize("name", GATES)
def test_no_comment_is_longer_than_the_kernel_keeps(name):
    longest = replace(GATES[name], comment="x" * table.COMMENT_LENGTH)
    seen = longest.expected()

    assert all(len(comment.encode()) <= 127 for comment in (seen.comments if seen else []))


def test_a_diff_names_every_rule_and_address():
    shown = standing.show(gate("redirected").expected())

    assert "set ours4: 192.0.2.11" in shown
    assert "ip 8080 to 8082" in shown
    assert standing.show(None) == ""


CLOSED = ("fenced", "redirected", "forwarded")


@pytest.mark.parametrize("state", CLOSED)
def test_a_lease_has_the_rules_of_a_state_that_stays_and_of_its_end(state):
    """A state that stays has none of these: a packet that is under way while the table is deleted would be taken for late."""
    lease, stays = gate(state, lifetime=1.5), gate(state)
    for name, rules_of_lease in lease.chains().items():
        assert [rule for rule in rules_of_lease if LAPSED not in rule.text] == stays.chains().get(name, [])

    assert not any(LAPSED in rule.text for rule in itertools.chain(*stays.chains().values()))
    assert "add element inet pi_controller_gate fenced { 8080 timeout 1500ms, 9090 timeout 1500ms }" in lease.text()
    assert "timeout 1500ms" not in stays.text()
    assert standing.state_of(lease.expected()) == state


@pytest.mark.parametrize("state", CLOSED)
def test_every_rule_that_closes_a_gate_ends_with_its_lease(state):
    """All that keep a client from the daemon, or route it away, look at the set whose elements expire."""
    ending = ("accept", "drop", "mark set", LAPSED)
    # An address of the operator passes in every state.
    closing = [
        rule
        for rule in itertools.chain(*gate(state, lifetime=30.0).chains().values())
        if "127.0.9.64/26 accept" not in rule.text
    ]
    assert [
        rule for rule in closing if "@fenced" not in rule.text and not any(word in rule.text for word in ending)
    ] == []


@pytest.mark.parametrize("state", CLOSED)
def test_a_lease_that_has_ended_keeps_no_one_with_the_other_daemon(state):
    ended = gate(state, lifetime=30.0).expected()
    ended.sets["fenced"], ended.lapsing = frozenset(), frozenset()
    lapsed = [rule for rule in itertools.chain(*gate(state, lifetime=30.0).chains().values()) if LAPSED in rule.text]

    assert standing.state_of(ended) == "lapsed"
    assert bool(lapsed) is (state != "fenced")


def test_only_a_closed_gate_that_is_no_lease_stays():
    ended = gate("redirected", lifetime=30.0).expected()
    ended.sets["fenced"], ended.lapsing = frozenset(), frozenset()
    mixed = gate("fenced").expected()
    mixed.rules["deliver"].pop()
    for seen in (None, ended, mixed, GATES["open, ending"].expected()):
        assert not standing.stays(seen)
    for state in CLOSED:
        assert standing.stays(gate(state).expected())
        assert not standing.stays(gate(state, lifetime=30.0).expected())


@pytest.mark.parametrize("before", ["fenced", "forwarded, a lease", "redirected, a lease"])
def test_a_gate_after_a_lease_deletes_ports_before_adding_them(before):
    """To delete what has expired fails, and with it the whole transaction; so does nothing else."""
    for lifetime, ends in ((None, ""), (7.0, " timeout 7000ms")):
        held = gate("redirected", lifetime=lifetime, held=True)
        for seen in (GATES[before].expected(), replace(GATES[before].expected(), sets={"fenced": frozenset()})):
            lines = held.update_text(seen).splitlines()
            deleted = lines.index("delete element inet pi_controller_gate fenced { 8080, 9090 }")
            assert (
                lines.index(f"add element inet pi_controller_gate fenced {{ 8080{ends}, 9090{ends} }}") == deleted + 1
            )
    assert "delete element" not in held.text()

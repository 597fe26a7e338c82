# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rules a state wants and in which order they change; tests/network asks a real kernel what they do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from conftest import import_plugin

gate_rules = import_plugin("module_utils._gate.rules")
Gate, Port = gate_rules.Gate, gate_rules.Port

PORTS = (Port(8080, 8082), Port(9090, 9093))
EMPTY = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
COMMIT
"""


def gate(state: str, **options: Any) -> Any:
    return Gate(state, PORTS, "192.0.2.12" if state == "forwarded" else None, **options)


def apply(save: str, restore: str) -> str:
    """What iptables-restore --noflush makes of its input, as iptables-save would show it; wrong input fails."""
    tables = gate_rules.parse(save)
    table: Any = None
    for line in restore.splitlines():
        if line.startswith("*"):
            table = tables[line[1:]]
        elif line == "COMMIT":
            table = None
        elif line.startswith(":"):
            table.chains[line[1:].split()[0]] = []
        else:
            action, chain, *rest = line.split(" ", 2)
            rule = rest[0] if rest else ""
            if action == "-A":
                table.chains[chain].append(rule)
            elif action == "-D":
                table.chains[chain].remove(rule)
            elif action == "-I":
                number, rule = rule.split(" ", 1)
                table.chains[chain].insert(int(number) - 1, rule)
            elif action == "-F":
                table.chains[chain].clear()
            else:
                assert action == "-X"
                assert not table.chains.pop(chain)
                assert not table.jumps_to(chain)
    lines = []
    for name, table in tables.items():
        lines += [f"*{name}", *(f":{chain} - [0:0]" for chain in table.chains)]
        lines += [f"-A {chain} {rule}" for chain, rules in table.chains.items() for rule in rules]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def change(save: str, wanted: Any, ipv6: bool = False) -> str:
    return gate_rules.restore_text(gate_rules.parse(save), wanted.rules(ipv6))


def standing(wanted: Any, ipv6: bool = False) -> str:
    return apply(EMPTY, change(EMPTY, wanted, ipv6))


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("before", "after"), list(itertools.product(gate_rules.STATES, repeat=2)))
def test_every_state_is_reached_from_every_other_and_then_stands(before, after, ipv6):
    start = standing(gate(before), ipv6)
    save = apply(start, change(start, gate(after), ipv6))

    assert change(save, gate(after), ipv6) == ""
    assert (change(start, gate(after), ipv6) == "") is (before == after)
    assert gate_rules.state_of(gate_rules.parse(save)) == after


@pytest.mark.parametrize("before", gate_rules.STATES)
def test_open_is_as_if_there_had_never_been_a_gate(before):
    start = standing(gate(before))

    assert apply(start, change(start, gate("open"))) == apply(EMPTY, "")


@pytest.mark.parametrize("state", ["fenced", "redirected", "forwarded"])
def test_the_operator_comes_first_everywhere(state):
    for chains in gate(state).rules().values():
        for rules in chains.values():
            assert "127.0.9.91/32" in rules[0]
            assert rules[0].endswith("-j RETURN")


def test_ipv6_knows_no_ipv4_addresses():
    for state in gate_rules.STATES:
        assert "127.0." not in str(gate(state).rules(ipv6=True))
        assert "192.0.2." not in str(gate(state).rules(ipv6=True))


def test_resets_get_out_before_all_else_is_dropped():
    """The reset that the rejection sends passes OUTPUT with the daemon's port: dropped there, clients would hang."""
    output = gate("fenced").rules()["filter"]["OUTPUT"]
    reset, drop = (
        next(number for number, rule in enumerate(output) if part in rule) for part in ("RST RST", "-j DROP")
    )

    assert reset < drop
    assert output[reset].endswith("-j RETURN")


def sections(text: str) -> list[str]:
    """In the order they are committed: the table and what it is about."""
    about = []
    for section in text.split("COMMIT\n")[:-1]:
        chains = {chain for chain in ("INPUT", "FORWARD") if f"PI-CTL-{chain}" in section}
        about.append(" ".join([section.splitlines()[0], *sorted(chains)]))
    return about


@pytest.mark.parametrize(
    ("before", "after", "order"),
    [
        ("open", "fenced", ["*filter INPUT"]),
        ("open", "redirected", ["*nat", "*filter INPUT"]),
        ("open", "forwarded", ["*filter FORWARD", "*nat", "*filter INPUT"]),
        ("redirected", "open", ["*filter INPUT", "*nat"]),
        ("forwarded", "open", ["*filter INPUT", "*nat", "*filter FORWARD"]),
        ("forwarded", "redirected", ["*nat", "*filter INPUT", "*filter FORWARD"]),
    ],
)
def test_a_connection_made_between_two_tables_finds_a_way(before, after, order):
    assert sections(change(standing(gate(before)), gate(after))) == order


def test_only_what_is_wrong_is_touched():
    save = standing(gate("redirected"))
    damaged = save.replace("-A INPUT -j PI-CTL-INPUT\n", "")

    assert change(damaged, gate("redirected")).count("-I ") == 1


def test_other_rules_are_left_alone():
    others = EMPTY.replace(
        "COMMIT\n*nat",
        '-A INPUT -p tcp -m comment --comment "my PI-CTL-INPUT" -m tcp --dport 22 -j ACCEPT\nCOMMIT\n*nat',
    )
    save = apply(others, change(others, gate("fenced")))

    assert apply(save, change(save, gate("open"))) == apply(others, "")


@pytest.mark.parametrize(
    ("ahead", "stands"),
    [
        ("-j KUBE-SERVICES", True),
        ("-j KUBE-ROUTER-INPUT", True),
        ("-p tcp -j ACCEPT", False),
        ("-j ufw-before-input", False),
    ],
)
def test_what_may_come_ahead_of_the_gate(ahead, stands):
    save = standing(gate("fenced")).replace("-A INPUT -j", f"-A INPUT {ahead}\n-A INPUT -j")

    assert (change(save, gate("fenced")) == "") is stands


def test_a_rule_is_the_same_however_iptables_writes_it():
    normal = gate_rules.normal
    ours = "! -d 127.0.0.0/8 -p tcp -m multiport --dports 1,2 -m addrtype --dst-type LOCAL -j DNAT --to 192.0.2.1"

    assert normal(ours) == normal(
        "! -d 127.0.0.0/8 -p tcp -m tcp -m addrtype --dst-type LOCAL -m multiport --dports 1,2 -j DNAT --to 192.0.2.1"
    )
    assert normal("-s 192.0.2.1/32 -j RETURN") == normal("-s 192.0.2.1 -j RETURN")
    for other in (ours[2:], ours.replace("1,2", "1"), ours.replace("192.0.2.1", "192.0.2.2"), f"{ours} --random"):
        assert normal(other) != normal(ours)


def test_half_a_change_is_told():
    mixed = standing(gate("redirected")).replace("migration: redirected", "migration: fenced", 1)

    assert gate_rules.state_of(gate_rules.parse(mixed)) == "mixed"


def test_a_services_address_is_led_to_the_pod_of_this_pi():
    rules = gate("redirected", services=(("10.96.0.17", "192.0.2.11"),)).rules()
    for chain in ("PREROUTING", "OUTPUT"):
        led = [rule for rule in rules["nat"][chain] if rule.startswith("-d 10.96.0.17/32")]
        assert [rule.rpartition("--to-destination ")[2] for rule in led] == ["192.0.2.11:8082", "192.0.2.11:9093"]
    assert "10.96.0.17" not in str(gate("redirected", services=(("10.96.0.17", "192.0.2.11"),)).rules(ipv6=True))
    assert "10.96.0.17" not in str(gate("redirected").rules())


def test_a_services_address_is_led_to_the_other_pi_as_well():
    rules = gate("forwarded", services=(("10.96.0.17", "192.0.2.11"),)).rules()
    for chain in ("PREROUTING", "OUTPUT"):
        led = [rule for rule in rules["nat"][chain] if rule.startswith("-d 10.96.0.17/32")]
        assert [rule.rpartition("--to-destination ")[2] for rule in led] == ["192.0.2.12"]
    assert "10.96.0.17" not in str(gate("fenced", services=(("10.96.0.17", "192.0.2.11"),)).rules())

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of the traffic gate: which ones a state wants, whether they stand, and the text that makes them stand.

Pure: text of iptables-save in, text for iptables-restore out. Rules live in chains of their own, one for each built-in
chain they are called from, so that nothing of anybody else's is touched.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from .._core.operator import OPERATOR_ADDRESS

PREFIX = "PI-CTL-"
STATES = ("open", "fenced", "redirected", "forwarded")
# kube-proxy and K3s put their jumps first again whenever they miss them. Theirs match Service addresses and NodePorts
# or set marks, and never accept what comes to a Pi's own standard ports, so ahead of ours they do no harm.
HARMLESS_AHEAD = ("KUBE-",)


class Port(NamedTuple):
    standard: int
    temporary: int


# {table: {built-in chain: rules of our chain called from it}}
Rules = dict  # dict[str, dict[str, list[str]]], but Python 3.9 evaluates aliases


@dataclass(frozen=True)
class Gate:
    """What is wanted; `keep_established` leaves connections alone that were there before."""

    state: str
    ports: tuple[Port, ...] = ()
    forward_to: str | None = None
    comment: str = "pi-controller migration"
    keep_established: bool = False
    # Cluster addresses of Services, (Service, this Pi): `redirected` leads them to the pod on this Pi as well, and
    # `forwarded` to the other Pi.
    services: tuple[tuple[str, str], ...] = ()

    @property
    def _standard(self) -> str:
        return ",".join(str(port.standard) for port in self.ports)

    def rules(self, ipv6: bool = False) -> Rules:
        """Our rules by table and built-in chain. The operator's exemption comes first in every chain (IPv4 only)."""
        rules: Rules = {"filter": {}, "nat": {}}
        if self.state == "open":
            return rules
        rules["filter"].update(INPUT=self._input(ipv6), OUTPUT=self._output(ipv6))
        if self.state == "redirected":
            rules["nat"].update(PREROUTING=self._redirect(ipv6), OUTPUT=self._redirect(ipv6))
        # An IPv6 client of a forwarded Pi meets the reset of the filter: the other Pi is known by its IPv4 address.
        if self.state == "forwarded" and not ipv6:
            rules["filter"].update(FORWARD=self._forward())
            rules["nat"].update(PREROUTING=self._divert(), OUTPUT=self._divert(), POSTROUTING=self._masquerade())
        return rules

    def _rule(self, match: str, target: str) -> str:
        return f'{match} -m comment --comment "{self.comment}: {self.state}" -j {target}'

    def _operator(self, side: str, ipv6: bool) -> list[str]:
        return [] if ipv6 else [self._rule(f"{side} {OPERATOR_ADDRESS}/32", "RETURN")]

    def _input(self, ipv6: bool) -> list[str]:
        kept = [self._rule("-p tcp -m conntrack --ctstate ESTABLISHED", "RETURN")] if self.keep_established else []
        reject = self._rule(f"-p tcp -m multiport --dports {self._standard}", "REJECT --reject-with tcp-reset")
        return [*self._operator("-s", ipv6), *kept, reject]

    def _output(self, ipv6: bool) -> list[str]:
        """Nothing the old daemon says after the fence gets out: an acknowledgement that arrives was sent before it.

        Resets do get out. Those of the rule in INPUT pass here too, and without them clients would hang.
        """
        replies = f"-p tcp -m multiport --sports {self._standard}"
        rules = self._operator("-d", ipv6)
        if self.keep_established:
            return rules
        return [*rules, self._rule(f"{replies} -m tcp --tcp-flags RST RST", "RETURN"), self._rule(replies, "DROP")]

    def _redirect(self, ipv6: bool) -> list[str]:
        """Only the port is rewritten. REDIRECT would rewrite the address too, and a pod may listen on one only."""
        own = [
            self._rule(
                f"-p tcp -m tcp --dport {port.standard} -m addrtype --dst-type LOCAL",
                f"DNAT --to-destination :{port.temporary}",
            )
            for port in self.ports
        ]
        # A Service's address is no address of this host: the pod's has to be put in its place.
        through_services = [
            self._rule(
                f"-d {service}/32 -p tcp -m tcp --dport {port.standard}",
                f"DNAT --to-destination {pi}:{port.temporary}",
            )
            for service, pi in self.services
            for port in self.ports
        ]
        return [*self._operator("-s", ipv6), *([] if ipv6 else through_services), *own]

    def _divert(self) -> list[str]:
        """127/8 stays out: it cannot leave a host, so those clients get the reset."""
        standard = f"-p tcp -m multiport --dports {self._standard}"
        matches = [f"-d {service}/32 {standard}" for service, _pi in self.services]
        matches.append(f"! -d 127.0.0.0/8 {standard} -m addrtype --dst-type LOCAL")
        led = [self._rule(match, f"DNAT --to-destination {self.forward_to}") for match in matches]
        return [*self._operator("-s", False), *led]

    def _masquerade(self) -> list[str]:
        """The other Pi must answer through this one."""
        match = f"-d {self.forward_to}/32 -p tcp -m multiport --dports {self._standard} -m conntrack --ctstate DNAT"
        return [*self._operator("-s", False), self._rule(match, "MASQUERADE")]

    def _forward(self) -> list[str]:
        both = (
            f"-d {self.forward_to}/32 -p tcp -m multiport --dports",
            f"-s {self.forward_to}/32 -p tcp -m multiport --sports",
        )
        accepted = [self._rule(f"{match} {self._standard} -m conntrack --ctstate DNAT", "ACCEPT") for match in both]
        return [*self._operator("-s", False), *accepted]


@dataclass
class Table:
    """One table as iptables-save shows it: the rules of each chain, without `-A CHAIN`."""

    chains: dict[str, list[str]] = field(default_factory=dict)

    def own_chains(self) -> list[str]:
        return [chain for chain in self.chains if chain.startswith(PREFIX)]

    def jumps_to(self, own: str) -> list[tuple[str, str]]:
        """(chain, rule) of every rule that calls our chain, wherever somebody put it."""
        return [(chain, rule) for chain, rules in self.chains.items() for rule in rules if target(rule) == own]


def parse(text: str) -> dict[str, Table]:
    """Read the output of iptables-save."""
    tables = {"filter": Table(), "nat": Table()}
    table = Table()
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:].strip(), Table())
        elif line.startswith(":"):
            table.chains.setdefault(line[1:].split()[0], [])
        elif line.startswith("-A "):
            chain, rule = line.split(" ", 2)[1:]
            table.chains.setdefault(chain, []).append(rule)
    return tables


def tables(wanted: Rules) -> dict[str, Table]:
    """What stands once these rules do, as far as it is ours."""
    return {
        name: Table({
            **{builtin: [f"-j {PREFIX}{builtin}"] for builtin in chains},
            **{PREFIX + builtin: rules for builtin, rules in chains.items()},
        })
        for name, chains in wanted.items()
    }


def target(rule: str) -> str:
    words = shlex.split(rule)
    return words[words.index("-j") + 1] if "-j" in words else ""


def normal(rule: str) -> frozenset[str]:
    """A rule by what it says: versions of iptables differ in the order of matches and in which `-m` they write out."""
    options: list[str] = []
    negated = ""
    words = iter(shlex.split(rule))
    for word in words:
        if word == "-m":
            next(words)
        elif word == "!":
            negated = "! "
        elif word.startswith("-"):
            options.append(negated + word)
            negated = ""
        else:
            options[-1] += " " + (word[:-3] if word.endswith("/32") else word)
    return frozenset(options)


def stands(table: Table, own: str, builtin: str, rules: list[str] | None) -> bool:
    """Whether our chain is exactly as wanted and is called once, ahead of anything that could pre-empt it."""
    jumps = table.jumps_to(own)
    if rules is None:
        return own not in table.chains and not jumps
    if [normal(rule) for rule in table.chains.get(own, [])] != [normal(rule) for rule in rules]:
        return False
    if [(chain, normal(rule)) for chain, rule in jumps] != [(builtin, normal(f"-j {own}"))]:
        return False
    first = table.chains[builtin]
    return all(target(rule).startswith(HARMLESS_AHEAD) for rule in first[: first.index(jumps[0][1])])


def _section(name: str, table: Table, wanted: dict[str, list[str]], chains: Iterable[str]) -> list[str]:
    """The lines for some of our chains in one table: one commit, so all of them change at the same moment."""
    declared, removed, added, dropped = [], [], [], []
    for builtin in chains:
        own, rules = PREFIX + builtin, wanted.get(builtin)
        if stands(table, own, builtin, rules):
            continue
        removed += [f"-D {chain} {rule}" for chain, rule in table.jumps_to(own)]
        if rules is not None:
            # Declaring a chain that exists empties it.
            declared.append(f":{own} - [0:0]")
            added += [f"-I {builtin} 1 -j {own}", *(f"-A {own} {rule}" for rule in rules)]
        elif own in table.chains:
            dropped += [f"-F {own}", f"-X {own}"]
    lines = [*declared, *removed, *added, *dropped]
    return [f"*{name}", *lines, "COMMIT"] if lines else []


def restore_text(current: dict[str, Table], wanted: Rules) -> str:
    """Input for `iptables-restore --noflush`; empty when everything stands.

    Tables change one after the other, so the order decides what a connection made in between meets. Closing: first
    the other way (nat), then the rejection. Opening: first no rejection, then no other way. Forwarded packets are
    accepted before the first one is sent and until after the last.
    """
    own = {name: [chain[len(PREFIX) :] for chain in current[name].own_chains()] for name in ("filter", "nat")}
    daemon = _section("filter", current["filter"], wanted["filter"], _union(wanted["filter"], own["filter"], "FORWARD"))
    way = _section("nat", current["nat"], wanted["nat"], _union(wanted["nat"], own["nat"]))
    forward = _section("filter", current["filter"], wanted["filter"], ["FORWARD"])
    closing = "INPUT" in wanted["filter"]
    parts = [way, daemon] if closing else [daemon, way]
    parts = [forward, *parts] if "FORWARD" in wanted["filter"] else [*parts, forward]
    return "".join(line + "\n" for part in parts for line in part)


def _union(wanted: Iterable[str], present: Iterable[str], *but: str) -> list[str]:
    return [chain for chain in dict.fromkeys([*wanted, *present]) if chain not in but]


def show(current: dict[str, Table]) -> str:
    """Our rules and jumps as text, for a diff."""
    lines = []
    for name in ("filter", "nat"):
        for chain, rules in current[name].chains.items():
            lines += [
                f"{name} -A {chain} {rule}"
                for rule in rules
                if chain.startswith(PREFIX) or target(rule).startswith(PREFIX)
            ]
    return "".join(line + "\n" for line in lines)


def state_of(current: dict[str, Table]) -> str:
    """The state our rules were made for, as their comments say; `mixed` when they disagree."""
    shown = show(current)
    states = set(re.findall(rf'--comment "[^"]*: ({"|".join(STATES)})"', shown))
    if not shown:
        return "open"
    return states.pop() if len(states) == 1 else "mixed"

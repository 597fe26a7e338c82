# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate as one nftables table: which sets, chains and rules a state wants, as text for `nft -f -`. Pure.

docs/decisions/0012 explains where each chain is called, and why.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from .._core.operator import OPERATOR_NETWORK
from .standing import CHAINS, FAMILY, NAME, Table

# kube-proxy accepts packets with this mark where forwarding is denied by default.
KUBE_MARK = "0x4000"
# A comment in nftables has up to 127 bytes, of which the rule's state, number and name need these.
COMMENT_LENGTH = 127 - 70

_LOOPBACK = {4: "127.0.0.0/8", 6: "::1"}
_IP = {4: "ip", 6: "ip6"}
# The first packet of a connection. No other one is routed anywhere: a connection that the kernel came to know half-way,
# after a restart of connection tracking, belongs to the daemon that has it.
_FIRST = "tcp flags & (fin | syn | rst | ack) == syn"
# One that was under way through the kernel while the table was replaced. Its client asks again within a second, and is routed by the
# new table. On loopback the kernel would ask about the same tracked connection again, so there it is rejected like any other.
_PASSING = f'iifname != "lo" {_FIRST} ct state new'
_IS_RESET = "tcp flags & rst == rst"
# The set whose elements may have a lifetime, and a connection that came to a port whose element has expired.
LEASED = "fenced"
_LAPSED = f"ct original proto-dst != @{LEASED}"
_VERDICTS = ("accept", "drop", "reject", "dnat", "masquerade", "mangle")


class Port(NamedTuple):
    """A standard port, and the pod's port for the same service on the same Pi."""

    standard: int
    temporary: int


class Rule(NamedTuple):
    """A rule, and the name that it has in its comment."""

    name: str
    text: str

    @property
    def verdict(self) -> str:
        words = re.sub(r"tcp flags set rst$", "mangle", re.sub(r"meta mark set .*", "mangle", self.text)).split()
        return next(word for word in reversed(words) if word in _VERDICTS)


@dataclass(frozen=True)
class Gate:
    """What is wanted. Addresses are text without a prefix length."""

    state: str
    ports: tuple[Port, ...] = ()
    # The other Pi, by at most one address of each family.
    forward_to: tuple[str, ...] = ()
    comment: str = "pi-controller migration"
    # Connections that are there already are left to the daemon.
    keep_established: bool = False
    # Cluster addresses of Services, each with this Pi's address: (Service, this Pi).
    services: tuple[tuple[str, str], ...] = ()
    # This Pi's own addresses.
    own: tuple[str, ...] = ()
    # With `open`: end connections that an earlier `redirected` routed to the pod.
    ends_routed: bool = False
    # The other Pi that an earlier `forwarded` routed to: connections that still go there are ended.
    ends_through: tuple[str, ...] = ()
    # Seconds until the state ends by itself, counted from when the kernel has it; None where it stays.
    lifetime: float | None = None
    # The gate before must be a lease that has not ended, or one that stays: else the whole transaction fails.
    held: bool = False

    @property
    def exists(self) -> bool:
        """Whether the state needs a table at all."""
        return self.state != "open" or self.ends_routed or bool(self.ends_through)

    @property
    def sets(self) -> dict[str, frozenset[str]]:
        """The elements of each set."""
        if self.state == "open" and not self.ends_through:
            return {}
        fenced = {} if self.state == "open" else {"fenced": frozenset(str(port.standard) for port in self.ports)}
        return {**fenced, **{f"ours{version}": frozenset(self._ours(version)) for version in _IP}}

    def _ours(self, version: int) -> list[str]:
        """The addresses whose clients the state takes care of, loopback aside; whatever else reaches the daemon is rejected."""
        # One family cannot become the other.
        if self.state == "forwarded" and not any(_version(address) == version for address in self.forward_to):
            return []
        return [str(ipaddress.ip_address(address)) for address in self.own if _version(address) == version]

    def _all_ours(self, version: int) -> dict[str, str]:
        """What these addresses are to nft, each by the name that it has in a rule's.

        Loopback is no element of the sets. A set that may contain networks gets its elements a moment after the rules that ask for
        them are in force, and in that moment a client's first packet is taken for one to an address of another host.
        """
        ip = _IP[version]
        # An address of loopback cannot leave a host.
        loopback = {} if self.state == "forwarded" else {f"{ip} loopback": _LOOPBACK[version]}
        return {ip: f"@ours{version}", **loopback}

    def _to_ours(self) -> Iterator[tuple[str, str]]:
        """How a packet to these addresses is recognized, each way with its name."""
        for version, ip in _IP.items():
            for name, ours in self._all_ours(version).items():
                yield name, f"{ip} daddr {ours}"

    def chains(self) -> dict[str, list[Rule]]:
        """The rules of each chain, in their order."""
        if not self.exists:
            return {}
        if self.state == "open" and self.ends_through:
            ends = list(self._end_through(self.ends_through))
            return {"out_tracked": ends, "through": ends}
        if self.state == "open":
            return {"out_tracked": list(self._end_answers()), "deliver": [_operator_in(), *self._end_led()]}
        chains = {"out": [*self._operator_out(), *self._out()], "deliver": [_operator_in(), *self._deliver()]}
        if self.state == "fenced":
            chains["front"] = [_operator_in(), *self._reject_ours()]
        else:
            lead = self._redirect() if self.state == "redirected" else self._divert()
            chains["lead_in"] = list(lead)
            chains["lead_out"] = [Rule("operator", f"ip saddr {OPERATOR_NETWORK} accept"), *chains["lead_in"]]
        if self.state == "forwarded":
            chains["through"], chains["back"] = list(self._through()), list(self._masquerade())
        if self.lifetime is not None:
            self._end_when_lapsed(chains)
        if self.ends_through:
            ends = list(self._end_through(self.ends_through))
            for name in ("through", "out_tracked"):
                chains[name] = [*ends, *chains.get(name, ())]
        return {name: chains[name] for name in CHAINS if name in chains}

    def _end_when_lapsed(self, chains: dict[str, list[Rule]]) -> None:
        """Connections that a lease has routed away are ended once it has ended.

        In a lease only: while a table is deleted, a packet under way meets its rules and no elements, and would be taken for late.
        """
        if self.state == "redirected":
            chains["deliver"][1:1] = self._end_led(_LAPSED)
            chains["out_tracked"] = list(self._end_answers(_LAPSED))
        if self.state == "forwarded":
            lapsed = list(self._end_through(self.forward_to, _LAPSED))
            chains["through"], chains["out_tracked"] = [*lapsed, *chains["through"]], lapsed

    def _operator_out(self) -> Iterator[Rule]:
        """Only root may use the operator's address. What has no socket any more ends a connection and carries nothing new."""
        reject = "reject with tcp reset"
        yield Rule("operator is root", f"ip saddr {OPERATOR_NETWORK} tcp dport @fenced meta skuid != 0 {reject}")
        yield Rule("operator asks", f'oifname "lo" ip saddr {OPERATOR_NETWORK} accept')
        yield Rule("operator is answered", f'oifname "lo" ip daddr {OPERATOR_NETWORK} accept')

    def _out(self) -> Iterator[Rule]:
        """Nothing the daemon says after the fence gets out: an acknowledgement that arrives was sent before it.

        What it would have sent becomes a reset, so a client that waits for an answer learns that there will be none,
        also on kernels that cannot end a connection by themselves.
        """
        if self.state == "fenced":
            yield from self._reject_ours()
        if not self.keep_established:
            yield Rule("resets get out", f"tcp sport @fenced {_IS_RESET} accept")
            yield Rule("answers become resets", "tcp sport @fenced tcp flags set rst")

    def _reject_ours(self) -> Iterator[Rule]:
        first = f" {_FIRST}" if self.keep_established else ""
        for name, ours in self._to_ours():
            yield Rule(f"fence {name}", f"{ours} tcp dport @fenced{first} reject with tcp reset")

    def _deliver(self) -> Iterator[Rule]:
        """The last word before the daemon's socket, whatever rules of others have done to the packet before."""
        if self.keep_established and self.state != "fenced":
            for version, ip in _IP.items():
                # The port comes first: where its element is in force, so are those of the addresses.
                others = [f"{ip} daddr != {ours}" for ours in self._all_ours(version).values()]
                match = _words(f"tcp dport @fenced {_FIRST}", *others)
                yield Rule(f"new {ip}", f"{match} reject with tcp reset")
            return
        if self.keep_established:
            yield Rule("new", f"tcp dport @fenced {_FIRST} reject with tcp reset")
            return
        if self.state != "fenced":
            for name, ours in self._to_ours():
                yield Rule(f"passing {name}", f"{_PASSING} {ours} tcp dport @fenced drop")
        yield Rule("fence", "tcp dport @fenced reject with tcp reset")

    def _redirect(self) -> Iterator[Rule]:
        """Only the port is rewritten. `redirect` would rewrite the address too, and a pod may listen on one only."""
        for service, address in self.services:
            ip, target = _ip(service), _bracketed(address)
            for port in self.ports:
                match = f"{ip} daddr {service} tcp dport {port.standard} tcp dport @fenced {_FIRST}"
                yield Rule(f"Service {port.standard}", f"{match} dnat {ip} to {target}:{port.temporary}")
        for name, ours in self._to_ours():
            for port in self.ports:
                match = f"{ours} tcp dport {port.standard} tcp dport @fenced {_FIRST}"
                yield Rule(f"{name} {port.standard} to {port.temporary}", f"{match} dnat to :{port.temporary}")

    def _divert(self) -> Iterator[Rule]:
        for other in self.forward_to:
            ip = _ip(other)
            for service, _pi in self.services:
                if _ip(service) == ip:
                    match = f"{ip} daddr {service} tcp dport @fenced {_FIRST}"
                    yield Rule(f"Service {ip}", f"{match} dnat {ip} to {other}")
            match = f"{ip} daddr @ours{_version(other)} tcp dport @fenced {_FIRST}"
            yield Rule(f"{ip} to the other Pi", f"{match} dnat {ip} to {other}")

    def _through(self) -> Iterator[Rule]:
        """No table can accept what another one drops. kube-proxy's own rules accept what bears its mark, and its answers."""
        for other in self.forward_to:
            match = f"ct status dnat {_ip(other)} daddr {other} tcp dport @fenced"
            yield Rule(f"mark {_ip(other)}", f"{match} meta mark set meta mark or {KUBE_MARK}")

    def _end_through(self, others: tuple[str, ...], when: str = "") -> Iterator[Rule]:
        """The next request on a connection that goes to another Pi ends it. An acknowledgement of the last answer does not."""
        for other in others:
            for port in self.ports:
                ip = _ip(other)
                # Asked for at an address of this Pi: what kube-proxy routes to the other one goes its own way.
                asked = f"ct original {ip} daddr @ours{_version(other)} ct original proto-dst {port.standard}"
                match = _words("meta l4proto tcp ct direction original", asked, f"ct reply {ip} saddr {other}", when)
                yield Rule(f"end {ip} {port.standard}", f"{match} tcp flags & psh == psh reject with tcp reset")

    def _masquerade(self) -> Iterator[Rule]:
        """The other Pi must answer through this one."""
        for other in self.forward_to:
            match = f"ct status dnat {_ip(other)} daddr {other} tcp dport @fenced"
            yield Rule(f"answers {_ip(other)}", f"{match} masquerade")

    def _end_led(self, when: str = "") -> Iterator[Rule]:
        for port in self.ports:
            asked = f"ct direction original ct original proto-dst {port.standard}"
            match = _words(f"tcp dport {port.temporary}", asked, when)
            yield Rule(f"passing {port.temporary}", f"{_PASSING} {match} drop")
            yield Rule(f"end {port.standard} to {port.temporary}", f"{match} reject with tcp reset")

    def _end_answers(self, when: str = "") -> Iterator[Rule]:
        for port in self.ports:
            asked = f"ct direction reply ct original proto-dst {port.standard}"
            match = _words(f"tcp sport {port.temporary}", asked, when)
            yield Rule(f"resets of {port.temporary}", f"{match} {_IS_RESET} accept")
            yield Rule(f"answers of {port.temporary}", f"{match} tcp flags set rst")

    def text(self) -> str:
        """Input for `nft -f -`: one transaction that leaves this gate and nothing of an earlier one, whatever there is."""
        # Adding it first makes deleting it right whether it was there or not.
        lines = [f"add table {FAMILY} {NAME}", f"delete table {FAMILY} {NAME}"]
        return "\n".join([*lines, *(replace(self, held=False)._update(Table()) if self.exists else ()), ""])

    def update_text(self, before: Table | None) -> str:
        """The same for what is known to be there, in place.

        A chain that is deleted and made anew has a moment, while the kernel commits, in which a connection that is just
        being made can miss both; one whose rules are exchanged has none.
        """
        fits = before is not None and all(CHAINS.get(name) == chain for name, chain in before.chains.items())
        if before is None or not fits or not self.exists or before.sets.keys() - _SET_TYPES.keys():
            return self.text()
        return "\n".join([*self._update(before), ""])

    def _update(self, before: Table) -> Iterator[str]:
        where, chains, commented = f"{FAMILY} {NAME}", self.chains(), iter(self._commented())
        yield f"add table {where}"
        for name, elements in self.sets.items():
            present = before.sets.get(name)
            if present is None:
                yield f"add set {where} {name} {{ {_SET_TYPES[name]} }}"
            gone, new = (present or frozenset()) - elements, elements - (present or frozenset())
            if name == LEASED and (self.lifetime is not None or self.held or before.lapsing):
                # To add what is there changes no lifetime, and to delete what has expired fails.
                gone, new = gone | (elements if self.held else elements & (present or frozenset())), elements
            lifetime = f" timeout {_duration(self.lifetime)}" if name == LEASED and self.lifetime is not None else ""
            for verb, some, ends in (("delete", gone, ""), ("add", new, lifetime)):
                if some:
                    listed = ", ".join(f"{element}{ends}" for element in sorted(some))
                    yield f"{verb} element {where} {name} {{ {listed} }}"
        for name, rules in chains.items():
            kind, hook, priority = CHAINS[name]
            if name in before.chains:
                yield f"flush chain {where} {name}"
            else:
                yield f"add chain {where} {name} {{ type {kind} hook {hook} priority {priority}; policy accept; }}"
            for rule, comment in zip(rules, commented):
                yield f'add rule {where} {name} {rule.text} comment "{comment}"'
        for name in before.chains.keys() - chains.keys():
            yield f"flush chain {where} {name}"
            yield f"delete chain {where} {name}"
        for name in before.sets.keys() - self.sets.keys():
            yield f"delete set {where} {name}"

    def _commented(self) -> list[str]:
        """The comment of every rule, in the order of the chains: state, number, name, and a digest of the rule's text."""
        rules = [rule for chain in self.chains().values() for rule in chain]
        return [
            f"{self.comment}: {self.state} {number}/{len(rules)}: {rule.name} #{hashlib.sha256(rule.text.encode()).hexdigest()[:8]}"
            for number, rule in enumerate(rules, 1)
        ]

    def expected(self) -> Table | None:
        """What the kernel has once this gate is set."""
        if not self.exists:
            return None
        commented = iter(self._commented())
        rules = {
            name: [(comment, rule.verdict) for rule, comment in zip(chain, commented)]
            for name, chain in self.chains().items()
        }
        lapsing = self.sets.get(LEASED, frozenset()) if self.lifetime is not None else frozenset()
        return Table({name: CHAINS[name] for name in rules}, rules, dict(self.sets), lapsing)


# `timeout` lets an element expire by itself, see docs/decisions/0016.
_SET_TYPES = {
    "fenced": "type inet_service; flags timeout;",
    "ours4": "type ipv4_addr;",
    "ours6": "type ipv6_addr;",
}


def _duration(seconds: float) -> str:
    """As nft reads it. Rounded down: a lease must not outlast what was asked for."""
    return f"{max(1, int(seconds * 1000))}ms"


def _words(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _operator_in() -> Rule:
    # Where kube-proxy has loopback routed, another host could send from this address as well: only what comes over `lo` is ours.
    return Rule("operator", f'iifname "lo" ip saddr {OPERATOR_NETWORK} accept')


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


def _ip(address: str) -> str:
    return _IP[_version(address)]


def _bracketed(address: str) -> str:
    return f"[{address}]" if _version(address) == 6 else address

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The traffic gate beside rules of others: no table, chain or address of theirs comes before it, and none is touched."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

# Not a conftest: the unit tests import from theirs by that name.
pytest_plugins = ["namespaces"]

KERNEL_OF_A_PI = ("show", "end", "forget")
# As Tailscale and people write them; iptables-save cannot show such a table and says "incompatible, use 'nft' tool".
NATIVE = """
table ip nat {
    set elsewhere { type inet_service; elements = { 81 } }
    chain ts-postrouting { type nat hook postrouting priority srcnat; meta mark & 0x00ff0000 == 0x00040000 counter masquerade; }
    chain by-hand { type nat hook prerouting priority dstnat; tcp dport @elsewhere redirect to :80; tcp dport 8080 redirect to :8079; }
    chain by-hand-too { type nat hook output priority -100; tcp dport 8080 redirect to :8079; }
}
"""
# What ipvs does with an address that is local on every node: it goes to an endpoint, here another Pi's.
LIKE_IPVS = """
table ip ipvs {
    chain prerouting { type nat hook prerouting priority dstnat; ip daddr 10.96.0.9 tcp dport 8080 dnat to 10.77.0.12; }
    chain output { type nat hook output priority -100; ip daddr 10.96.0.9 tcp dport 8080 dnat to 10.77.0.12; }
    chain postrouting { type nat hook postrouting priority srcnat; ct status dnat masquerade; }
}
"""


def says(process: subprocess.Popen[str], line: str = "x") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_p1_native_rules_in_ip_nat_are_no_obstacle(client, pi, other):
    pi.serve(8079, "stranger")
    pi.run("nft", "-f", "-", data=NATIVE)
    assert "incompatible" in pi.run("iptables-save", "-t", "nat", check=False).stdout
    before = pi.ruleset()
    assert client.ask(pi.address).startswith("stranger")

    assert pi.gate("redirected", check_mode=True)["changed"] is True
    assert pi.gate("redirected")["state"] == "redirected"
    assert client.ask(pi.address) == f"pod-1 {client.address}"
    assert pi.ask("127.0.0.1") == "pod-1 127.0.0.1"
    assert pi.gate("forwarded", forward_to=other.address)["state"] == "forwarded"
    assert client.ask(pi.address).startswith("old-2")
    assert pi.gate("fenced")["state"] == "fenced"
    assert client.ask(pi.address) == "reset"
    assert pi.ask(pi.address) == "reset"
    assert (pi.gate("open", ports=None)["state"], pi.table()) == ("open", "")
    assert client.ask(pi.address).startswith("stranger")
    assert pi.ruleset() == before


@contextlib.contextmanager
def accepting(pi) -> Iterator[None]:
    """As kube-router does every five minutes, but all the time: its ACCEPT ESTABLISHED goes to the front of every chain."""
    ended, begun = threading.Event(), threading.Event()
    rule = ["-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT"]

    def accept() -> None:
        while not ended.is_set():
            for chain in ("INPUT", "OUTPUT", "FORWARD"):
                pi.run("iptables", "-w", "-D", chain, *rule, check=False)
                pi.run("iptables", "-w", "-I", chain, "1", *rule)
            begun.set()
            ended.wait(0.1)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        assert begun.wait(30)
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("state", ["fenced", "redirected", "forwarded"])
def test_p2_no_rule_of_others_gets_in_front(client, pi, other, state):
    """iptables leads the port elsewhere and accepts what is established; the kernel ends nothing by itself."""
    pi.cannot = KERNEL_OF_A_PI
    kept = [client.start("talk", pi.address, "8080", ""), pi.start("talk", "127.0.0.1", "8080", "")]
    assert all(says(process).startswith("old-1") for process in kept)
    pi.serve(8079, "stranger")
    for chain in ("PREROUTING", "OUTPUT"):
        pi.run(
            "iptables", "-t", "nat", "-I", chain, "-p", "tcp", "--dport", "8080", "-j", "REDIRECT", "--to-ports", "8079"
        )
    with accepting(pi):
        pi.gate(state, forward_to=other.address)
        assert [says(process) for process in kept] == ["reset", "reset"]
        expected = {"fenced": "reset", "redirected": "pod-1", "forwarded": "old-2"}[state]
        for host in (client, pi):
            assert host.ask(pi.address).split()[0] == expected
        assert pi.gate(state, forward_to=other.address)["changed"] is False


@pytest.mark.parametrize("established", ["reset", "finish"])
def test_p3_clients_of_the_pod_are_ended_when_the_gate_opens_again(client, pi, established):
    """A cutover that is undone, on a kernel that ends nothing by itself: no client may go on reading from the pod."""
    pi.cannot = KERNEL_OF_A_PI
    # As kube-proxy, which has the kernel track connections and translate addresses with or without a gate.
    pi.run("iptables", "-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")
    pi.run("iptables", "-t", "nat", "-A", "PREROUTING", "-p", "udp", "--dport", "9", "-j", "ACCEPT")
    pi.gate("redirected")
    kept = [client.start("talk", pi.address, "8080", ""), pi.start("talk", "127.0.0.1", "8080", "")]
    assert all(says(process).startswith("pod-1") for process in kept)
    direct = client.start("talk", pi.address, "8082", "")
    assert says(direct).startswith("pod-1")

    assert pi.gate("open", established=established)["state"] == "open"
    assert [says(process) for process in kept] == ["reset", "reset"]
    assert says(direct).startswith("pod-1"), "it never was a client of the standard port"
    assert client.ask(pi.address).startswith("old-1")
    assert pi.gate("open")["changed"] is False
    pi.gate("open", ports=None)
    assert pi.table() == ""


def test_p3_a_listening_client_is_reset_at_the_next_packet(client, pi):
    """A stream: its client never sends, so no rule for what comes in would end it."""
    pi.cannot = KERNEL_OF_A_PI
    waiting, daemon = client.start("talk", pi.address, "8080", ""), pi.running[0]
    waiting.stdin.write("hold\n")
    waiting.stdin.flush()
    assert daemon.stdout.readline().strip() == "holding"
    pi.gate("redirected")
    daemon.stdin.write("answer\n")
    daemon.stdin.flush()

    assert waiting.stdout.readline().strip() == "reset"


def test_k4_cluster_addresses_that_are_local_are_left_alone(client, pi, other):
    # Not every kernel has interfaces of the kind `dummy`; a unit test knows those by their kind.
    pi.run("ip", "link", "add", "kube-ipvs0", "type", "bridge")
    pi.run("ip", "address", "add", "10.96.0.9/32", "dev", "kube-ipvs0")
    pi.run("nft", "-f", "-", data=LIKE_IPVS)
    client.run("ip", "route", "add", "10.96.0.9/32", "via", pi.address)
    for state in ("redirected", "fenced"):
        pi.gate(state)
        assert client.ask("10.96.0.9").startswith("old-2"), state
        assert pi.ask("10.96.0.9").startswith("old-2"), state

    # The daemon's own Service is led all the same, by its name.
    pi.gate("redirected", services=[{"cluster_ip": "10.96.0.9", "address": pi.address}])
    assert pi.ask("10.96.0.9").startswith("pod-1")


def test_an_address_that_came_later_reaches_no_fenced_port(client, pi):
    for state in ("redirected", "fenced"):
        pi.gate(state)
        pi.run("ip", "address", "replace", "10.77.0.99/24", "dev", "eth0")
        assert client.ask("10.77.0.99") == "reset"
        assert pi.ask("10.77.0.99") == "reset"
        assert pi.gate(state)["changed"] is True
        pi.run("ip", "address", "del", "10.77.0.99/24", "dev", "eth0")


def test_p5_the_boot_unit_sets_the_same_table_after_a_flush(client, pi, tmp_path):
    """nftables.service begins a boot with `flush ruleset`; here that, and then what the unit starts."""
    pi.units = str(tmp_path)
    assert pi.gate("redirected", persist=True)["persistent"] is True
    standing = pi.table()
    pi.run("nft", "flush", "ruleset")
    assert client.ask(pi.address).startswith("old-1")

    unit = next(tmp_path.glob("*.service")).read_text()
    (command,) = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart=")]
    for _twice in range(2):
        pi.run(*command.split())
        assert pi.table() == standing
    assert client.ask(pi.address).startswith("pod-1")
    assert pi.gate("redirected", persist=True)["changed"] is False
    assert pi.gate("open", ports=None)["changed"] is True
    assert list(tmp_path.rglob("*.*")) == [tmp_path / "multi-user.target.wants"]


def test_p5_a_unit_that_cannot_be_written_is_what_the_message_names(pi, tmp_path):
    pi.units = str(tmp_path / "missing")
    result = pi.gate("redirected", persist=True)

    assert "the gate's boot unit cannot be written" in result["msg"]
    assert str(tmp_path / "missing") in result["msg"]
    assert pi.table() == ""


def test_a_change_is_one_transaction_and_its_reading(pi, other, tmp_path):
    """Clients wait for it. Each call of nft is a process on a slow machine."""
    log, nft = tmp_path / "calls", tmp_path / "bin/nft"
    nft.parent.mkdir()
    nft.write_text(f'#!/bin/sh\necho "$*" >> {log}\nexec {shutil.which("nft")} "$@"\n')
    nft.chmod(0o755)
    pi.path = f"{nft.parent}:{pi.path}"
    for state in ("fenced", "redirected"):
        began = time.monotonic()
        pi.gate(state)
        print(f"gate {state}: {(time.monotonic() - began) * 1000:.0f} ms with the start of Python")
        listing = "-j list table inet pi_controller_gate"
        assert log.read_text().splitlines() == [listing, "-f -", listing]
        log.unlink()


def test_what_changes_the_table_in_the_same_moment_is_reported(pi, tmp_path):
    nft = tmp_path / "nft"
    really = shutil.which("nft")
    nft.write_text(
        f'#!/bin/sh\n{really} "$@" || exit\n[ "$1" != -f ] || {really} flush chain inet pi_controller_gate deliver\n'
    )
    nft.chmod(0o755)
    pi.path = f"{tmp_path}:{pi.path}"

    result = pi.gate("fenced")
    assert "the kernel has another table" in result["msg"]
    assert "fence" in result["failure"]["wanted"]

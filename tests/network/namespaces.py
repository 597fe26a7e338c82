# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three hosts on one wire, as network namespaces of this machine: a client and two Pis with real TCP servers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.network import warm

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / ".collections"))
PEERS = Path(__file__).with_name("peers.py")
PORTS = [{"standard": 8080, "temporary": 8082}, {"standard": 9090, "temporary": 9093}]
PREFIX = f"pigate-{os.getpid()}"
# The lab's range, so that nothing but its own hosts can be meant; these namespaces are connected to nothing else.
NETWORK = {"client": "10.77.0.200", "pi-1": "10.77.0.11", "pi-2": "10.77.0.12"}
NETWORK6 = {"client": "fd77::200", "pi-1": "fd77::11", "pi-2": "fd77::12"}


def sh(*command: str, check: bool = True, data: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=60, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done


class Host:
    """One network namespace and the processes started in it."""

    def __init__(self, name: str) -> None:
        self.name, self.address, self.address6 = name, NETWORK[name], NETWORK6[name]
        self.namespace = f"{PREFIX}-{name}"
        self.running: list[subprocess.Popen[str]] = []
        # What the kernel of this host cannot do: "show" connections, "end" or "forget" them.
        self.cannot: tuple[str, ...] = ()
        self.path = os.environ["PATH"]
        self.without_nft = False
        # Where systemd's units would be, and what belongs to a lease.
        self.units = ""
        self.lease = "/nonexistent"

    def run(self, *command: str, check: bool = True, data: str | None = None) -> subprocess.CompletedProcess[str]:
        return sh("ip", "netns", "exec", self.namespace, *command, check=check, data=data)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one of peers.py and wait until it says that it is ready."""
        command = ["ip", "netns", "exec", self.namespace, sys.executable, str(PEERS), *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        return process

    def serve(self, port: int, name: str, host: str = "::") -> subprocess.Popen[str]:
        return self.start("serve", host, str(port), name)

    def ask(self, address: str, port: int = 8080, source: str = "", user: str = "root") -> str:
        """Who answers a fresh connection: a server's name, or `reset`, `timeout`, ..."""
        if user == "root":
            return self.call("ask", address=address, port=port, source=source)["stdout"].strip()
        # The tests' own Python may be where only root may read.
        python = ["setpriv", f"--reuid={user}", "--clear-groups", "/usr/bin/python3"]
        return self.run(*python, "-c", PEERS.read_text(), "ask", address, str(port), source).stdout.strip()

    def call(self, kind: str, **arguments: Any) -> dict[str, str]:
        """What a call in this namespace writes to stdout and stderr."""
        return warm.call({"namespace": self.namespace, "call": kind, "arguments": arguments})

    def gate(self, state: str, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return self.module("traffic_gate", {"state": state, "ports": PORTS, **options}, check_mode)

    def module(self, name: str, options: dict[str, Any], check_mode: bool = False) -> dict[str, Any]:
        arguments = {
            **options,
            "_ansible_check_mode": check_mode,
            "_ansible_diff": True,
            "_ansible_remote_tmp": "/tmp",
        }
        given = {"path": self.path, "cannot": self.cannot, "units": self.units, "lease": self.lease}
        done = self.call("module", name=name, arguments=arguments, without_nft=self.without_nft, **given)
        assert done["stdout"], done["stderr"]
        result: dict[str, Any] = json.loads(done["stdout"])
        return result

    def table(self) -> str:
        """The gate's table as nft lists it; empty where there is none."""
        return self.run("nft", "list", "table", "inet", "pi_controller_gate", check=False).stdout

    def ruleset(self) -> str:
        """All tables but the gate's."""
        tables = self.run("nft", "list", "tables").stdout.splitlines()
        return "".join(
            self.run("nft", "list", *table.split()).stdout for table in tables if "pi_controller_gate" not in table
        )


def _remove_left() -> None:
    """Namespaces of tests that were killed: their names have the process that made them."""
    for path in Path("/run/netns").glob(f"{PREFIX.rpartition('-')[0]}-*"):
        if not Path(f"/proc/{path.name.split('-')[1]}").exists():
            sh("ip", "netns", "del", path.name, check=False)


class Wire:
    """The namespaces, joined by a bridge in one more of them."""

    def __init__(self) -> None:
        self.hosts = {name: Host(name) for name in NETWORK}
        self.switch = f"{PREFIX}-switch"

    def up(self) -> None:
        _remove_left()
        sh("ip", "netns", "add", self.switch)
        links = ["link add br0 type bridge", "link set br0 up"]
        for name, host in self.hosts.items():
            sh("ip", "netns", "add", host.namespace)
            links += [f"link add {name} type veth peer eth0 netns {host.namespace}", f"link set {name} master br0 up"]
        sh("ip", "-n", self.switch, "-batch", "-", data="\n".join(links))
        for host in self.hosts.values():
            own = [
                "link set lo up",
                f"address add {host.address}/24 dev eth0",
                f"address add {host.address6}/64 dev eth0 nodad",
            ]
            sh("ip", "-n", host.namespace, "-batch", "-", data="\n".join([*own, "link set eth0 up"]))
            host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def down(self) -> None:
        for host in self.hosts.values():
            for process in host.running:
                process.kill()
                process.communicate()
            sh("ip", "netns", "del", host.namespace, check=False)
        sh("ip", "netns", "del", self.switch, check=False)


@pytest.fixture
def wire() -> Iterator[Wire]:
    if os.geteuid() or not all(map(shutil.which, ("ip", "nft", "iptables"))):
        pytest.skip("needs root, and the packages of tests/lab/packages.py for tests/network")
    pytest.importorskip("ansible.module_utils.testing")
    one = Wire()
    with contextlib.ExitStack() as stack:
        stack.callback(one.down)
        one.up()
        yield one


@pytest.fixture
def client(wire: Wire) -> Host:
    return wire.hosts["client"]


@pytest.fixture
def pi(wire: Wire) -> Host:
    """The Pi whose gate is tested: the old daemon on 8080, the pod on 8082."""
    host = wire.hosts["pi-1"]
    host.serve(8080, "old-1")
    host.serve(8082, "pod-1")
    return host


@pytest.fixture
def other(wire: Wire) -> Host:
    host = wire.hosts["pi-2"]
    host.serve(8080, "old-2")
    host.serve(8082, "pod-2")
    return host

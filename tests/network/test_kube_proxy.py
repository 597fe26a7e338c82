# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a real kernel shows of kube-proxy in each of its modes, with the programs that a Pi may or may not have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
NAMESPACE = f"kubeproxy-{os.getpid()}"
NAT = """\
*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-REST - [0:0]
:KUBE-SEP-ONE - [0:0]
:KUBE-SEP-GONE - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SERVICES -d {service} -p tcp -m comment --comment "pi/pi:rest cluster IP" -m tcp --dport 8080 -j KUBE-SVC-REST
-A KUBE-SVC-REST -m comment --comment "pi/pi:rest -> {one}" -j KUBE-SEP-ONE
-A KUBE-SEP-ONE -p tcp -m comment --comment "pi/pi:rest" -m tcp -j DNAT --to-destination {one}
-A KUBE-SEP-GONE -p tcp -m comment --comment "pi/pi:rest" -m tcp -j DNAT --to-destination {gone}
COMMIT
"""
IPV4 = NAT.format(service="10.96.0.77/32", one="10.77.0.11:8080", gone="10.77.0.12:8080")
IPV6 = NAT.format(service="fd00::77/128", one="[fd00::11]:8080", gone="[fd00::12]:8080")
NFT = """\
table ip kube-proxy {
  chain service-A-pi/pi/tcp/rest {
    meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.77.0.11 . 8080 , 1 : 10.77.0.12 . 8082 }
  }
  chain service-GONE-pi/pi/tcp/grpc { }
}
table ip6 kube-proxy {
  chain service-A-pi/pi/tcp/rest {
    meta l4proto tcp dnat to [fd00::11]:8080
  }
}
"""
STRANGER = """\
table ip nat {
  chain x {
    type nat hook prerouting priority -100
    tcp dport 80 redirect to :8080
    tcp dport 81 dnat to 10.77.0.11:8080
  }
}
"""
BOTH = ["10.77.0.11:8080", "[fd00::11]:8080"]


def run(*command: str, data: str | None = None) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", NAMESPACE, *command],
        input=data,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture
def pi() -> Iterator[None]:
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True, timeout=60)
    yield
    subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True, timeout=60)


@pytest.fixture
def look(pi: None, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What the collection reads there, with no other programs than these in reach."""

    def read(*programs: str) -> dict[str, Any]:
        folder = tmp_path / "bin"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for program in programs:
            found = shutil.which(program)
            assert found, f"{program} is not on this machine"
            (folder / program).symlink_to(found)
        code = (
            "import sys, json, dataclasses, pathlib\n"
            f"sys.path.insert(0, {str(CHECKOUT / '.collections')!r})\n"
            "from ansible_collections.pi_controller.raft_migration.plugins.module_utils._kube import proxy_look\n"
            "look = proxy_look.ProxyLook()\n"
            f"look.folders = [pathlib.Path({str(folder)!r})]\n"
            "seen = look()\n"
            "print(json.dumps({**dataclasses.asdict(seen), 'endpoints': sorted(seen.endpoints)}))\n"
        )
        result: dict[str, Any] = json.loads(run(sys.executable, "-c", code))
        return result

    return read


def test_k4_iptables_nft_is_read_with_nft_alone_on_the_pi(look):
    run("iptables-nft-restore", data=IPV4)
    run("ip6tables-nft-restore", data=IPV6)

    assert look("nft") == {"mode": "iptables", "endpoints": BOTH, "unreadable": None}
    assert look() == {"mode": "iptables", "endpoints": BOTH, "unreadable": None}


def test_k4_iptables_legacy_needs_a_program_that_can_read_it(look):
    run("iptables-legacy-restore", data=IPV4)
    run("ip6tables-legacy-restore", data=IPV6)

    assert look("nft", "iptables-legacy-save", "ip6tables-legacy-save")["endpoints"] == BOTH
    seen = look("nft")
    assert seen["mode"] == "unknown"
    assert "there is no iptables-legacy-save to read them with" in seen["unreadable"]


def test_k4_nftables(look):
    run("nft", "-f", "-", data=NFT)

    assert look("nft") == {
        "mode": "nftables",
        "endpoints": ["10.77.0.11:8080", "10.77.0.12:8082", "[fd00::11]:8080"],
        "unreadable": None,
    }


@pytest.mark.usefixtures("pi")
def test_k4_no_proxy_beside_rules_of_others(look):
    run("nft", "-f", "-", data=STRANGER)

    assert look("nft") == {"mode": "none", "endpoints": [], "unreadable": None}

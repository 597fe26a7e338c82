# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy leaves in the kernel, as nft 1.0.6, iptables 1.8.9 and the kernel itself show it (fixtures/proxy).

The rules are those that kube-proxy of Kubernetes 1.37 writes for Services with one endpoint, several, and with client
affinity; one endpoint is gone and its chain not yet removed.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin

proxy = import_plugin("module_utils._kube.proxy")
dump = import_plugin("module_utils._kube.nat_dump")
look = import_plugin("module_utils._kube.proxy_look")

FIXTURES = Path(__file__).parent / "fixtures/proxy"
SAVED = (FIXTURES / "iptables-save.txt").read_text()
DUMPED = (FIXTURES / "nat-dump.bin").read_bytes()
IP_VS = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A60004D:1F90 rr
  -> 0A4D000C:1F90      Masq    0      1          0
  -> 0A4D000B:1F90      Masq    1      0          0
TCP  [fd00:0000:0000:0000:0000:0000:0000:004d]:1F90 rr
  -> [fd00:0000:0000:0000:0000:0000:0000:0011]:1F90      Masq    1      0          0
"""


def test_iptables_save_and_the_kernel_have_the_same_rules():
    rules, more = [], True
    left = DUMPED
    while left:
        found, more = dump.parse(left)
        rules += found
        # Two families, so two dumps: each ends with a message of its own.
        end = left.index(struct.pack("=HH", dump.DONE, 2)) - 4
        left = left[end + struct.unpack_from("=I", left, end)[0] :]

    assert not more
    saved = [rule for rule in proxy.parse_iptables_save(SAVED) if rule.jump or rule.destination]
    kernel = [rule for rule in rules if rule.destination]
    assert {rule.destination for rule in saved if rule.destination} == {"10.77.0.11:8080", "10.77.0.12:8080"}
    assert {rule.destination for rule in kernel} == {"10.77.0.11:8080", "10.77.0.12:8080", "[fd00::11]:8080"}
    assert proxy.of_nat_rules(rules) == {"10.77.0.11:8080", "[fd00::11]:8080"}


def test_k4_iptables_mode_has_the_endpoints_still_in_use():
    assert proxy.of_nat_rules(proxy.parse_iptables_save(SAVED)) == {"10.77.0.11:8080"}


@pytest.mark.parametrize("saved", ["*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n", ""])
def test_a_nat_table_without_kube_proxy_is_of_another_mode(saved):
    assert proxy.of_nat_rules(proxy.parse_iptables_save(saved)) is None


def test_a_kube_proxy_without_services_has_no_endpoints():
    assert proxy.of_nat_rules(proxy.parse_iptables_save("*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n")) == frozenset()


def test_translations_of_others_are_no_endpoints_of_a_service():
    saved = SAVED.replace("COMMIT", "-A PREROUTING -p tcp -j DNAT --to-destination 10.77.0.13:8080\nCOMMIT")

    assert proxy.of_nat_rules(proxy.parse_iptables_save(saved)) == {"10.77.0.11:8080"}


def test_k4_nftables_mode_has_single_endpoints_maps_and_affinity():
    assert proxy.of_nft_table((FIXTURES / "nft-table-ip.json").read_text()) == {
        "10.180.0.1:80",
        "10.180.0.3:80",
        "10.180.0.4:80",
        "10.180.0.5:80",
    }
    assert proxy.of_nft_table((FIXTURES / "nft-table-ip6.json").read_text()) == {
        "[fd00:10:180::1]:80",
        "[fd00:10:180::4]:80",
        "[fd00:10:180::5]:80",
    }


def test_k4_rules_of_kube_proxy_1_37_are_read_in_both_modes():
    """One endpoint with two ports, one that took the place of two, one with client affinity that another has left."""
    saved = (FIXTURES / "kube-proxy-1.37-iptables-save.txt").read_text()
    listed = (FIXTURES / "kube-proxy-1.37-nft.json").read_text()
    endpoints = {"10.77.0.11:28082", "10.77.0.11:29093", "10.77.0.23:8080", "10.77.0.32:8080"}

    assert proxy.of_nft_table(listed) == endpoints
    assert proxy.of_nat_rules(proxy.parse_iptables_save(saved)) == endpoints


def test_k4_ipvs_mode_has_the_real_servers_that_get_new_connections():
    assert proxy.of_ip_vs(IP_VS) == {"10.77.0.11:8080", "[fd00::11]:8080"}
    assert proxy.of_ip_vs("\n".join(IP_VS.splitlines()[:3])) is None
    assert proxy.of_ip_vs("") is None


@pytest.mark.parametrize(
    ("routes_to", "forgotten", "settled"),
    [
        (set(), set(), True),
        ({"10.77.0.11:8080"}, set(), True),
        ({"10.77.0.11:8082"}, set(), False),
        (set(), {"10.77.0.11:8080"}, False),
        ({"[FD00:0::11]:8080"}, {"10.77.0.12:8080"}, True),
        (set(), {"fd00::11:8080"}, False),
    ],
)
def test_settled(routes_to: set[str], forgotten: set[str], settled: bool) -> None:
    rules = proxy.ProxyRules(proxy.IPTABLES, frozenset({"10.77.0.11:8080", "[fd00::11]:8080"}))

    assert rules.settled(routes_to, forgotten) is settled
    assert not proxy.ProxyRules(proxy.UNKNOWN, unreadable="no tool").settled(routes_to, forgotten)


def test_a_dump_that_was_disturbed_is_read_again():
    length = struct.unpack_from("=I", DUMPED)[0]
    disturbed = struct.pack("=IHH", length, dump.NEW_RULE, dump.INTERRUPTED) + DUMPED[8:length]

    with pytest.raises(dump.Interrupted):
        dump.parse(disturbed)


@pytest.mark.parametrize(
    ("info", "revision", "destination"),
    [
        (struct.pack("=II", 1, 3) + bytes([10, 0, 0, 1] * 2) + struct.pack(">HH", 80, 80), 0, "10.0.0.1:80"),
        (
            struct.pack("=I", 3) + bytes([10, 0, 0, 1]) + bytes(12) + bytes(16) + struct.pack(">HH", 80, 80),
            1,
            "10.0.0.1:80",
        ),
        (struct.pack("=I", 3) + (b"\xfd" + bytes(14) + b"\1") * 2 + struct.pack(">HHH", 80, 80, 0), 2, "[fd00::1]:80"),
        (b"", 2, None),
    ],
)
def test_every_revision_of_the_dnat_target_is_read(info, revision, destination):
    assert dump._range(info, revision) == destination


class Kernel:
    """What programs and the kernel answer, in place of this machine's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.proc = tmp_path / "proc"
        self.answers: dict[tuple[str, ...], str | Exception] = {}
        self.rules: list[Any] = []
        (self.proc / "net").mkdir(parents=True)
        monkeypatch.setattr(look, "_run", self.run)
        monkeypatch.setattr(look.nat_dump, "nat_rules", lambda: list(self.rules))
        monkeypatch.setattr(
            look.shutil,
            "which",
            lambda name, path: name if any(name == command[0] for command in self.answers) else None,
        )
        self.answers[("nft", "-j", "list", "tables")] = '{"nftables": []}'

    def run(self, command: list[str]) -> str:
        answer = self.answers[tuple(command)]
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    def look(self) -> Any:
        return look.ProxyLook(self.proc)()


@pytest.fixture
def kernel(monkeypatch, tmp_path) -> Kernel:
    return Kernel(monkeypatch, tmp_path)


def test_k4_without_a_proxy_there_is_nothing(kernel):
    assert kernel.look() == proxy.ProxyRules(proxy.NONE)


def test_k4_nftables_is_recognised_by_its_table(kernel):
    kernel.answers[("nft", "-j", "list", "tables")] = (
        '{"nftables": [{"table": {"family": "ip6", "name": "kube-proxy"}}]}'
    )
    kernel.answers[("nft", "-j", "list", "table", "ip6", "kube-proxy")] = (FIXTURES / "nft-table-ip6.json").read_text()

    seen = kernel.look()

    assert (seen.mode, "[fd00:10:180::1]:80" in seen.endpoints) == (proxy.NFTABLES, True)


def test_k4_ipvs_is_recognised_beside_the_chains_it_has_in_iptables(kernel):
    (kernel.proc / "net/ip_vs").write_text(IP_VS)
    kernel.rules = [proxy.NatRule("KUBE-SERVICES")]

    assert kernel.look() == proxy.ProxyRules(proxy.IPVS, frozenset({"10.77.0.11:8080", "[fd00::11]:8080"}))


def test_iptables_is_read_without_any_program(kernel):
    kernel.answers.clear()
    kernel.rules = proxy.parse_iptables_save(SAVED)

    assert kernel.look() == proxy.ProxyRules(proxy.IPTABLES, frozenset({"10.77.0.11:8080"}))


def test_legacy_tables_are_read_by_a_legacy_program_only(kernel):
    (kernel.proc / "net/ip_tables_names").write_text("filter\nnat\n")
    kernel.answers[("iptables-save", "--version")] = "iptables-save v1.8.9 (nf_tables)"
    kernel.answers[("iptables-save", "-t", "nat")] = ""

    seen = kernel.look()
    assert (seen.mode, seen.known) == (proxy.UNKNOWN, False)
    assert "no iptables-legacy-save" in seen.unreadable

    kernel.answers[("iptables-save", "--version")] = "iptables-save v1.8.9 (legacy)"
    kernel.answers[("iptables-save", "-t", "nat")] = SAVED
    assert kernel.look() == proxy.ProxyRules(proxy.IPTABLES, frozenset({"10.77.0.11:8080"}))


@pytest.mark.parametrize("error", [OSError("busy"), subprocess.TimeoutExpired("nft", 10)])
def test_what_cannot_be_read_is_not_taken_for_absent(kernel, error):
    kernel.answers[("nft", "-j", "list", "tables")] = error

    assert (kernel.look().mode, kernel.look().known) == (proxy.UNKNOWN, False)


def test_tools_of_a_proxy_count_only_where_root_alone_can_write(tmp_path, monkeypatch):
    roots, anyones = tmp_path / "roots", tmp_path / "anyones"
    for folder, mode in ((roots, 0o755), (anyones, 0o777)):
        folder.mkdir()
        folder.chmod(mode)
    for pid, name in ((7, "kube-proxy"), (8, "other"), ("self", "python")):
        process = tmp_path / f"proc/{pid}"
        (process / "ns").mkdir(parents=True)
        (process / "comm").write_text(f"{name}\n")
        (process / "environ").write_text(f"A=1\0PATH={roots}:{anyones}:relative\0")
        (process / "ns/mnt").symlink_to("mnt:[1]")
    monkeypatch.setattr(
        look, "_is_roots", lambda folder: not folder.stat().st_mode & 0o022 if folder.exists() else False
    )
    root = tmp_path.stat().st_uid == 0

    found = look._folders_of_proxies(tmp_path / "proc")
    assert (roots in found) is root
    assert anyones not in found

    (tmp_path / "proc/7/ns/mnt").unlink()
    (tmp_path / "proc/7/ns/mnt").symlink_to("mnt:[2]")
    assert look._folders_of_proxies(tmp_path / "proc") == []

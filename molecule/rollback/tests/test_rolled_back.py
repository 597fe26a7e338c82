# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the rollback: every Pi as it was before the migration, with what was written since; nothing of it deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testinfra.host import Host

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.lab.cluster import ROWS

BACKUPS = "/var/backups/pi-controller-migration"


def test_only_the_unit_runs_and_on_the_standard_ports(
    host: Host, daemons: dict[str, list[int]], ports: Callable[[int], set[int]], holds_hardware: Callable[[int], bool]
) -> None:
    assert daemons["pod"] == []
    (unit,) = daemons["unit"]
    assert ports(unit) >= {8080, 9090, 9091}
    assert on.listening(host).isdisjoint({8082, 9093, 9092})
    assert holds_hardware(unit)


def test_the_unit_is_enabled_again(host: Host) -> None:
    unit = host.service(on.DAEMON)
    assert unit.is_enabled
    assert unit.is_running
    assert not unit.is_masked
    file = host.file(f"/etc/systemd/system/{on.DAEMON}.service")
    assert file.is_file
    assert (file.mode, file.user) == (0o644, "root")


def test_every_pi_is_a_voter_again(
    members: Callable[[int], set[tuple[str, str, bool]]], addresses: dict[str, str]
) -> None:
    assert members(8080) == {(name, f"{address}:9091", True) for name, address in addresses.items()}


def test_what_was_written_to_the_pods_is_there(
    content: Callable[[int], dict[str, list[dict[str, Any]]]],
    seeded: Callable[[dict[str, list[dict[str, Any]]]], dict[str, int]],
) -> None:
    rows = content(8080)
    assert "written-to-the-pods" in {row["name"] for row in rows["nodes"]}
    assert seeded(rows) == ROWS


def test_its_data_is_the_pods(host: Host) -> None:
    """Handed over, not copied; the data that the unit had before the migration is put aside."""
    assert host.file("/var/lib/pi-controller/pi-controller.db").is_file
    assert not host.file("/var/lib/pi-controller-pods").exists
    assert not host.file("/var/lib/pi-controller.systemd.backup").exists
    (aside,) = host.check_output("find /var/lib -maxdepth 1 -name 'pi-controller*.rolled-back.*'").splitlines()
    assert aside.startswith("/var/lib/pi-controller.systemd.backup.rolled-back.")
    assert host.file(f"{aside}/pi-controller.db").is_file


def test_no_rule_is_left_not_for_the_next_boot_either(host: Host) -> None:
    assert on.gate_rules(host) == []
    assert host.check_output("find /etc/systemd/system -name 'pi-controller-migration*'") == ""


def test_the_journal_is_put_aside(host: Host) -> None:
    assert not host.file(f"{BACKUPS}/journal.json").exists
    (aside,) = host.check_output(f"find {BACKUPS} -maxdepth 1 -name 'journal*.json'").splitlines()
    assert host.file(aside).mode == 0o600


def test_no_pod_is_left(addresses: dict[str, str]) -> None:
    assert rehearsal.kubectl_json("-n", "pi-controller", "get", "daemonsets,pods")["items"] == []
    endpoints = rehearsal.kubectl_json("-n", "pi-controller", "get", "endpoints", "pi-controller")["subsets"]
    assert {address["ip"] for subset in endpoints for address in subset["addresses"]} == set(addresses.values())
    assert {port["port"] for subset in endpoints for port in subset["ports"]} == {8080, 9090}

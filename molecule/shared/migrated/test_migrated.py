# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that has been migrated to the end: one pod a Pi on the standard ports, and nothing of the way there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testinfra.host import Host

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.lab.cluster import ROWS

STANDARD = {8080, 9090, 9091}
TEMPORARY = {8082, 9093, 9092}
ARCHIVE = "/var/lib/pi-controller.systemd.backup"
BACKUPS = "/var/backups/pi-controller-migration"


def test_only_the_pod_runs_and_on_the_standard_ports(
    host: Host, daemons: dict[str, list[int]], ports: Callable[[int], set[int]]
) -> None:
    assert daemons["unit"] == []
    (pod,) = daemons["pod"]
    assert ports(pod) >= STANDARD
    assert on.listening(host).isdisjoint(TEMPORARY)


def test_the_unit_can_not_come_back(host: Host) -> None:
    unit = host.service(on.DAEMON)
    assert unit.is_masked
    assert not unit.is_running
    assert host.file(f"/etc/systemd/system/{on.DAEMON}.service").linked_to == "/dev/null"
    assert host.file(f"{BACKUPS}/{on.DAEMON}.service").mode == 0o644


def test_the_units_data_is_archived(host: Host) -> None:
    archive = host.file(ARCHIVE)
    assert archive.is_directory
    assert archive.user == "root"
    assert host.file(f"{ARCHIVE}/pi-controller.db").is_file
    assert not host.file("/var/lib/pi-controller").exists


def test_the_pod_has_folders_of_its_own(
    host: Host, daemons: dict[str, list[int]], mounts: Callable[[int], dict[str, tuple[str, set[str]]]]
) -> None:
    (pod,) = daemons["pod"]
    data, _ = mounts(pod)["/var/lib/pi-controller"]
    assert data.endswith("/var/lib/pi-controller-pods")
    config, options = mounts(pod)["/etc/pi-controller"]
    assert config.endswith("/etc/pi-controller")
    assert "ro" in options
    folder = host.file("/var/lib/pi-controller-pods")
    assert (folder.mode, folder.user) == (0o700, "root")


def test_the_pod_has_the_hardware(daemons: dict[str, list[int]], holds_hardware: Callable[[int], bool]) -> None:
    (pod,) = daemons["pod"]
    assert holds_hardware(pod)


def test_every_pi_is_a_voter_under_its_old_id(
    members: Callable[[int], set[tuple[str, str, bool]]], addresses: dict[str, str]
) -> None:
    assert members(8080) == {(name, f"{address}:9091", True) for name, address in addresses.items()}


def test_the_content_is_there(
    content: Callable[[int], dict[str, list[dict[str, Any]]]],
    seeded: Callable[[dict[str, list[dict[str, Any]]]], dict[str, int]],
) -> None:
    assert seeded(content(8080)) == ROWS


def test_no_rule_is_left_not_for_the_next_boot_either(host: Host) -> None:
    assert on.gate_rules(host) == []
    assert host.check_output("find /etc/systemd/system -name 'pi-controller-migration*'") == ""


def test_backups_are_roots_alone(host: Host) -> None:
    backups = host.file(BACKUPS)
    assert (backups.mode, backups.user, backups.group) == (0o700, "root", "root")
    assert host.file(f"{BACKUPS}/journal.json").is_file
    # The unit file keeps its mode and owner, which a rollback restores; others cannot enter the folder.
    assert host.check_output(f"find {BACKUPS} -perm /077 ! -name pi-controller.service") == ""


def test_no_container_was_restarted(addresses: dict[str, str]) -> None:
    pods = rehearsal.kubectl_json("-n", "pi-controller", "get", "pods")["items"]
    restarts = {
        pod["spec"]["nodeName"]: [container["restartCount"] for container in pod["status"]["containerStatuses"]]
        for pod in pods
    }
    assert restarts == {name: [0] for name in addresses}

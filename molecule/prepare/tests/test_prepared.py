# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the first phase: backups on and off the Pis, pods without a cluster beside units that know nothing of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from testinfra.host import Host

from tests.e2e import hosts as on

BACKUPS = "/var/backups/pi-controller-migration"


def test_the_unit_serves_as_before(
    host: Host, daemons: dict[str, list[int]], ports: Callable[[int], set[int]], holds_hardware: Callable[[int], bool]
) -> None:
    assert on.unit_state(host) == ("enabled", "active")
    assert host.check_output(f"systemctl show -P NRestarts {on.DAEMON}") == "0"
    (unit,) = daemons["unit"]
    assert ports(unit) >= {8080, 9090, 9091}
    assert holds_hardware(unit)


def test_the_old_cluster_is_as_it_was(
    members: Callable[[int], set[tuple[str, str, bool]]], addresses: dict[str, str]
) -> None:
    assert members(8080) == {(name, f"{address}:9091", True) for name, address in addresses.items()}


def test_the_pod_runs_beside_it(
    daemons: dict[str, list[int]], ports: Callable[[int], set[int]], holds_hardware: Callable[[int], bool]
) -> None:
    (pod,) = daemons["pod"]
    assert ports(pod) >= {8082, 9093}
    assert ports(pod).isdisjoint({8080, 8081, 9090, 9091})
    assert not holds_hardware(pod)


def test_the_pod_shares_no_folder_with_the_unit(
    host: Host, daemons: dict[str, list[int]], mounts: Callable[[int], dict[str, tuple[str, set[str]]]]
) -> None:
    (pod,) = daemons["pod"]
    data, _ = mounts(pod)["/var/lib/pi-controller"]
    assert data.endswith("/var/lib/pi-controller-pods")
    assert "ro" in mounts(pod)["/etc/pi-controller"][1]
    folder = host.file("/var/lib/pi-controller-pods")
    assert (folder.mode, folder.user, folder.group) == (0o700, "root", "root")


def test_the_pod_belongs_to_no_cluster(members: Callable[[int], set[tuple[str, str, bool]]]) -> None:
    assert members(8082) == set()


def test_no_client_is_led_elsewhere(host: Host) -> None:
    assert on.gate_rules(host) == []


def test_the_backup_is_what_its_manifest_says(host: Host) -> None:
    manifest = json.loads(host.file(f"{BACKUPS}/prepare/manifest.json").content_string)
    backup = host.file(f"{BACKUPS}/prepare/pi-controller.db")
    assert manifest["host"] == host.backend.get_hostname()
    assert manifest["database"]["sha256"] == backup.sha256sum
    assert host.check_output(f"sqlite3 -readonly {backup.path} 'PRAGMA integrity_check'") == "ok"


def test_the_backup_is_on_the_control_node_as_well(host: Host, control_dir: Path) -> None:
    copies = control_dir / host.backend.get_hostname()
    digest = hashlib.sha256((copies / "pi-controller.db").read_bytes()).hexdigest()
    assert digest == host.file(f"{BACKUPS}/prepare/pi-controller.db").sha256sum
    assert (copies / "manifest.json").read_bytes() == host.file(f"{BACKUPS}/prepare/manifest.json").content
    assert copies.stat().st_mode & 0o777 == 0o700


def test_the_leaders_snapshot_is_on_its_own_pi(host: Host) -> None:
    leads = on.raft_status(host, 8080)["is_leader"]
    assert host.file(f"{BACKUPS}/prepare/snapshot/state.bin").is_file == leads


def test_backups_are_roots_alone(host: Host) -> None:
    folder = host.file(BACKUPS)
    assert (folder.mode, folder.user, folder.group) == (0o700, "root", "root")
    assert host.file(f"{BACKUPS}/journal.json").mode == 0o600
    assert host.check_output(f"find {BACKUPS} -perm /077") == ""

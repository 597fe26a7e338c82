# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate's boot unit: what is written for a state, and that nothing of it stays behind."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.pi_controller.raft_migration.plugins.module_utils._gate.boot import NAME, BootUnit
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._gate.rules import Gate, Port

PORTS = (Port(8080, 8082),)


def rules(state: str) -> dict:
    gate = Gate(state, PORTS)
    return {"/usr/sbin/iptables-restore": gate.rules(), "/usr/sbin/ip6tables-restore": gate.rules(ipv6=True)}


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_a_state_is_written_once_and_is_enabled(tmp_path: Path) -> None:
    unit = BootUnit(rules("redirected"), tmp_path)
    assert unit.write() is True
    assert unit.write() is False
    wants = f"multi-user.target.wants/{NAME}.service"
    assert names(tmp_path) == {f"{NAME}.service", f"{NAME}.iptables", f"{NAME}.ip6tables", wants}
    assert (tmp_path / wants).resolve() == tmp_path / f"{NAME}.service"
    text = (tmp_path / f"{NAME}.service").read_text()
    assert f"/usr/sbin/iptables-restore --noflush -w 10 < {tmp_path}/{NAME}.iptables" in text
    assert f"/usr/sbin/ip6tables-restore --noflush -w 10 < {tmp_path}/{NAME}.ip6tables" in text


def test_the_rules_stand_on_their_own_after_a_boot(tmp_path: Path) -> None:
    BootUnit(rules("redirected"), tmp_path).write()
    text = (tmp_path / f"{NAME}.iptables").read_text()
    assert ":PI-CTL-INPUT - [0:0]" in text
    assert "-I INPUT 1 -j PI-CTL-INPUT" in text
    assert "--to-destination :8082" in text
    assert text.count("COMMIT") == 2, "filter and nat, each as a whole"


def test_another_state_replaces_the_rules(tmp_path: Path) -> None:
    BootUnit(rules("redirected"), tmp_path).write()
    assert BootUnit(rules("fenced"), tmp_path).write() is True
    assert "8082" not in (tmp_path / f"{NAME}.iptables").read_text()


def test_without_rules_nothing_stays(tmp_path: Path) -> None:
    assert BootUnit({}, tmp_path).write() is False
    BootUnit(rules("redirected"), tmp_path).write()
    assert BootUnit({}, tmp_path).write(check_mode=True) is True
    assert names(tmp_path) != set()
    assert BootUnit({}, tmp_path).write() is True
    assert names(tmp_path) == set()
    assert BootUnit({}, tmp_path).write() is False


def test_a_unit_that_lost_its_link_is_put_right(tmp_path: Path) -> None:
    BootUnit(rules("redirected"), tmp_path).write()
    (tmp_path / f"multi-user.target.wants/{NAME}.service").unlink()
    assert BootUnit(rules("redirected"), tmp_path).write() is True
    assert (tmp_path / f"multi-user.target.wants/{NAME}.service").is_symlink()

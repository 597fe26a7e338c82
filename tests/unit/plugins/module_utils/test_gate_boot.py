# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate's boot unit: what is written for a state, and that nothing of it stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._gate.boot import FIREWALLS, NAME, BootUnit
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._gate.nft import GateError
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._gate.table import Gate, Port

NFT = "/usr/sbin/nft"


def gate(state: str) -> Gate:
    return Gate(state, (Port(8080, 8082),), own=("192.0.2.11",))


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_a_state_is_written_once_and_is_enabled(tmp_path: Path) -> None:
    unit = BootUnit(NFT, gate("redirected"), tmp_path)
    assert unit.write() is True
    assert unit.write() is False
    wants = f"multi-user.target.wants/{NAME}.service"
    assert names(tmp_path) == {f"{NAME}.service", f"{NAME}.nft", wants}
    assert (tmp_path / wants).resolve() == tmp_path / f"{NAME}.service"
    assert f"ExecStart={NFT} -f {tmp_path}/{NAME}.nft\n" in (tmp_path / f"{NAME}.service").read_text()


def test_p5_it_comes_after_every_firewall_and_before_the_network(tmp_path: Path) -> None:
    BootUnit(NFT, gate("redirected"), tmp_path).write()
    lines = (tmp_path / f"{NAME}.service").read_text().splitlines()
    (after,) = [line for line in lines if line.startswith("After=")]
    for name in ("nftables", "netfilter-persistent", "iptables", "ufw", "firewalld"):
        assert name in FIREWALLS
        assert f"{name}.service" in after.split()
    assert "Before=network-pre.target multi-user.target" in lines


def test_the_table_is_whole_after_a_boot(tmp_path: Path) -> None:
    BootUnit(NFT, gate("redirected"), tmp_path).write()
    assert (tmp_path / f"{NAME}.nft").read_text() == gate("redirected").text()


def test_another_state_replaces_the_table(tmp_path: Path) -> None:
    BootUnit(NFT, gate("redirected"), tmp_path).write()
    assert BootUnit(NFT, gate("fenced"), tmp_path).write() is True
    assert "8082" not in (tmp_path / f"{NAME}.nft").read_text()


def test_without_a_gate_nothing_stays(tmp_path: Path) -> None:
    assert BootUnit(NFT, None, tmp_path).write() is False
    BootUnit(NFT, gate("redirected"), tmp_path).write()
    # What an older version of the collection has left goes, too.
    (tmp_path / f"{NAME}.iptables").write_text("*nat\nCOMMIT\n")
    assert BootUnit(NFT, None, tmp_path).write(check_mode=True) is True
    assert names(tmp_path) != set()
    assert BootUnit(NFT, None, tmp_path).write() is True
    assert names(tmp_path) == set()
    assert BootUnit(NFT, None, tmp_path).write() is False


def test_a_unit_that_lost_its_link_is_put_right(tmp_path: Path) -> None:
    BootUnit(NFT, gate("redirected"), tmp_path).write()
    (tmp_path / f"multi-user.target.wants/{NAME}.service").unlink()
    assert BootUnit(NFT, gate("redirected"), tmp_path).write() is True
    assert (tmp_path / f"multi-user.target.wants/{NAME}.service").is_symlink()


def test_a_folder_that_takes_no_file_is_what_the_message_names(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="boot unit cannot be written") as error:
        BootUnit(NFT, gate("redirected"), tmp_path / "missing").write()
    assert error.value.failure["wanted"] == f"{tmp_path}/missing/{NAME}.service"

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kubelet's eviction threshold, from the files and command lines that hosts really have, and what pre-flight
makes of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import import_plugin
from preflight_world import MIB, healthy, owner, settings

eviction = import_plugin("module_utils._kube.eviction")
judge = import_plugin("module_utils._preflight.judge")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for folder in ("var/lib/kubelet", "etc/rancher/k3s/config.yaml.d", "proc"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def process(host: Path, name: str, *words: str, pid: int = 7) -> None:
    folder = host / f"proc/{pid}"
    folder.mkdir()
    (folder / "comm").write_text(f"{name}\n")
    (folder / "cmdline").write_bytes("\0".join(words).encode())


def below(host: Path) -> int | str:
    """The threshold of the node's own file system, in percent where it is a whole one."""
    (found,) = [entry for entry in eviction.evictions(host, host / "proc") if entry["signal"] == "nodefs.available"]
    assert found["device"] == host.stat().st_dev
    percent = found["below"] * 100 / found["total"]
    return f"{percent:.0f}%" if abs(percent - round(percent)) < 1e-6 and found["below"] != 1 << 30 else found["below"]


def test_k8_the_threshold_of_k3s_and_of_a_plain_kubelet(host):
    process(host, "k3s-server", "/usr/local/bin/k3s", "server")
    assert below(host) == "5%"


def test_k8_a_plain_kubelet(host):
    (host / "etc/rancher/k3s/config.yaml.d").rmdir()
    (host / "etc/rancher/k3s").rmdir()
    process(host, "kubelet", "kubelet", "--config=/etc/kubelet.json")
    assert below(host) == "10%"
    (host / "etc/kubelet.json").write_text('{"evictionHard": {"memory.available": "0%", "nodefs.available": "0%"}}')
    assert below(host) == "0%"


@pytest.mark.parametrize(
    ("words", "config", "wanted"),
    [
        (["k3s", "agent", "--kubelet-arg=eviction-hard=imagefs.available<1%,nodefs.available<2%"], "", "2%"),
        (["k3s", "server"], 'kubelet-arg:\n  - "eviction-hard=nodefs.available<1Gi"\n', 1 << 30),
        # The command line wins over the file, and a soft threshold evicts much later.
        (
            ["k3s", "server", "--kubelet-arg", "eviction-hard=nodefs.available<3%"],
            "kubelet-arg: eviction-hard=nodefs.available<8%\n",
            "3%",
        ),
        (["k3s", "server", "--kubelet-arg=eviction-soft=nodefs.available<30%"], "", "5%"),
    ],
)
def test_k8_a_threshold_of_the_owners(host, words, config, wanted):
    process(host, "k3s-server", *words)
    (host / "etc/rancher/k3s/config.yaml").write_text(config)
    assert below(host) == wanted


def test_k8_a_host_without_a_kubelet_has_none(tmp_path):
    assert eviction.evictions(tmp_path, tmp_path) == []


def findings(free: int, limit: int, device: int = 1):
    world = healthy()
    world["host"]["pi-2"]["evictions"] = [
        {
            "signal": "nodefs.available",
            "path": "/var/lib/kubelet",
            "device": device,
            "total": 4000 * MIB,
            "free": free * MIB,
            "below": limit * MIB,
        }
    ]
    return [finding for finding in judge.evaluate(world, settings(), owner()) if finding.check == "eviction"]


def test_k8_room_for_the_copies_is_not_enough_for_the_kubelet():
    (finding,) = findings(free=260, limit=200)

    assert (finding.host, finding.level) == ("pi-2", "error")
    assert "the migration writes" in finding.seen
    assert finding.wanted.startswith("200 MiB stay free")
    assert finding.fix.startswith("free ")
    assert findings(free=900, limit=200) == []


def test_k8_another_file_system_gets_no_copies():
    assert findings(free=260, limit=200, device=9) == []
    (finding,) = findings(free=150, limit=200, device=9)
    assert "migration writes" not in finding.seen

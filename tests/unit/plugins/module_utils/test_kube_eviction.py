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
kubelet = import_plugin("module_utils._kube.kubelet")
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
    (found,) = [
        entry
        for entry in eviction.evictions(kubelet.read_kubelet(host, host / "proc"), host)
        if entry["signal"] == "nodefs.available"
    ]
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


DROP_INS = "var/lib/rancher/k3s/agent/etc/kubelet.conf.d"


def written(host: Path, path: str, text: str) -> str:
    file = host / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return f"/{path}"


def hard(value: str) -> str:
    return f'kind: KubeletConfiguration\nevictionHard:\n  nodefs.available: "{value}"\n'


def test_k8_the_drop_ins_of_k3s_are_read_in_the_order_of_their_names(host):
    process(host, "k3s-server", "/usr/local/bin/k3s server")
    written(host, f"{DROP_INS}/90-mine.conf", hard("20%"))
    written(host, f"{DROP_INS}/00-k3s-defaults.conf", hard("6%"))
    written(host, f"{DROP_INS}/99-other.conf", "evictionHard:\n  imagefs.available: 30%\n")
    # The kubelet reads nothing else there.
    written(host, f"{DROP_INS}/99-old.conf.bak", hard("40%"))
    assert below(host) == "20%"


def test_k8_a_flag_wins_over_the_drop_ins(host):
    process(host, "k3s-server", "/usr/local/bin/k3s server")
    written(host, f"{DROP_INS}/90-mine.conf", hard("20%"))
    (host / "etc/rancher/k3s/config.yaml").write_text("kubelet-arg:\n- eviction-hard=nodefs.available<8%\n")
    assert below(host) == "8%"


@pytest.mark.parametrize(
    "text",
    [
        "kubelet-arg: config=/etc/mine/kubelet.yaml\n",
        "kubelet-arg:\n  - image-credential-provider-config=/etc/other\n  - 'config=/etc/mine/kubelet.yaml'\n",
        'kubelet-arg+: ["config=/etc/mine/kubelet.yaml", "v=2"]\n',
        "kubelet-arg: config-dir=/etc/mine\n",
    ],
)
def test_k8_files_that_the_settings_of_k3s_name_are_read(host, text):
    process(host, "k3s-agent", "/usr/local/bin/k3s agent")
    written(host, "etc/other", hard("40%"))
    written(host, "etc/mine/kubelet.yaml", hard("12%"))
    written(host, "etc/mine/sub/a.conf", hard("12%"))
    (host / "etc/rancher/k3s/config.yaml").write_text(text)
    assert below(host) == "12%"


def test_k8_a_folder_of_the_owners_replaces_that_of_k3s(host):
    process(host, "k3s-server", "k3s", "server", "--kubelet-arg=config-dir=/etc/mine")
    written(host, f"{DROP_INS}/90-mine.conf", hard("20%"))
    written(host, "etc/mine/a.conf", hard("12%"))
    assert below(host) == "12%"


def test_k8_the_settings_of_k3s_may_be_in_another_file(host):
    process(host, "k3s-server", "k3s", "server", "--config", "/etc/k3s.yaml")
    written(host, "etc/k3s.yaml", "kubelet-arg: config=/etc/kubelet.yaml\n")
    written(host, "etc/kubelet.yaml", hard("12%"))
    assert below(host) == "12%"


@pytest.mark.parametrize(
    "more",
    [
        "evictionMinimumReclaim:\n  nodefs.available: 30%\n",
        "evictionSoft:\n  memory.available: 5%\n\n  nodefs.available: 30%\n",
        'evictionSoft: {"nodefs.available": "30%"}\n',
        "# nodefs.available: 30%\n",
    ],
)
def test_k8_other_settings_of_the_same_signal_are_no_hard_threshold(host, more):
    process(host, "k3s-server", "/usr/local/bin/k3s server")
    written(host, f"{DROP_INS}/90-mine.conf", hard("12%") + more)
    assert below(host) == "12%"


def test_k8_a_host_without_a_kubelet_has_none(tmp_path):
    assert eviction.evictions(kubelet.read_kubelet(tmp_path, tmp_path), tmp_path) == []


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

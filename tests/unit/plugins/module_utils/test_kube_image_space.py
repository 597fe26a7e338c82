# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From how full a file system of images the kubelet removes unused ones, and what pre-flight makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin
from preflight_world import MIB, healthy, owner, settings

image_space = import_plugin("module_utils._kube.image_space")
kubelet = import_plugin("module_utils._kube.kubelet")
judge = import_plugin("module_utils._preflight.judge")
DROP_IN = "var/lib/rancher/k3s/agent/etc/kubelet.conf.d/90-mine.conf"
CONFIG = "etc/rancher/k3s/config.yaml"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for folder in ("var/lib/rancher/k3s/agent/containerd", "proc"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "text", "percent"),
    [
        (CONFIG, "", 85),
        (DROP_IN, "imageGCHighThresholdPercent: 70\nimageGCLowThresholdPercent: 55\n", 70),
        (DROP_IN, '{"imageGCHighThresholdPercent": 100}', 100),
        (CONFIG, 'kubelet-arg:\n  - "image-gc-high-threshold=60"\n  - image-gc-low-threshold=50\n', 60),
        (CONFIG, "kubelet-arg: image-gc-high-threshold=much\n", 85),
    ],
)
def test_k8_the_threshold_is_the_kubelets_own(host, path, text, percent):
    (host / path).parent.mkdir(parents=True, exist_ok=True)
    (host / path).write_text(text)
    seen = image_space.image_space(kubelet.read_kubelet(host, host / "proc"), host)

    assert (seen["path"], seen["high_percent"]) == ("/var/lib/rancher/k3s/agent/containerd", percent)
    assert seen["device"] == host.stat().st_dev
    assert 0 < seen["free"] <= seen["total"]


def test_k8_a_host_without_containerd_has_none(tmp_path):
    assert image_space.image_space(kubelet.read_kubelet(tmp_path, tmp_path), tmp_path) is None


def warnings(free: int, *, high: int = 85, device: int = 9, config: Any = None, **changes: Any) -> list[Any]:
    world = healthy()
    space = {"path": "/c", "device": device, "total": 1000 * MIB, "free": free * MIB, "high_percent": high}
    world["host"]["pi-2"]["image_space"] = space
    findings = judge.evaluate(world, settings(**(config or {})), owner(**changes))
    return [finding for finding in findings if finding.check == "image space"]


def test_k8_a_fuller_file_system_is_a_warning_with_the_bytes_to_free():
    (finding,) = warnings(120)

    assert (finding.host, finding.level) == ("pi-2", "warning")
    assert "88 % of 1000 MiB used at /c" in finding.seen
    assert "85 %" in finding.wanted
    # As the kubelet counts: 16 % free are 84 % used.
    assert "free 40.0 MiB there" in finding.fix
    assert warnings(160) == []


@pytest.mark.parametrize(("free", "count"), [(159, 1), (160, 0)])
def test_k8_the_percentage_is_counted_as_by_the_kubelet(free, count):
    """It takes whole percents of what is free, so 15.9 % free are 85 % used."""
    assert len(warnings(free)) == count


@pytest.mark.parametrize(
    ("strategy", "policy", "words"),
    [
        ("rolling", "Never", "import pi-controller:1.4.0 again right before the cutover"),
        ("rolling", "IfNotPresent", "pull pi-controller:1.4.0 again right before the cutover"),
        ("parallel", "Never", "import pi-controller:1.4.0 again right before prepare"),
    ],
)
def test_k8_the_image_can_be_brought_again_instead(strategy, policy, words):
    (finding,) = warnings(120, config={"strategy": strategy}, pull_policy=policy)

    assert words in finding.fix


def test_k8_what_the_migration_writes_counts_where_it_is_written():
    (finding,) = warnings(300, device=1)

    assert "that the migration writes" in finding.seen


def test_k8_nothing_is_removed_with_a_threshold_of_100():
    assert warnings(0, high=100) == []


def test_k8_without_an_image_or_its_file_system_there_is_no_warning():
    assert warnings(120, image="") == []
    world = healthy()
    world["host"]["pi-2"]["image_space"] = None
    assert judge.evaluate(world, settings(), owner()) == []

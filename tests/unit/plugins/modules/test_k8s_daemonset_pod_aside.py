# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import import_plugin
from fake_kube import APPS, CORE, NAME, NAMESPACE, FakeKube, add_daemonset, add_pod, pod

api = import_plugin("module_utils._kube.api")
LABEL = "raft-migration/serving"
DAEMONSET = f"{APPS}/daemonsets/{NAME}"


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    fake = FakeKube(lag=0)
    monkeypatch.setattr(import_plugin("modules.k8s_daemonset_pod_aside"), "connect", lambda _module: api.KubeApi(fake))
    add_daemonset(fake, {"old": 1, "new": 2})
    return fake


@pytest.fixture
def aside(run_module: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def run(others: list[str] | None = None, **how: bool) -> dict[str, Any]:
        args: dict[str, Any] = {"namespace": NAMESPACE, "daemonset": NAME, "node": "pi-2", "labels": {LABEL: "false"}}
        if others is not None:
            args |= {"others": others, "wait_timeout": 0}
        return run_module("k8s_daemonset_pod_aside", args, **how)

    return run


def labels(kube: FakeKube, node: int) -> dict[str, str]:
    found: dict[str, str] = kube.objects[f"{CORE}/pods/{NAME}-{node}a"]["metadata"]["labels"]
    return found


def test_the_pod_gets_the_labels_and_no_other_pod_does(kube: FakeKube, aside: Callable[..., dict[str, Any]]) -> None:
    for node in (1, 2):
        add_pod(kube, pod(node, revision="old"))
    before = dict(labels(kube, 2))
    result = aside()
    assert (result["changed"], result["pod"], result["current"], result["ready"]) == (True, f"{NAME}-2a", False, True)
    assert labels(kube, 2) == {**before, LABEL: "false"}
    assert LABEL not in labels(kube, 1)
    assert aside()["changed"] is False


def test_a_successor_stays_in_the_service(kube: FakeKube, aside: Callable[..., dict[str, Any]]) -> None:
    add_pod(kube, pod(2, revision="new", ready=False))
    result = aside()
    assert (result["changed"], result["current"], result["ready"]) == (False, True, False)
    assert LABEL not in labels(kube, 2)


def test_between_two_pods_there_is_nothing_to_change(kube: FakeKube, aside: Callable[..., dict[str, Any]]) -> None:
    result = aside()
    assert (result["changed"], result["pod"], result["current"]) == (False, None, False)


def test_check_mode_predicts_and_diff_shows_it(kube: FakeKube, aside: Callable[..., dict[str, Any]]) -> None:
    add_pod(kube, pod(2, revision="old"))
    result = aside(check_mode=True, diff=True)
    assert result["changed"] is True
    assert result["diff"]["after"]["labels"][LABEL] == "false"
    assert LABEL not in result["diff"]["before"]["labels"]
    assert LABEL not in labels(kube, 2)


def test_it_stays_in_the_service_until_all_others_are_ready(
    kube: FakeKube, aside: Callable[..., dict[str, Any]]
) -> None:
    add_pod(kube, pod(1, revision="new", ready=False))
    add_pod(kube, pod(2, revision="old"))
    refused = aside(["pi-1", "pi-3"])
    assert refused["failed"]
    assert "pi-2: its pod stays in the Service" in refused["msg"]
    assert "pi-1: " in refused["msg"]
    assert "pi-3: has no pod" in refused["msg"]
    assert LABEL not in labels(kube, 2)
    assert aside(["pi-1", "pi-3"], check_mode=True)["changed"] is True


@pytest.mark.parametrize("revision", ["old", "new"])
def test_others_may_run_either_template(kube: FakeKube, aside: Callable[..., dict[str, Any]], revision: str) -> None:
    for node in (1, 2, 3):
        add_pod(kube, pod(node, revision="old" if node != 1 else revision))
    assert aside(["pi-1", "pi-3"])["changed"] is True
    assert labels(kube, 2)[LABEL] == "false"


def test_a_pod_that_is_half_way_waits_for_no_other(kube: FakeKube, aside: Callable[..., dict[str, Any]]) -> None:
    """Nothing leaves the Service with it, and its clients wait."""
    add_pod(kube, pod(2, revision="new", ready=False))
    result = aside(["pi-1", "pi-3"])
    assert (result["changed"], result["current"]) == (False, True)


def test_one_that_an_earlier_run_has_set_aside_is_back_first(
    kube: FakeKube, aside: Callable[..., dict[str, Any]]
) -> None:
    """That run was killed before it replaced the pod, and the order is another one now."""
    kube.objects[DAEMONSET]["spec"]["template"] = {"metadata": {"labels": {LABEL: "true"}}}
    for node in (1, 2):
        add_pod(kube, pod(node, revision="old"))
    labels(kube, 1)[LABEL] = "false"
    assert aside(["pi-1"], check_mode=True)["changed"] is True
    assert labels(kube, 1)[LABEL] == "false", "it is predicted"
    assert aside(["pi-1"])["changed"] is True
    assert (labels(kube, 1)[LABEL], labels(kube, 2)[LABEL]) == ("true", "false")

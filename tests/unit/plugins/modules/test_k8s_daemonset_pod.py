# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from conftest import import_plugin
from fake_kube import APPS, CORE, NAME, NAMESPACE, FakeKube, add_daemonset, add_pod, pod

api = import_plugin("module_utils._kube.api")


@pytest.fixture
def kube(monkeypatch) -> FakeKube:
    fake = FakeKube(lag=0)
    for name in ("k8s_daemonset_pod", "k8s_daemonset_pod_info"):
        monkeypatch.setattr(import_plugin(f"modules.{name}"), "connect", lambda _module: api.KubeApi(fake))
    add_daemonset(fake, {"old": 1, "new": 2})
    return fake


@pytest.fixture
def replace(run_module):
    def run(node=2, check_mode=False, diff=False, **options):
        args = {"namespace": NAMESPACE, "daemonset": NAME, "node": f"pi-{node}", "wait_timeout": 5, **options}
        return run_module("k8s_daemonset_pod", args, check_mode=check_mode, diff=diff)

    return run


@pytest.fixture
def info(run_module):
    def run(**options):
        args = {"namespace": NAMESPACE, "daemonset": NAME, "wait_timeout": 0, **options}
        return run_module("k8s_daemonset_pod_info", args)

    return run


def succeed_with(kube: FakeKube, successor: dict | None, stopping_for: int = 2) -> None:
    """Deleting a pod marks it first; some looks later it is gone, and later still its successor is there."""

    def deleted(path):
        kube.objects[path]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z"
        looks = iter(range(1000))

        def act(method, requested):
            if requested != f"{CORE}/pods":
                return
            look = next(looks)
            if look == stopping_for:
                del kube.objects[path]
            if look == stopping_for + 2 and successor is not None:
                add_pod(kube, successor)

        kube.on_request = act

    # An assignment to a method, which is what a fake is for.
    kube.deleted = deleted  # type: ignore[method-assign]


def test_a_pod_of_the_present_template_stays(kube, replace):
    add_pod(kube, pod(2))

    result = replace()

    assert (result["changed"], kube.writes) == (False, [])
    assert (result["pod"], result["revision"], result["restart_count"]) == (f"{NAME}-2a", "new", 0)
    assert result["before"] == result["after"]


def test_a_pod_of_an_old_template_is_replaced(kube, replace):
    add_pod(kube, pod(1, revision="old"))
    add_pod(kube, pod(2, revision="old"))
    succeed_with(kube, pod(2, suffix="b"))

    result = replace(diff=True)

    assert kube.writes == [("delete", f"{CORE}/pods/{NAME}-2a")]
    assert (result["changed"], result["pod"], result["uid"]) == (True, f"{NAME}-2b", "uid-pod-2b")
    assert (result["before"]["revision"], result["after"]["revision"]) == ("old", "new")
    assert (result["diff"]["before"]["pod"], result["diff"]["after"]["pod"]) == (f"{NAME}-2a", f"{NAME}-2b")
    assert replace()["changed"] is False


def test_going_back_to_an_old_template_counts(kube, replace):
    add_daemonset(kube, {"old": 3, "new": 2})
    add_pod(kube, pod(2, revision="new"))
    succeed_with(kube, pod(2, revision="old", suffix="b"))

    result = replace()

    assert (result["changed"], result["revision"], result["after"]["revision"]) == (True, "old", "old")


def test_another_daemonsets_revisions_and_pods_do_not_count(kube, replace):
    foreign = kube.objects[f"{APPS}/controllerrevisions/{NAME}-new"]
    kube.put(
        f"{APPS}/controllerrevisions/other",
        {**foreign, "revision": 9, "metadata": {**foreign["metadata"], "ownerReferences": [{"uid": "uid-other"}]}},
    )
    add_pod(kube, pod(2, owner="uid-other", revision="x", suffix="z"))
    add_pod(kube, pod(2))

    result = replace()

    assert (result["changed"], result["pod"], result["revision"]) == (False, f"{NAME}-2a", "new")


def test_waits_until_the_controller_has_seen_the_template(kube, replace):
    add_daemonset(kube, {"old": 1}, generation=2, observed=1)
    del kube.objects[f"{APPS}/controllerrevisions/{NAME}-new"]
    add_pod(kube, pod(2, revision="old"))
    succeed_with(kube, pod(2, suffix="b"))
    looks = iter(range(1000))

    def notice(method, path):
        if path.endswith(f"/daemonsets/{NAME}") and next(looks) == 2:
            add_daemonset(kube, {"old": 1, "new": 2})

    kube.on_request = notice

    assert replace()["changed"] is True


def test_gives_up_on_a_controller_that_does_not_see_the_template(kube, replace, monkeypatch):
    monkeypatch.setattr(import_plugin("module_utils._kube.daemonset"), "SETTLE_TIMEOUT", 0)
    add_daemonset(kube, {"old": 1, "new": 2}, generation=3, observed=2)
    add_pod(kube, pod(2, revision="old"))

    result = replace()

    assert "kube-controller-manager" in result["msg"]
    assert (result["failure"]["seen"], result["failure"]["wanted"]) == (2, 3)
    assert kube.writes == []


def test_force_replaces_a_current_pod(kube, replace):
    add_pod(kube, pod(2))
    succeed_with(kube, pod(2, suffix="b"), stopping_for=3)

    result = replace(force=True)

    assert (result["changed"], result["before"]["pod"], result["pod"]) == (True, f"{NAME}-2a", f"{NAME}-2b")


def test_a_pod_that_is_stopping_already_is_not_deleted_again(kube, replace):
    add_pod(kube, pod(2, revision="old"))
    succeed_with(kube, pod(2, suffix="b"))
    kube.deleted(f"{CORE}/pods/{NAME}-2a")

    result = replace()

    assert (result["changed"], kube.writes, result["pod"]) == (False, [], f"{NAME}-2b")


def test_a_pod_already_replaced_is_left_alone(kube, replace):
    add_pod(kube, pod(2, revision="old"))

    def replaced(method, path):
        if method == "delete":
            del kube.objects[path]
            add_pod(kube, {**pod(2), "metadata": {**pod(2)["metadata"], "name": f"{NAME}-2a", "uid": "uid-young"}})

    kube.on_request = replaced

    result = replace()

    assert (result["changed"], result["uid"]) == (False, "uid-young")


@pytest.mark.parametrize(
    ("wait_for", "pod_after"),
    [("none", f"{NAME}-2a"), ("gone", None), ("running", f"{NAME}-2b"), ("ready", f"{NAME}-2b")],
)
def test_it_waits_for_the_requested_condition(kube, replace, wait_for, pod_after):
    add_pod(kube, pod(2, revision="old"))
    succeed_with(kube, pod(2, suffix="b", ready=wait_for != "running"))

    result = replace(wait_for=wait_for)

    assert (result["changed"], result["pod"]) == (True, pod_after)


def test_a_running_pod_need_not_be_ready_but_a_ready_one_must(kube, replace):
    add_pod(kube, pod(2, ready=False))

    assert "failed" not in replace(wait_for="running", wait_timeout=0)
    assert "is not ready" in replace(wait_for="ready", wait_timeout=0)["msg"]


def test_says_why_the_successor_does_not_come_up(kube, replace):
    add_pod(kube, pod(2, revision="old"))
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "gpio: device is taken\n"}}
    succeed_with(kube, pod(2, suffix="b", running=False, ready=False, restartCount=4, lastState=ended))
    kube.put(
        f"{CORE}/events/one",
        {
            "metadata": {"name": "one"},
            "involvedObject": {"uid": "uid-pod-2b"},
            "reason": "BackOff",
            "message": "Back-off restarting failed container",
        },
    )
    kube.put(
        f"{CORE}/events/two", {"metadata": {}, "involvedObject": {"uid": "else"}, "reason": "Other", "message": "x"}
    )

    result = replace(wait_for="running", wait_timeout=2)

    assert (result["failed"], result["changed"]) == (True, True)
    assert "pi-2" in result["msg"]
    assert "CrashLoopBackOff" in result["msg"]
    assert "gpio: device is taken" in result["msg"]
    assert "4 restarts" in result["msg"]
    assert f"kubectl -n {NAMESPACE} logs --previous {NAME}-2b" in result["msg"]
    assert result["events"] == ["BackOff: Back-off restarting failed container"]
    assert result["last_termination"] == {
        "container": "pi-controller",
        "exit_code": 1,
        "reason": "Error",
        "message": "gpio: device is taken",
    }


def test_a_missing_pod_is_named(kube, replace):
    result = replace(wait_timeout=0)

    assert "there is no pod on pi-2" in result["msg"]
    assert f"describe daemonset {NAME}" in result["msg"]
    assert (result["changed"], result["pod"]) == (False, None)


def test_check_mode_only_says_what_would_be(kube, replace):
    add_pod(kube, pod(1))
    add_pod(kube, pod(2, revision="old"))

    result = replace(check_mode=True, diff=True)

    assert (result["changed"], kube.writes, result["pod"]) == (True, [], f"{NAME}-2a")
    assert (result["diff"]["before"]["revision"], result["diff"]["after"]["revision"]) == ("old", "new")
    assert replace(node=1, check_mode=True)["changed"] is False
    assert replace(node=1, check_mode=True, force=True)["changed"] is True


def test_a_missing_daemonset_is_named(kube, replace, info):
    del kube.objects[f"{APPS}/daemonsets/{NAME}"]

    for result in (replace(), info()):
        assert f"no DaemonSet {NAME} in namespace {NAMESPACE}" in result["msg"]


def test_info_shows_one_pod_a_node(kube, info):
    stopping = pod(1, revision="old")
    stopping["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z"
    add_pod(kube, pod(1, suffix="b"))
    add_pod(kube, stopping)
    add_pod(kube, pod(2, revision="old", ready=False, running=False, restartCount=3))

    result = info(expected_nodes=["pi-1", "pi-2", "pi-3"])

    assert (result["changed"], result["missing"], result["revision"], result["desired"]) == (False, ["pi-3"], "new", 3)
    assert result["pods"] == [
        {
            "node": "pi-1",
            "pod": f"{NAME}-1b",
            "uid": "uid-pod-1b",
            "phase": "Running",
            "terminating": False,
            "running": True,
            "ready": True,
            "restarts": 0,
            "host_ip": "10.77.0.11",
            "revision": "new",
            "current": True,
            "images": ["pi-controller:lab"],
            "waiting_reason": None,
        },
        {
            "node": "pi-2",
            "pod": f"{NAME}-2a",
            "uid": "uid-pod-2a",
            "phase": "Running",
            "terminating": False,
            "running": False,
            "ready": False,
            "restarts": 3,
            "host_ip": "10.77.0.12",
            "revision": "old",
            "current": False,
            "images": ["pi-controller:lab"],
            "waiting_reason": "CrashLoopBackOff",
        },
    ]


def test_info_waits_for_the_controller_to_see_the_template(kube, info):
    add_daemonset(kube, {"old": 1, "new": 2}, generation=3, observed=2)
    add_pod(kube, pod(1))

    result = info()

    assert (result["revision"], result["pods"][0]["current"]) == (None, False)


def test_info_waits_for_every_expected_node(kube, info):
    add_pod(kube, pod(1))
    looks = iter(range(1000))

    def arrive(method, path):
        if path == f"{CORE}/pods" and next(looks) == 3:
            add_pod(kube, pod(2, ready=False))

    kube.on_request = arrive

    result = info(expected_nodes=["pi-1", "pi-2"], wait_for="running", wait_timeout=5)

    assert [pod["node"] for pod in result["pods"]] == ["pi-1", "pi-2"]


def test_info_fails_where_kubernetes_itself_would_be_content(kube, info):
    kube.objects[f"{APPS}/daemonsets/{NAME}"]["status"]["desiredNumberScheduled"] = 0

    result = info(expected_nodes=["pi-1"], wait_for="ready")

    assert "pi-1: has no pod" in result["msg"]
    assert result["missing"] == ["pi-1"]


def test_info_refuses_to_wait_for_nothing(kube, info):
    assert "expected_nodes is empty" in info(wait_for="ready")["msg"]
    assert kube.requests == []


def test_pods_that_are_gone_are_waited_for_without_changing_anything(kube, info):
    add_pod(kube, pod(1))
    stopping = pod(2)
    stopping["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z"
    add_pod(kube, stopping)
    failed = info(wait_for="gone")
    assert f"pi-1: {NAME}-1a is there; pi-2: {NAME}-2a is there" in failed["msg"]
    assert f"pi-2: {NAME}-2a is there" in info(wait_for="gone", expected_nodes=["pi-2", "pi-3"])["msg"]
    assert kube.writes == []
    for key in [key for key in kube.objects if key.startswith(f"{CORE}/pods/")]:
        del kube.objects[key]
    assert "failed" not in info(wait_for="gone")

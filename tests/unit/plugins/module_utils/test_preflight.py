# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each check finds what it is for, names it, and finds nothing in a healthy world."""

from __future__ import annotations

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._preflight.daemon import daemon_findings
from conftest import import_plugin
from preflight_world import HOSTS, MIB, address, healthy, journal, listener, member, node, owner, settings

preflight = import_plugin("module_utils._preflight.judge")


def found(seen, *, owner=None, config=None):
    return [finding.as_dict() for finding in preflight.evaluate(seen, config or settings(), owner or owner_of())]


def owner_of(**changes):
    return owner(**changes)


def only(seen, **options):
    """The one finding there is."""
    findings = found(seen, **options)
    assert len(findings) == 1, findings
    return findings[0]


def test_p8_a_linked_database_is_put_into_the_data_folder():
    seen, data = healthy(), "/var/lib/pi-controller"
    for host in seen["host"].values():
        set_path(host, "database", links=[f"{data}/pi-controller.db"], real="/mnt/ssd/pi.db")
    finding = next(row for row in found(seen) if row["host"] == "pi-2")
    assert finding["check"] == "path database"
    assert f"/mnt/ssd/pi.db at {data}/pi-controller.db" in finding["fix"]
    # The setting is relative to the data folder.
    assert "pi_controller_database" not in finding["fix"]


def test_p8_a_link_before_the_data_folder_is_one_finding():
    seen = healthy()
    for host in seen["host"].values():
        set_path(host, "data_dir", links=["/var/lib"], real="/srv/pi-controller")
        set_path(host, "database", links=["/var/lib"], real="/srv/pi-controller/pi-controller.db")
    findings = [row for row in found(seen) if row["host"] == "pi-2"]
    assert [(row["check"], row["fix"]) for row in findings] == [
        ("path data_dir", "set pi_controller_data_dir to /srv/pi-controller")
    ]


def test_healthy_pis_have_no_findings():
    assert found(healthy()) == []


# --- one Pi --------------------------------------------------------------------------------------


def set_path(host, name, **changes):
    host["paths"][name].update(changes)


HOST_CASES = {
    "not root": (lambda host: host.update(privileged=False), "privileges", "not root", "error"),
    "old Python": (lambda host: host.update(python="3.8.10"), "Python", "3.8.10", "error"),
    "another's address": (lambda host: host.update(has_address=False), "address", "10.77.0.12", "error"),
    "no nft": (lambda host: host.update(missing_tools=["nft"]), "command nft", "not installed", "error"),
    "K4 no kube-proxy": (
        lambda host: host.update(kube_proxy={"mode": "none", "unreadable": None}),
        "kube-proxy",
        "no rules of kube-proxy in this Pi's kernel",
        "warning",
    ),
    "K4 rules that cannot be read": (
        lambda host: host.update(kube_proxy={"mode": "unknown", "unreadable": "iptables: no iptables-legacy-save"}),
        "kube-proxy",
        "no iptables-legacy-save",
        "warning",
    ),
    "a link on the way": (
        lambda host: set_path(host, "backup_path", links=["/var/backups"], real="/mnt/ssd/x"),
        "path backup_path",
        "/var/backups is a symbolic link",
        "error",
    ),
    "no database": (lambda host: set_path(host, "database", kind=None), "path database", "is not there", "error"),
    "no configuration": (
        lambda host: set_path(host, "config_file", kind="folder"),
        "path config_file",
        "is a folder",
        "error",
    ),
    "archive there": (
        lambda host: set_path(host, "archive_path", kind="folder", entries=3),
        "archive_path",
        "exists with 3 entries",
        "error",
    ),
    "backup path a file": (
        lambda host: set_path(host, "backup_path", kind="file"),
        "backup_path",
        "is a file",
        "error",
    ),
    "pods have state": (
        lambda host: set_path(host, "pod_data_dir", kind="folder", entries=2),
        "pod_data_dir",
        "exists with 2 entries",
        "error",
    ),
    "read-only": (
        lambda host: set_path(host, "backup_path", read_only=True),
        "disk for backup_path",
        "read-only",
        "error",
    ),
    "no inodes": (
        lambda host: set_path(host, "backup_path", free_files=3),
        "inodes for backup_path, pod_data_dir",
        "3 free",
        "error",
    ),
    "masked": (lambda host: host["unit"].update(load="masked"), "unit", "is masked", "error"),
    "stopped": (lambda host: host["unit"].update(active="failed", sub="failed"), "unit", "is failed (failed)", "error"),
    "another unit file": (
        lambda host: host["unit"].update(file="/lib/systemd/system/x"),
        "unit file",
        "/lib/systemd/system/x",
        "error",
    ),
    "edited": (lambda host: host["unit"].update(needs_reload=True), "unit file", "edited since", "error"),
    "drop-in not read": (
        lambda host: host["unit"].update(unread_drop_ins=["/etc/x.conf"]),
        "unit file",
        "(/etc/x.conf)",
        "error",
    ),
    "not enabled": (lambda host: host["unit"].update(enabled="disabled"), "unit enabled", "disabled", "warning"),
    "drop-in": (
        lambda host: host["unit"].update(drop_ins=["/etc/systemd/system/pi-controller.service.d/override.conf"]),
        "unit drop-ins",
        "override.conf",
        "warning",
    ),
    "environment": (
        lambda host: host["unit"]["process"].update(environment=["PI_CONTROLLER_API_PORT", "PI_CONTROLLER_LOG_LEVEL"]),
        "unit environment",
        "PI_CONTROLLER_LOG_LEVEL",
        "error",
    ),
    "damaged": (lambda host: host["database"].update(integrity="malformed"), "database", "malformed", "error"),
    "no memory": (lambda host: host.update(memory_available=20 * MIB), "memory", "20.0 MiB available", "error"),
    "temporary port taken": (
        lambda host: host["listeners"].append(listener(8082, "unit")),
        "port 8082 (rest)",
        "held by pi-controller (pid 198, unit)",
        "error",
    ),
    "port of the environment taken": (
        lambda host: host["listeners"].append(listener(8084, "other", "nginx", 7)),
        "port 8084 (PI_CONTROLLER_WEBSOCKET_PORT)",
        "held by nginx (pid 7)",
        "error",
    ),
    "standard port another program's": (
        lambda host: host["listeners"].append(listener(8080, "other", "nginx", 7)),
        "port 8080 (rest)",
        "held by nginx (pid 7)",
        "error",
    ),
    "no process on a standard port": (
        lambda host: host["listeners"].pop(),
        "port 9091 (raft)",
        "no process listens",
        "error",
    ),
}


@pytest.mark.parametrize("case", HOST_CASES)
def test_one_pi(case):
    change, check, words, level = HOST_CASES[case]
    seen = healthy()
    change(seen["host"]["pi-2"])
    finding = only(seen)

    assert (finding["host"], finding["check"], finding["level"]) == ("pi-2", check, level)
    assert words in finding["seen"]
    assert finding["wanted"]
    assert finding["fix"]


@pytest.mark.parametrize("mode", ["iptables", "nftables", "ipvs"])
def test_k4_every_mode_that_can_be_read_is_fine(mode):
    seen = healthy()
    seen["host"]["pi-2"]["kube_proxy"] = {"mode": mode, "unreadable": None}

    assert found(seen) == []


def test_settings_that_the_pods_get_as_well_are_no_finding():
    seen = healthy()
    seen["host"]["pi-2"]["unit"]["environment"] = ["PI_CONTROLLER_LOG_LEVEL"]

    assert found(seen, config=settings(standard_env={"PI_CONTROLLER_LOG_LEVEL": "debug"})) == []


def test_drop_ins_for_all_services_are_the_distributions():
    seen = healthy()
    seen["host"]["pi-2"]["unit"]["drop_ins"] = ["/usr/lib/systemd/system/service.d/10-timeout.conf"]

    assert found(seen) == []


def test_space_is_added_up_on_each_file_system():
    """Fifteen copies of 10 MiB and 64 MiB to spare are 214 MiB; each folder alone would fit."""
    seen = healthy()
    for name in ("data_dir", "backup_path", "archive_path", "pod_data_dir"):
        seen["host"]["pi-2"]["paths"][name]["free"] = 213 * MIB
    finding = only(seen)
    assert finding["check"] == "disk for backup_path, pod_data_dir"
    assert finding["seen"].startswith("213 MiB free")
    assert finding["wanted"].startswith("214 MiB")

    for name in ("data_dir", "backup_path", "archive_path", "pod_data_dir"):
        seen["host"]["pi-2"]["paths"][name]["free"] = 214 * MIB
    assert found(seen) == []


def test_a_stopped_unit_is_a_single_finding():
    seen = healthy()
    pi = seen["host"]["pi-3"]
    pi["unit"].update(active="inactive", sub="dead")
    pi["listeners"] = []
    for host in ("pi-1", "pi-2"):
        for port in ("8080", "9090", "9091"):
            seen["ports"][host]["reached"]["pi-3"][port] = {"result": "refused", "seconds": 0.001}
    for view in seen["cluster"].values():
        view["members"][2].update(reachable=False, behind="http://10.77.0.13:8080 does not answer")
        view.update(caught_up=False, behind=["pi-3 (10.77.0.13:9091): http://10.77.0.13:8080 does not answer"])
        view["unanswered"] = [{"url": "http://10.77.0.13:8080", "error": "did not answer"}]

    assert only(seen)["check"] == "unit"


# --- between the Pis -----------------------------------------------------------------------------


def test_a_port_that_is_blocked_names_both_ends_and_the_port():
    seen = healthy()
    seen["ports"]["pi-1"]["reached"]["pi-2"]["9092"] = {"result": "timeout", "seconds": 2}
    finding = only(seen)

    assert (finding["host"], finding["check"]) == ("pi-1", "way to pi-2")
    assert finding["seen"] == "no answer from 10.77.0.12 on 9092 (temporary_ports.raft)"
    assert "TCP 9092 from 10.77.0.11" in finding["fix"]


def test_a_taken_port_is_reported_once():
    seen = healthy()
    seen["ports"]["pi-2"]["taken"] = {"9092": "in use"}
    seen["host"]["pi-2"]["listeners"].append({**listener(9092, "other", "nc", 7), "address": "127.0.0.1"})
    for host in ("pi-1", "pi-3"):
        seen["ports"][host]["reached"]["pi-2"]["9092"] = {"result": "refused", "seconds": 0.001}
    assert only(seen)["host"] == "pi-2"

    seen["ports"]["pi-1"]["reached"]["pi-2"]["9092"] = {"result": "timeout", "seconds": 2}
    assert [finding["check"] for finding in found(seen)] == ["way to pi-2", "port 9092 (raft)"]


def test_an_address_of_another_pi():
    seen = healthy()
    for answer in seen["ports"]["pi-1"]["reached"]["pi-2"].values():
        answer["name"] = "pi-3"

    assert only(seen)["seen"] == "10.77.0.12 belongs to pi-3"


def test_the_clock_that_is_off_is_named_and_not_those_that_see_it():
    seen = healthy()
    for host in ("pi-1", "pi-3"):
        seen["ports"][host]["clocks"]["pi-2"]["offset"] = -30.0
    for peer in ("pi-1", "pi-3"):
        seen["ports"]["pi-2"]["clocks"][peer]["offset"] = 30.0
    named = [finding for finding in found(seen) if finding["check"] == "clock"]

    assert [(finding["host"], finding["seen"]) for finding in named] == [("pi-2", "30.0 s behind the other Pis")]


@pytest.mark.parametrize(("offset", "uncertainty", "faults"), [(1.2, 0.1, 2), (1.2, 0.3, 0), (0.9, 0.0, 0)])
def test_a_slow_exchange_is_no_proof_of_a_clock_that_is_off(offset, uncertainty, faults):
    seen = healthy()
    del seen["ports"]["pi-3"]
    seen["ports"]["pi-1"]["clocks"] = {"pi-2": {"offset": offset, "uncertainty": uncertainty}}
    seen["ports"]["pi-2"]["clocks"] = {"pi-1": {"offset": -offset, "uncertainty": uncertainty}}

    assert len([finding for finding in found(seen) if finding["check"] == "clock"]) == faults


# --- the cluster ---------------------------------------------------------------------------------


def every_view(change):
    seen = healthy()
    for view in seen["cluster"].values():
        change(view)
    return seen


CLUSTER_CASES = {
    "rivals": (
        lambda view: view.update(rivals=["http://a", "http://b"], leader=None, quorate=False),
        ("(all)", "leader", "http://a and http://b both claim"),
    ),
    "no leader": (lambda view: view.update(leader=None, quorate=False), ("(all)", "leader", "none in term 2")),
    "no majority": (lambda view: view.update(quorate=False), ("(all)", "leader", "no majority follows")),
    "silent": (
        lambda view: view.update(unanswered=[{"url": "http://10.77.0.12:8080", "error": "did not answer"}]),
        ("pi-2", "REST", "did not answer"),
    ),
    "stranger": (
        lambda view: view["members"].append({**member("pi-4"), "address": "10.77.0.99:9091"}),
        ("(all)", "members", "pi-4 at 10.77.0.99:9091"),
    ),
    "not a member": (lambda view: view["members"].pop(), ("pi-3", "members", "no member at 10.77.0.13")),
    "other port": (
        lambda view: view["members"][1].update(address="10.77.0.12:9191"),
        ("pi-2", "Raft address", "10.77.0.12:9191"),
    ),
    "no vote": (lambda view: view["members"][1].update(voter=False), ("pi-2", "members", "has no vote")),
    "behind": (
        lambda view: (
            view["members"][1].update(lag=40, behind="applied 60, wanted 100"),
            view.update(caught_up=False, behind=["pi-2 (10.77.0.12:9091): applied 60, wanted 100"]),
        ),
        ("pi-2", "caught up", "applied 60, wanted 100 (40 entries behind)"),
    ),
}


@pytest.mark.parametrize("case", CLUSTER_CASES)
def test_the_cluster(case):
    change, (host, check, words) = CLUSTER_CASES[case]
    finding = only(every_view(change))

    assert (finding["host"], finding["check"], finding["level"]) == (host, check, "error")
    assert words in finding["seen"]


def test_with_rolling_a_member_needs_no_vote():
    seen = every_view(CLUSTER_CASES["no vote"][0])
    config = {**settings(), "strategy": "rolling"}
    assert "members" not in [finding["check"] for finding in found(seen, config=config)]
    assert only(seen)["check"] == "members"


def test_an_even_number_of_voters_is_worth_knowing_and_stops_nothing():
    finding = only(every_view(lambda view: view.update(voters=2)))

    assert (finding["check"], finding["level"]) == ("voters", "warning")


def test_two_pis_with_one_id():
    seen = healthy()
    seen["host"]["pi-3"]["node_id"] = "pi-1"

    assert only(seen)["seen"] == "pi-1, as on pi-1"


def test_a_healthy_view_is_preferred():
    choose = import_plugin("module_utils._preflight.cluster").choose
    poor, good = {"members": [], "term": 1}, {"members": [], "capabilities": [], "term": 2}

    assert choose(HOSTS, {"pi-1": poor, "pi-2": good, "pi-3": {"skipped": True}}) is good
    assert choose(HOSTS, {"pi-1": {"msg": "x"}, "pi-2": poor}) is poor
    assert choose(HOSTS, {"pi-1": {"msg": "x"}, "pi-2": None}) is None


def test_a_cluster_that_no_pi_could_read():
    seen = healthy()
    seen["cluster"] = {host: {"msg": "refused with 401"} for host in HOSTS}

    assert only(seen)["seen"] == "refused with 401"


# --- Kubernetes ----------------------------------------------------------------------------------


def kubernetes(change):
    seen = healthy()
    change(seen["kubernetes"])
    return seen


KUBERNETES_CASES = {
    "old": (lambda k8s: k8s.update(version="v1.19.3"), ("(all)", "Kubernetes", "v1.19.3", "error")),
    "newer than known": (lambda k8s: k8s.update(version="v2.1.0"), ("(all)", "Kubernetes", "v2.1.0", "warning")),
    "no node": (lambda k8s: k8s["nodes"].pop(), ("pi-3", "node", "no node pi-3; there are pi-1, pi-2", "error")),
    "one more node": (lambda k8s: k8s["nodes"].append(node("server")), ("(all)", "nodes", "server", "warning")),
    "not Ready": (
        lambda k8s: k8s["nodes"][1].update(ready=False, why_not_ready="NodeStatusUnknown"),
        ("pi-2", "node", "pi-2 is not Ready: NodeStatusUnknown", "error"),
    ),
    "pressure": (
        lambda k8s: k8s["nodes"][1].update(pressure=["DiskPressure"]),
        ("pi-2", "node", "DiskPressure", "error"),
    ),
    "label": (
        lambda k8s: k8s["nodes"][1].update(hostname="raspberrypi"),
        ("pi-2", "node", "hostname=raspberrypi", "error"),
    ),
    "address": (
        lambda k8s: k8s["nodes"][1].update(addresses=["192.168.9.9"]),
        ("pi-2", "node address", "192.168.9.9", "error"),
    ),
    "no CPU": (
        lambda k8s: k8s["nodes"][1].update(requested={"cpu": 3.97, "memory": 0.0}),
        ("pi-2", "node cpu", "30m of 4000m", "error"),
    ),
    "no memory": (
        lambda k8s: k8s["nodes"][1].update(requested={"cpu": 0.0, "memory": 3780.0 * MIB}),
        ("pi-2", "node memory", "20.0 MiB of 3.7 GiB", "error"),
    ),
    "DaemonSet": (
        lambda k8s: k8s.update(daemonset={"managed_by": "Helm", "images": ["x:1"]}),
        ("(all)", "DaemonSet", "pi-controller exists (x:1), made by Helm", "error"),
    ),
    "Service": (
        lambda k8s: k8s["service"].update(selector={"app": "web"}),
        ("(all)", "Service", "app", "error"),
    ),
    "external Service": (
        lambda k8s: k8s["service"].update(type="ExternalName"),
        ("(all)", "Service", "ExternalName", "error"),
    ),
    "namespace on its way out": (
        lambda k8s: k8s.update(namespace={"phase": "Terminating", "enforce": None}),
        ("(all)", "namespace", "Terminating", "error"),
    ),
    "pod security": (
        lambda k8s: k8s.update(namespace={"phase": "Active", "enforce": "baseline"}),
        ("(all)", "namespace", "baseline", "error"),
    ),
}


@pytest.mark.parametrize("case", KUBERNETES_CASES)
def test_kubernetes(case):
    change, (host, check, words, level) = KUBERNETES_CASES[case]
    finding = only(kubernetes(change))

    assert (finding["host"], finding["check"], finding["level"]) == (host, check, level)
    assert words in finding["seen"]


def test_no_namespace_no_service_is_a_fresh_start():
    assert found(kubernetes(lambda k8s: k8s.update(namespace=None, service=None))) == []


@pytest.mark.parametrize(
    ("in_runtime", "listed", "policy", "level"),
    [
        (False, [], "Never", "error"),
        (False, [], "IfNotPresent", "warning"),
        # The runtime has it, and the kubelet has not reported it yet.
        (True, [], "Never", None),
        # The runtime cannot be asked: the kubelet's list is all there is.
        (None, ["docker.io/library/pi-controller:1.4.0"], "Never", None),
        (None, ["docker.io/library/other:1"], "Never", "error"),
        # It has reported nothing yet, or only the fifty largest.
        (None, [], "Never", None),
        (None, [f"docker.io/library/big:{number}" for number in range(50)], "Never", None),
    ],
)
def test_the_image(in_runtime, listed, policy, level):
    seen = healthy()
    seen["host"]["pi-2"]["image_present"] = in_runtime
    seen["kubernetes"]["nodes"][1]["images"] = listed
    findings = found(seen, owner=owner_of(pull_policy=policy))

    assert [(finding["host"], finding["check"], finding["level"]) for finding in findings] == (
        [("pi-2", "image", level)] if level else []
    )


def test_no_image_named_is_one_finding():
    seen = healthy()
    for host in seen["host"].values():
        host["image_present"] = None

    assert only(seen, owner=owner_of(image=""))["seen"] == "none named"


# --- what could not be seen ----------------------------------------------------------------------


def test_a_pi_that_does_not_answer_is_one_finding():
    seen = healthy()
    seen["journal"]["pi-2"] = {"unreachable": True, "msg": "ssh: no route to host\nmore"}
    for name in ("host", "ports", "cluster"):
        seen[name]["pi-2"] = {"skipped": True}
    for view in (seen["cluster"]["pi-1"], seen["cluster"]["pi-3"]):
        view["unanswered"] = [{"url": "http://10.77.0.12:8080", "error": "did not answer"}]
    for host in ("pi-1", "pi-3"):
        del seen["ports"][host]["reached"]["pi-2"]
    finding = only(seen)

    assert (finding["host"], finding["check"], finding["seen"]) == ("pi-2", "ssh", "ssh: no route to host")


def test_a_crashed_check_is_a_finding_with_its_last_line():
    seen = healthy()
    seen["host"]["pi-2"] = {"msg": "MODULE FAILURE", "module_stderr": "Traceback\n  File x\nValueError: odd\n"}
    findings = found(seen)

    assert ("pi-2", "check of this Pi", "ValueError: odd") in [
        (finding["host"], finding["check"], finding["seen"]) for finding in findings
    ]


def test_an_api_that_does_not_answer():
    seen = healthy()
    seen["kubernetes"] = {"msg": "GET /version: the Kubernetes API does not answer"}

    assert only(seen)["check"] == "Kubernetes API"


def test_a_python_without_the_client_is_no_api_that_is_down():
    """The inventory's interpreter is for the Pis; given with -e, or for all, it is the control node's as well."""
    basic = pytest.importorskip("ansible.module_utils.basic")
    seen = healthy()
    seen["kubernetes"] = {"msg": basic.missing_required_lib("kubernetes")}
    finding = only(seen)

    assert finding["check"] == "Kubernetes API"
    assert finding["fix"].startswith(
        "set ansible_python_interpreter of localhost to {{ ansible_playbook_python }}, and do not give it with -e"
    )
    assert "start the API server" not in finding["fix"]


def test_more_hosts_than_forks():
    assert only(healthy(), owner=owner_of(forks=2))["fix"].startswith("ansible-playbook --forks 3")


# --- what may be true depends on how far the migration has come ----------------------------------


@pytest.mark.parametrize("state", ["started", "failed", "done", "rolled_back"])
def test_what_an_earlier_try_left_is_no_finding(state):
    seen = healthy()
    seen["journal"]["pi-1"] = journal(prepare=state)
    for host in seen["host"].values():
        host["listeners"] += [listener(port, "pod") for port in (8082, 8084, 9092, 9093)]
        host["paths"]["pod_data_dir"].update(kind="folder", entries=3)
    seen["kubernetes"]["daemonset"] = {"managed_by": "raft-migration", "images": ["x"]}
    assert found(seen) == []

    seen["journal"]["pi-1"] = journal()
    assert {"DaemonSet", "pod_data_dir", "port 8082 (rest)"} <= {finding["check"] for finding in found(seen)}


def test_a_strangers_daemonset_and_port_are_findings_on_a_rerun_too():
    seen = healthy(prepare="failed")
    seen["kubernetes"]["daemonset"] = {"managed_by": "Helm", "images": ["x"]}
    seen["host"]["pi-2"]["listeners"].append(listener(8082, "other", "nginx", 7))

    assert [finding["check"] for finding in found(seen)] == ["DaemonSet", "port 8082 (rest)"]


def test_after_prepare_only_journals_and_reachability_count():
    seen = healthy(prepare="done", transfer="started")
    seen["host"]["pi-2"]["unit"].update(load="masked", active="inactive")
    seen["kubernetes"]["nodes"] = []
    assert found(seen) == []

    seen["journal"]["pi-2"] = journal()
    assert only(seen)["seen"] == "prepare is pending, while other Pis are beyond it"


def test_errors_come_first_and_hosts_in_the_order_of_the_inventory():
    seen = healthy()
    for host in reversed(HOSTS):
        seen["host"][host]["unit"].update(enabled="disabled", needs_reload=True)

    assert [(finding["level"], finding["host"]) for finding in found(seen)] == [
        ("error", "pi-1"), ("error", "pi-2"), ("error", "pi-3"), ("warning", "pi-1"), ("warning", "pi-2"), ("warning", "pi-3")
    ]  # fmt: skip


# --- how the token is sent -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ({"has_token": True, "scheme": "http", "validate_certs": True}, "plain http"),
        ({"has_token": True, "scheme": "https", "validate_certs": False}, "pi_controller_validate_certs is false"),
        ({"has_token": True, "scheme": "https", "validate_certs": True}, None),
        ({"has_token": False, "scheme": "http", "validate_certs": False}, None),
        ({"has_user": True, "scheme": "http", "validate_certs": True}, "plain http"),
        ({"has_user": True, "scheme": "https", "validate_certs": False}, "pi_controller_validate_certs is false"),
    ],
)
def test_h1_a_token_or_password_that_others_could_get_is_a_warning(sent, seen):
    findings = [finding for finding in found(healthy(), owner=owner_of(**sent)) if finding["check"] != "login"]
    assert [finding["level"] for finding in findings] == (["warning"] if seen else [])
    assert all(seen in finding["seen"] for finding in findings)


@pytest.mark.parametrize(("strategy", "level"), [("parallel", "error"), ("rolling", None)])
def test_d5_a_login_is_refused_where_the_pods_start_without_users(strategy, level):
    found_ones = found(
        healthy(),
        config=settings() | {"strategy": strategy},
        owner=owner_of(has_user=True, scheme="https", validate_certs=True),
    )
    logins = [finding for finding in found_ones if finding["check"] == "login"]
    assert [finding["level"] for finding in logins] == ([level] if level else [])


def test_a4_daemons_of_two_address_families_are_refused():
    addresses = {name: address(name) for name in HOSTS} | {"pi-2": "fd00::2"}
    findings = [
        finding
        for finding in found(healthy(), owner=owner_of(addresses=addresses))
        if finding["check"] == "address family"
    ]
    assert [(finding["host"], finding["level"]) for finding in findings] == [("(all)", "error")]
    assert "pi_controller_address" in findings[0]["fix"]


def test_a4_daemons_with_ipv6_addresses_are_as_good_as_any():
    """In whatever spelling the inventory, Raft and Kubernetes have them."""
    seen = healthy()
    addresses = {name: f"fd00:0::{number}" for number, name in enumerate(HOSTS, 1)}
    for view in seen["cluster"].values():
        for voter in (*view["members"], view["leader"]):
            number = HOSTS.index(voter["id"]) + 1
            voter["address"] = f"[fd00::{number}]:{voter['address'].rpartition(':')[2]}"
    for number, known in enumerate(seen["kubernetes"]["nodes"], 1):
        known["addresses"] = [f"fd00:0:0::{number}"]
    for number, target in enumerate(seen["kubernetes"]["targets"], 1):
        target["address"] = f"fd00::{number}"
    assert found(seen, owner=owner_of(addresses=addresses)) == []


@pytest.mark.parametrize(
    ("listens", "good"), [("::", True), ("", True), (None, True), ("0.0.0.0", False), ("fd00::2", False)]
)
def test_a4_a_daemon_of_ipv6_has_to_listen_on_loopback_too(listens, good):
    config = {"rest_host": listens, "kubernetes": "", "error": "", "raft_dir": "raft"}
    owner = {"addresses": {"pi-2": "fd00::2"}, "probe_host": "127.0.0.1", "raft_dir": "/r"}
    findings = list(daemon_findings({"pi-2": {"config": config, "raft_dir_found": True}}, {}, owner))
    assert [finding.check for finding in findings] == ([] if good else ["api.host"])


@pytest.mark.parametrize(("listed", "good"), [(["10.77.0.12", "fd00::2"], True), (["fd00::2", "10.77.0.12"], False)])
def test_a4_a_pod_is_given_the_first_address_of_its_node(listed, good):
    seen = healthy()
    seen["kubernetes"]["nodes"][1]["addresses"] = listed
    assert [finding["check"] for finding in found(seen)] == ([] if good else ["node address"])

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pods read the file that was written for their state, and get the time that the published daemon takes to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

ROLE = CHECKOUT / "roles/cluster"


def tasks(name: str = "daemonset") -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = yaml.safe_load((ROLE / f"tasks/{name}.yml").read_text(encoding="utf-8"))
    found = []
    for task in read:
        imported = task.get("ansible.builtin.import_tasks", "")
        found += tasks(imported.removesuffix(".yml")) if imported else [task]
    return found


def variables() -> dict[str, Any]:
    return yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))


def test_d1_the_files_are_written_before_the_pods_read_them() -> None:
    write, apply = tasks()
    assert "pi_controller.raft_migration.pod_config" in write
    assert "run_once" not in write
    assert apply["pi_controller.raft_migration.k8s_object"]["definition"] == "{{ raft_migration_daemonset }}"
    template = (ROLE / "templates/daemonset.yml.j2").read_text(encoding="utf-8")
    assert "['--config', raft_migration_pod_config_mount ~ '/' ~ raft_migration_pod_config_file]" in template
    assert "{name: pod-config, mountPath: {{ raft_migration_pod_config_mount }}, readOnly: true}" in template
    assert "{name: pod-config, hostPath: {path: {{ raft_migration_pod_config_dir }}, type: Directory}}" in template


def test_d1_the_file_of_the_pod_that_bootstraps_is_written_again() -> None:
    """The file is what a restart of the container reads, so it is written again as soon as the pod leads."""
    bootstrap = yaml.safe_load((CHECKOUT / "roles/transfer/tasks/bootstrap.yml").read_text(encoding="utf-8"))
    flat = [task for entry in bootstrap for task in entry.get("block", [entry])]
    roles = [task.get("ansible.builtin.import_role", {}).get("tasks_from", "replace") for task in flat]
    assert roles == ["pod_config", "replace", "look_new", "pod_config"]
    assert [task.get("vars", {}).get("raft_migration_bootstrap", False) for task in flat] == [True, False, False, False]
    # The template is the same, so the pod is current, and only a new one reads the file.
    assert flat[1]["pi_controller.raft_migration.k8s_daemonset_pod"]["force"] is True


def test_d1_each_state_has_the_file_that_the_module_writes(evaluate: Callable[..., list[Any]]) -> None:
    cases = [{"raft_migration_port_set": port_set} for port_set in ("temporary", "standard")]
    assert evaluate("cluster", "{{ raft_migration_pod_config_file }}", cases) == ["temporary.yaml", "standard.yaml"]


@pytest.mark.parametrize("longest", [30])
def test_d11_a_pod_has_time_to_stop_gracefully(longest: int) -> None:
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    assert defaults["pi_controller_termination_grace_period"] > longest


def test_d6_probes_need_no_client_certificate(evaluate: Callable[..., list[Any]]) -> None:
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    known = {
        **defaults,
        **{name: "x" for name in ("pi_controller_daemonset", "pi_controller_namespace", "raft_migration_address")},
        "raft_migration_port_set": "temporary",
        "raft_migration_pods_on": ["pi-1"],
        "raft_migration_hosts": "all",
        "role_path": str(CHECKOUT / "roles/preflight"),
        "raft_migration": {
            "temporary_ports": {"rest": 8082, "grpc": 9093, "raft": 9092},
            "temporary_env": {},
            "standard_ports": {"rest": 8080, "grpc": 9090, "raft": 9091},
            "standard_env": {},
            "timeouts_seconds": {"health_timeout": 60.0},
        },
    }
    kinds = {"": "httpGet", "/etc/pi-controller/client.pem": "tcpSocket"}
    cases = [
        {"pi_controller_client_cert": certificate, "pi_controller_probe_host": host}
        for certificate, host in zip(kinds, ("", "127.0.0.1"))
    ]
    found = evaluate("cluster", variables()["raft_migration_daemonset"], cases, {"vars": known})
    for daemonset, kind in zip(found, kinds.values(), strict=True):
        (container,) = daemonset["spec"]["template"]["spec"]["containers"]
        assert {probe for probe in container["readinessProbe"] if probe in ("httpGet", "tcpSocket")} == {kind}
        # All Pis have one DaemonSet. Without a host each pod is asked at its Pi's own address.
        assert container["readinessProbe"][kind].get("host") == {"httpGet": None, "tcpSocket": "127.0.0.1"}[kind]


def test_d7_the_derived_user_is_under_what_the_owner_sets(evaluate: Callable[..., list[Any]]) -> None:
    root = {"runAsUser": 0, "runAsGroup": 0}
    cases: list[dict[str, Any]] = [
        {"raft_migration_run_as": root, "raft_migration_security_context": {"privileged": True}},
        {"raft_migration_run_as": {}, "raft_migration_security_context": {"privileged": True, "runAsUser": 7}},
    ]
    found = evaluate("cutover", variables()["raft_migration_container_security"], cases)
    assert found == [{**root, "privileged": True}, {"privileged": True, "runAsUser": 7}]


def test_d12_each_pi_gates_what_its_daemon_listens_on(evaluate: Callable[..., list[Any]]) -> None:
    discover = yaml.safe_load((CHECKOUT / "roles/run/tasks/discover.yml").read_text(encoding="utf-8"))
    (journal,) = [task for task in discover if "pi_controller.raft_migration.migration_journal_info" in task]
    assert (
        journal["pi_controller.raft_migration.migration_journal_info"]["config_file"]
        == "{{ pi_controller_config_file }}"
    )
    (facts,) = [
        task["ansible.builtin.set_fact"]
        for task in discover
        if "raft_migration_listeners" in task.get("ansible.builtin.set_fact", {})
    ]
    assert facts["raft_migration_listeners"] == "{{ raft_migration_journal_read.listeners | default({}) }}"
    configured = {
        "standard_ports": {"rest": 8080, "grpc": 9090, "raft": 9091},
        "temporary_ports": {"rest": 8082, "grpc": 9093, "raft": 9092},
        "standard_env": {},
        "temporary_env": {"PI_CONTROLLER_WEBSOCKET_PORT": "8084"},
    }
    case = {
        "raft_migration": configured,
        "raft_migration_listeners": {"PI_CONTROLLER_WEBSOCKET_PORT": 8081},
        "pi_controller_extra_ports": [{"standard": 9100, "temporary": 9101}],
    }
    (found,) = evaluate("cluster", "{{ raft_migration_gate_ports }}", [case])
    assert [port["standard"] for port in found] == [8080, 9090, 8081, 9100]

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin
from fake_kube import APPS, CORE, NAME, NAMESPACE, FakeKube, add_pod, api_error, pod
from kube_server import served
from preflight_world import healthy, owner, settings

api = import_plugin("module_utils._kube.api")
process_facts = import_plugin("module_utils._core.unit_process")
read_host = import_plugin("module_utils._preflight.read_host")
proxy = import_plugin("module_utils._kube.proxy")
filters = {
    name: import_plugin(f"filter.{name}").FilterModule().filters()[name]
    for name in ("preflight_findings", "findings_table", "new_listeners")
}


# --- preflight_host ------------------------------------------------------------------------------


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch) -> Path:
    """Where the module finds its commands, and nowhere else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    module = import_plugin("modules.preflight_host")

    def found(_module: Any, name: str, *_args: Any, **_options: Any) -> str | None:
        return str(folder / name) if (folder / name).exists() else None

    monkeypatch.setattr(module.AnsibleModule, "get_bin_path", found)
    monkeypatch.setattr(
        read_host, "ProxyLook", lambda: lambda: proxy.ProxyRules("nftables", frozenset({"10.77.0.11:8080"}))
    )
    return folder


def command(folder: Path, name: str, output: str, code: int = 0) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{output}\nEND\nexit {code}\n")
    path.chmod(0o755)


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    with sqlite3.connect(tmp_path / "data/pi.db") as database:
        database.execute("CREATE TABLE nodes (id INTEGER)")
    database.close()
    (tmp_path / "config.yaml").write_text('cluster:\n  enabled: true\n  controller_id: "pi-1" # here\n')
    return tmp_path


def look(run_module, pi: Path, **options):
    paths = {
        "data_dir": pi / "data",
        "database": pi / "data/pi.db",
        "config_file": pi / "config.yaml",
        "backup_path": pi / "backups/migration",
        "archive_path": pi / "archive",
        "pod_data_dir": pi / "pods",
    }
    args = {
        "paths": {name: str(path) for name, path in paths.items()},
        "unit": "pi-controller.service",
        "ports": [],
        "address": "127.0.0.1",
        "urls": [],
        "pause": 0,
        **options,
    }
    before = sorted(pi.rglob("*"))
    result = run_module("preflight_host", args)
    assert [path for path in sorted(pi.rglob("*")) if path not in before and "remote_tmp" not in str(path)] == []
    return result


def test_all_of_a_pi_in_one_look(run_module, pi, bin_folder):
    command(bin_folder, "systemctl", f"LoadState=loaded\nActiveState=active\nMainPID={os.getpid()}")
    command(bin_folder, "ctr", "docker.io/library/pi-controller:1.4.0\ndocker.io/library/other:1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = look(run_module, pi, ports=[port], image="pi-controller:1.4.0")

    assert result["changed"] is False
    assert result["privileged"] is (os.geteuid() == 0)
    assert (result["unit"]["load"], result["unit"]["active"], result["unit"]["pid"]) == (
        "loaded",
        "active",
        os.getpid(),
    )
    assert result["unit"]["memory"] > 1024**2
    assert result["database"]["integrity"] == "ok"
    assert [(listener["port"], listener["pid"]) for listener in result["listeners"]] == [(port, os.getpid())]
    assert result["node_id"] == "pi-1"
    assert result["paths"]["archive_path"]["kind"] is None
    assert result["unit_folder"]["path"] == "/etc/systemd/system"
    assert result["state_bytes"] > 0
    assert result["has_address"] is True
    assert result["image_present"] is True
    assert result["kube_proxy"] == {"mode": "nftables", "unreadable": None}
    assert result["missing_tools"] == ["nft"]


def test_p7_p8_what_is_bound_to_a_unit_and_its_other_commands(run_module, pi, bin_folder, monkeypatch):
    """A link can be removed with the unit's others, BindsTo= in the other unit's file cannot."""
    etc = pi / "system"
    for other in ("multi-user.target", "kiosk.service"):
        (etc / f"{other}.wants").mkdir(parents=True)
        (etc / f"{other}.wants/pi-controller.service").symlink_to("/etc/systemd/system/pi-controller.service")
    monkeypatch.setattr(read_host, "ETC", etc)
    command(
        bin_folder,
        "systemctl",
        "Id=pi-controller.service\nLoadState=loaded\nActiveState=inactive\nMainPID=0\nWantedBy=multi-user.target kiosk.service\n"
        "BoundBy=kiosk.service\nExecStartPre={ path=/sbin/modprobe ; argv[]=/sbin/modprobe i2c-dev ; ignore_errors=no }",
    )
    unit = look(run_module, pi)["unit"]
    assert unit["started_by"] == ["kiosk.service"]
    assert unit["hooks"] == ["ExecStartPre=/sbin/modprobe"]


def test_p11_only_what_a_run_writes_anew_counts_as_left_and_once(run_module, pi, bin_folder):
    backups = pi / "backups/migration"
    copy = b"x" * 262144
    for name in (
        "prepare/snapshot/state.bin",
        "transfer.pi-controller.db",
        "rollback.state",
        "rollback/snapshot/state.bin",
    ):
        (backups / name).parent.mkdir(parents=True, exist_ok=True)
        (backups / name).write_bytes(copy)
    # A second name of the same file, and what is the owner's own.
    (backups / "transfer/snapshot").mkdir(parents=True)
    (backups / "transfer/snapshot/state.bin").hardlink_to(backups / "prepare/snapshot/state.bin")
    (backups / "pictures.tar").write_bytes(copy * 4)
    (backups / "cutover").mkdir()
    (backups / "cutover/notes.txt").write_bytes(copy)
    held = look(run_module, pi)["held_bytes"]

    found = {name: size for name, size in held["backup_path"].items() if size}
    assert set(found) == {"prepare/snapshot", "transfer.pi-controller.db", "rollback.state", "rollback/snapshot"}
    assert {round(size / len(copy)) for size in found.values()} == {1}
    assert held["pod_data_dir"] == {".": 0}


@pytest.mark.parametrize("name", ["pi-controller", "pi-controller.service", "controller.service"])
def test_p7_a_unit_is_known_by_its_own_name(run_module, pi, bin_folder, name):
    """Its control group and drop-ins have that one, whatever the inventory calls it."""
    command(
        bin_folder,
        "systemctl",
        "Id=pi-controller.service\nNames=controller.service pi-controller.service\nLoadState=loaded",
    )
    assert look(run_module, pi, unit=name)["unit"]["id"] == "pi-controller.service"


def test_p7_without_systemd_a_name_is_completed(run_module, pi, bin_folder):
    assert look(run_module, pi, unit="pi-controller")["unit"]["id"] == "pi-controller.service"


def test_nothing_to_be_seen_is_no_failure(run_module, tmp_path, bin_folder):
    result = look(run_module, tmp_path / "nowhere", address="192.0.2.1", image="x")

    assert result["unit"]["load"] == ""
    assert result["node_id"] is None
    assert "does not exist" in result["database"]["integrity"]
    assert result["has_address"] is False
    assert result["image_present"] is None


def test_a_damaged_database_is_reported_with_sqlites_message(run_module, pi, bin_folder):
    (pi / "data/pi.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)

    assert "pi.db" in look(run_module, pi)["database"]["integrity"]


@pytest.mark.parametrize(("code", "present"), [(0, False), (1, None)])
def test_an_image_is_missing_only_where_the_runtime_says_so(run_module, pi, bin_folder, code, present):
    command(bin_folder, "ctr", "docker.io/library/other:1", code)

    assert look(run_module, pi, image="pi-controller:1.4.0")["image_present"] is present


@pytest.mark.parametrize(("others", "present"), [("docker.io/library/other:1", False), ("", None)])
def test_k8_a_runtime_without_any_image_is_not_the_kubelets(run_module, pi, bin_folder, others, present):
    """With k3s --docker, k3s ctr fails and the ctr of Docker lists nothing, although the kubelet has the image."""
    command(bin_folder, "k3s", "", code=1)
    command(bin_folder, "ctr", others)

    assert look(run_module, pi, image="pi-controller:1.4.0")["image_present"] is present


def test_k8_a_second_runtime_is_asked_where_the_first_lists_nothing(run_module, pi, bin_folder):
    command(bin_folder, "k3s", "")
    command(bin_folder, "ctr", "docker.io/library/pi-controller:1.4.0")

    assert look(run_module, pi, image="pi-controller:1.4.0")["image_present"] is True


DROPS = """{"nftables": [
    {"chain": {"family": "inet", "table": "filter", "name": "forward", "type": "filter", "hook": "forward", "policy": "drop"}},
    {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "type": "filter", "hook": "forward", "policy": "drop"}}
]}"""


@pytest.mark.parametrize(
    ("address", "denied_by"),
    [("127.0.0.1", ["inet filter forward", "ip filter FORWARD"]), ("::1", ["inet filter forward"])],
)
def test_p1_chains_that_drop_are_read_for_the_addresss_family(run_module, pi, bin_folder, address, denied_by):
    command(bin_folder, "nft", DROPS)

    assert look(run_module, pi, address=address)["forwarding"] == {"denied_by": denied_by, "unreadable": None}


@pytest.mark.parametrize(("output", "code"), [("no", 0), ("[]", 0), ("", 1)])
def test_p1_chains_that_cannot_be_read_keep_nothing_else_from_it(run_module, pi, bin_folder, output, code):
    command(bin_folder, "nft", output, code)
    result = look(run_module, pi)

    assert result["forwarding"]["denied_by"] == []
    assert result["forwarding"]["unreadable"]
    assert result["database"]["integrity"] == "ok"


def proc(folder: Path, environ: bytes, cmdline: bytes = b"/usr/bin/pi-controller\0") -> Path:
    """A process of the number 198, as far as the kernel shows it."""
    made = folder / "proc"
    (made / "198").mkdir(parents=True)
    (made / "198/environ").write_bytes(environ)
    (made / "198/cmdline").write_bytes(cmdline)
    return made


def test_values_of_the_environment_stay_where_they_are(run_module, pi, bin_folder, monkeypatch, tmp_path):
    command(bin_folder, "systemctl", "LoadState=loaded\nMainPID=198")
    kernel = proc(tmp_path, b"PI_CONTROLLER_AUTH_TOKEN=s3cret\0")
    monkeypatch.setattr(read_host, "process", lambda pid: process_facts.process(pid, kernel))
    monkeypatch.setattr(
        read_host, "environment_value", lambda pid, name: "pi-7" if name == read_host.settings.NODE_ID else None
    )
    result = look(run_module, pi)

    assert result["unit"]["process"]["environment"] == ["PI_CONTROLLER_AUTH_TOKEN"]
    assert "s3cret" not in str(result)
    assert result["node_id"] == "pi-7"


# --- preflight_ports -----------------------------------------------------------------------------


def test_a_probe_without_peers_frees_its_ports_at_once(run_module):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as other:
            free = other.getsockname()[1]
        peers = [{"name": "pi-1", "address": "127.0.0.1"}]
        args = {"name": "pi-1", "address": "127.0.0.1", "peers": peers, "new_ports": [taken, free, free]}
        result = run_module("preflight_ports", args)

    assert (result["changed"], result["listened"], result["taken"]) == (False, [free], {str(taken): "in use"})
    with socket.create_server(("127.0.0.1", free)):
        pass


# --- preflight_kubernetes ------------------------------------------------------------------------


@pytest.fixture
def kube(monkeypatch) -> FakeKube:
    fake = FakeKube(lag=0)
    monkeypatch.setattr(import_plugin("modules.preflight_kubernetes"), "connect", lambda _module: api.KubeApi(fake))
    monkeypatch.setattr(api, "READ_PATIENCE", 0)
    fake.objects["/version"] = {"gitVersion": "v1.35.2+k3s1"}
    fake.objects["/api/v1/nodes"] = {"items": [{"metadata": {"name": "pi-1"}, "status": {"allocatable": {"cpu": "4"}}}]}
    fake.objects["/api/v1/pods"] = {"items": []}
    return fake


ARGS = {"namespace": NAMESPACE, "daemonset": NAME, "service": NAME}


def test_an_empty_kubernetes(run_module, kube):
    result = run_module("preflight_kubernetes", ARGS)

    assert result["version"] == "v1.35.2+k3s1"
    assert [(node["name"], node["ready"], node["allocatable"]["cpu"]) for node in result["nodes"]] == [
        ("pi-1", False, 4)
    ]
    assert (result["daemonset"], result["service"], result["namespace"]) == (None, None, None)
    assert kube.writes == []


def test_existing_files_are_reported(run_module, kube):
    kube.objects[CORE] = {"metadata": {"labels": {}}, "status": {"phase": "Active"}}
    kube.objects[f"{CORE}/services/{NAME}"] = {"metadata": {}, "spec": {"selector": {"a": "b"}}}
    container = {"image": "x:1"}
    kube.objects[f"{APPS}/daemonsets/{NAME}"] = {
        "metadata": {},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    add_pod(kube, pod(1))
    kube.objects["/api/v1/pods"] = {"items": kube.pods}
    kube.pods[0]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    result = run_module("preflight_kubernetes", ARGS)

    assert result["namespace"] == {"phase": "Active", "enforce": None}
    assert result["service"]["selector"] == {"a": "b"}
    assert result["daemonset"] == {"managed_by": None, "images": ["x:1"]}
    assert result["nodes"][0]["requested"]["cpu"] == 1
    assert kube.writes == []


def test_k1_k5_k10_the_rest_of_the_cluster_is_read(run_module, kube):
    annotations = {
        "objectset.rio.cattle.io/owner-gvk": "k3s.cattle.io/v1, Kind=Addon",
        "objectset.rio.cattle.io/owner-name": "pi",
    }
    own = {"metadata": {"namespace": NAMESPACE, "name": NAME, "annotations": annotations}, "spec": {"ports": []}}
    other = {
        "metadata": {"namespace": "web", "name": "legacy"},
        "spec": {"externalIPs": ["10.77.0.11"], "ports": [{"port": 8080}]},
    }
    labels = {"kubernetes.io/service-name": "legacy"}
    item = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.77.0.11"]}], "ports": [{"port": 8080}]}
    kube.objects[f"{CORE}/services/{NAME}"] = own
    kube.objects["/api/v1/services"] = {"items": [own, other]}
    ours = {"metadata": {"namespace": NAMESPACE, "name": "o", "labels": {"kubernetes.io/service-name": NAME}}, **item}
    kube.objects["/apis/discovery.k8s.io/v1/endpointslices"] = {
        "items": [{"metadata": {"namespace": "web", "name": "s", "labels": labels}, **item}, ours]
    }
    squatter = pod(1, owner="uid-other")
    squatter["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 8080}]
    squatter["metadata"]["ownerReferences"][0]["name"] = "squatter"
    kube.objects["/api/v1/pods"] = {"items": [squatter]}
    result = run_module("preflight_kubernetes", ARGS)

    assert [(claim["node"], claim["port"], claim["owner"]) for claim in result["host_ports"]] == [
        ("pi-1", 8080, "DaemonSet squatter")
    ]
    assert [claim["service"] for claim in result["service_ports"]] == ["web/legacy"]
    assert result["other_routes"] == [{"service": "web/legacy", "address": "10.77.0.11", "port": 8080, "ingresses": []}]
    assert result["targets"] == [{"address": "10.77.0.11", "port": 8080}]
    assert [(entry["kind"], entry["addon"], entry["manifest"]) for entry in result["applied"]] == [
        ("Service", "kube-system/pi", None)
    ]
    assert (result["tried"], kube.writes) == (None, [])


ADDON = "/apis/k3s.cattle.io/v1/namespaces/kube-system/addons/pi"


@pytest.mark.parametrize(
    ("answer", "manifest"),
    [({"spec": {"source": "/manifests/sub/pi.rest.json"}}, "/manifests/sub/pi.rest.json"), ({}, None), (403, None)],
)
def test_k10_the_file_is_read_from_the_addon_where_that_may_be_read(run_module, kube, answer, manifest):
    def refuse(_method, path):
        if answer == 403 and path == ADDON:
            raise api_error(403, "Forbidden", 'cannot get resource "addons"')

    kube.on_request = refuse
    kube.objects[ADDON] = {} if answer == 403 else answer
    marks = {"gvk": "k3s.cattle.io/v1, Kind=Addon", "name": "pi", "namespace": "kube-system"}
    annotations = {f"objectset.rio.cattle.io/owner-{name}": value for name, value in marks.items()}
    metadata = {"namespace": NAMESPACE, "name": NAME, "annotations": annotations}
    kube.objects[f"{CORE}/services/{NAME}"] = {"metadata": metadata, "spec": {"ports": []}}
    result = run_module("preflight_kubernetes", ARGS)

    assert [entry["manifest"] for entry in result["applied"]] == [manifest]


def test_k10_no_addon_is_asked_for_where_none_owns_an_object(run_module, kube):
    run_module("preflight_kubernetes", ARGS)

    assert [path for _method, path in kube.requests if "k3s.cattle.io" in path] == []


TEMPLATE = {
    "metadata": {"name": NAME},
    "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"hostNetwork": True}}},
}


@pytest.mark.parametrize("there", [True, False])
def test_k6_the_very_pod_is_tried_and_nothing_is_made(run_module, kube, there):
    if there:
        kube.objects[CORE] = {"metadata": {"labels": {}}, "status": {"phase": "Active"}}
    asked = []
    post = kube._post
    kube._post = lambda path, body, params: asked.append((path, body, params["dry_run"])) or post(path, body, params)
    objects = dict(kube.objects)
    result = run_module("preflight_kubernetes", {**ARGS, "pod": TEMPLATE, "try_in": "default"})

    where = NAMESPACE if there else "default"
    assert result["tried"] == {"namespace": where, "in_its_own": there, "refused": None, "limits": []}
    ((path, body, dry_run),) = asked
    assert (path, dry_run) == (f"/api/v1/namespaces/{where}/pods", "All")
    assert (body["spec"], body["metadata"]["labels"]) == ({"hostNetwork": True}, {"a": "b"})
    assert kube.objects == objects


@pytest.mark.parametrize(
    ("own", "added"),
    [
        (None, {"cpu": "500m", "memory": "128Mi"}),
        ({"requests": {"memory": "64Mi"}}, {"cpu": "500m", "memory": "128Mi"}),
        ({"limits": {"memory": "128Mi"}}, {"cpu": "500m"}),
        ({"limits": {"cpu": "2", "memory": "1Gi"}}, {}),
    ],
)
def test_k6_limits_that_the_cluster_gives_the_pod_are_seen_and_named(run_module, own, added):
    """Over HTTP and by the real client: what comes back from a dry run is what counts."""
    kube = FakeKube(lag=0)
    kube.objects.update(
        {
            "/version": {"gitVersion": "v1.35.2+k3s1"},
            **{
                path: {"items": []}
                for path in ("/api/v1/nodes", "/api/v1/services", "/apis/networking.k8s.io/v1/ingresses")
            },
            CORE: {"metadata": {"labels": {}}, "status": {"phase": "Active"}},
            f"{CORE}/limitranges/default": {"spec": {"limits": [{"default": {"cpu": "500m", "memory": "128Mi"}}]}},
        }
    )
    container = {"name": "pi-controller", "image": "x:1", **({"resources": own} if own else {})}
    tried = {"metadata": {"name": NAME}, "spec": {"template": {"spec": {"containers": [container]}}}}
    with served(kube) as port:
        reached = {"host": f"http://127.0.0.1:{port}", "api_key": "x"}
        result = run_module("preflight_kubernetes", {**ARGS, **reached, "pod": tried})
    limits = [{"container": "pi-controller", "resource": name, "limit": added[name]} for name in sorted(added)]
    assert result["tried"] == {"namespace": NAMESPACE, "in_its_own": True, "refused": None, "limits": limits}
    assert [path for path in kube.objects if "/pods/" in path] == []

    seen = healthy()
    seen["kubernetes"]["tried"] = result["tried"]
    findings = filters["preflight_findings"](seen, settings(), owner())
    assert [(finding["check"], finding["level"]) for finding in findings] == [
        (f"pod {name} limit", "warning") for name in sorted(added)
    ]
    for finding, limit in zip(findings, limits):
        assert limit["limit"] in finding["seen"]
        assert f"pi_controller_resources.limits.{limit['resource']}" in finding["fix"]
        assert f"kubectl -n {NAMESPACE} get limitrange" in finding["fix"]


def test_k6_a_refusal_is_a_result_and_not_a_failure(run_module, kube):
    def refuse(method, _path):
        if method == "post":
            raise api_error(403, "Forbidden", 'violates PodSecurity "restricted:latest"')

    kube.on_request = refuse
    result = run_module("preflight_kubernetes", {**ARGS, "pod": TEMPLATE})

    assert result["tried"]["refused"] == 'violates PodSecurity "restricted:latest"'
    assert not result.get("failed")


def test_an_api_that_refuses_is_a_failure_that_says_what_to_do(run_module, kube):
    def refuse(_method, _path):
        raise api_error(403, "Forbidden", "nodes is forbidden")

    kube.on_request = refuse
    result = run_module("preflight_kubernetes", ARGS)

    assert result["failed"]
    assert "nodes is forbidden" in result["msg"]
    assert "kubeconfig" in result["msg"]


# --- the filters ---------------------------------------------------------------------------------


def test_from_what_was_seen_to_the_table():
    seen = healthy()
    seen["host"]["pi-2"]["unit"]["load"] = "masked"
    findings = filters["preflight_findings"](seen, settings(), owner())

    assert [(finding["host"], finding["check"], finding["level"]) for finding in findings] == [
        ("pi-2", "unit", "error")
    ]
    lines = filters["findings_table"](findings).splitlines()
    assert lines[0].split() == ["host", "check", "seen", "wanted", "fix"]
    assert "is masked" in lines[2]


def test_every_port_that_must_be_free():
    listeners = filters["new_listeners"](settings(temporary_env={"PI_CONTROLLER_METRICS_PORT": "19100", "X": "1"}))

    assert listeners == {
        "temporary_ports.raft": 9092,
        "temporary_ports.grpc": 9093,
        "temporary_ports.rest": 8082,
        "temporary_env.PI_CONTROLLER_WEBSOCKET_PORT": 8084,
        "temporary_env.PI_CONTROLLER_AGENT_SERVER_PORT": 9094,
        "temporary_env.PI_CONTROLLER_WEBUI_PORT": 3001,
        "temporary_env.PI_CONTROLLER_METRICS_PORT": 19100,
    }

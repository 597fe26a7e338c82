# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-flight on real hosts: silent about healthy ones, and all that is wrong at once about broken ones."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.e2e.world import differences, world

BACKUPS = "/var/backups/pi-controller-migration"
ARCHIVE = "/var/lib/pi-controller.systemd.backup"
PODS = "/var/lib/pi-controller-pods"
DROP_IN = "/etc/systemd/system/pi-controller.service.d"
UNIT = "pi-controller.service"
PATIENCE = 8  # seconds, of preflight_ports


def table(output: str) -> list[dict[str, str]]:
    """The rows of the one table in the output, the lines of a row joined."""
    lines = output.splitlines()
    heads = [number for number, line in enumerate(lines) if re.match(r"host +check +seen +wanted +fix$", line)]
    assert len(heads) == 1, f"{len(heads)} tables in:\n{output[-6000:]}"
    starts = [match.start() for match in re.finditer(r"\S+", lines[heads[0]])]
    rows: list[dict[str, str]] = []
    for line in lines[heads[0] + 2 :]:
        if not line.strip():
            break
        cells = [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None])]
        if cells[0]:
            rows.append(dict.fromkeys(("host", "check", "seen", "wanted", "fix"), ""))
        for name, cell in zip(rows[-1], cells):
            rows[-1][name] = f"{rows[-1][name]} {cell}".strip()
    return rows


def found(output: str) -> str:
    """Every finding as `host: check: seen`, one a line."""
    return "\n".join(f"{row['host']}: {row['check']}: {row['seen']}" for row in table(output))


def follower() -> str:
    """A Pi that does not lead, and is not the first, which has other faults."""
    names = [node["name"] for node in rehearsal.lab_state()["nodes"]]
    return next(name for name in reversed(names[1:]) if not on.raft_status(on.host(name), 8080)["is_leader"])


@contextlib.contextmanager
def broken(*words: str, repair: str) -> Iterator[None]:
    """A fault on a Pi: `words` is its name and a command that breaks it, `repair` the one that takes that back."""
    name, command = words
    pi = on.host(name)
    try:
        pi.run_expect([0], command)
        yield
    finally:
        pi.run_expect([0], repair)


@contextlib.contextmanager
def full_disk(name: str) -> Iterator[None]:
    try:
        rehearsal.lab("fill", name, "/var/lib")
        yield
    finally:
        rehearsal.lab("unfill", name, "/var/lib")


@pytest.fixture
def eight_faults(
    old_world: Callable[[str], list[str]], tmp_path: Path
) -> Iterator[tuple[list[str], dict[str, str], list[str]]]:
    """The lab broken in eight ways; gives its hosts, a pattern by fault, and the arguments that are part of the faults."""
    names = old_world("full")
    addresses = {node["name"]: node["address"] for node in rehearsal.lab_state()["nodes"]}
    stopped, blocked = follower(), f"ip saddr {addresses['pi-1']} tcp dport 9092 drop"
    inventory = rehearsal.inventory_with(tmp_path, "pi-1", pi_controller_node_name="raspberrypi")
    patterns = {
        "a temporary port is taken": r"^pi-1: port 8082 \(rest\): held by python3 \(pid \d+\)$",
        "the disk is full": r"^pi-2: disk for backup_path, pod_data_dir: .* free at ",
        "a follower is stopped": rf"^{stopped}: unit: {UNIT} is inactive \(dead\)$",
        "a node is not in Kubernetes": r"^pi-1: node: no node raspberrypi; there are pi-1, pi-2, pi-3$",
        "the image is missing": r"^pi-2: image: pi-controller:none is not on this node$",
        "the archive is there": rf"^pi-2: archive_path: {ARCHIVE} exists with 1 entries$",
        "the unit was edited": rf"^pi-1: unit file: edited since systemd has read it \({DROP_IN}/nice.conf\)$",
        "a port is blocked between two Pis": r"^pi-1: way to pi-2: no answer from 10\.77\.0\.12 on 9092 \(temporary_ports\.raft\)$",
    }
    with contextlib.ExitStack() as faults:
        for fault in (
            broken("pi-1", "systemd-run --unit=squatter python3 -m http.server 8082", repair="systemctl stop squatter"),
            broken("pi-2", f"mkdir {ARCHIVE} && touch {ARCHIVE}/kept", repair=f"rm -r {ARCHIVE}"),
            broken(
                "pi-1",
                f"mkdir {DROP_IN} && printf '[Service]\\nNice=5\\n' > {DROP_IN}/nice.conf",
                repair=f"rm -r {DROP_IN} && systemctl daemon-reload",
            ),
            broken(
                "pi-2",
                f"nft 'table inet blocked {{ chain input {{ type filter hook input priority 0; {blocked}; }}; }}'",
                repair="nft delete table inet blocked",
            ),
            full_disk("pi-2"),
            broken(stopped, f"systemctl stop {UNIT}", repair=f"systemctl start {UNIT}"),
        ):
            faults.enter_context(fault)
        yield names, patterns, [*inventory, "-e", "pi_controller_image=pi-controller:none"]


def test_eight_faults_are_named_in_one_table_and_nothing_is_changed(
    eight_faults: tuple[list[str], dict[str, str], list[str]], tmp_path: Path
) -> None:
    names, patterns, arguments = eight_faults
    before = world(names)
    run = rehearsal.run_playbook("playbooks/migrate.yml", "--tags", "prepare", *arguments, log=tmp_path / "ansible.log")

    assert run.returncode != 0
    listed = found(run.output)
    missing = [fault for fault, pattern in patterns.items() if not re.search(pattern, listed, re.MULTILINE)]
    assert missing == [], f"not in the table:\n{listed}"
    # What follows from these eight, and nothing else: the image is missing everywhere, one node has no Pi now, and a kubelet that evicts
    # pods would do so on the full disk.
    known = [
        *patterns.values(),
        r"^pi-\d: image: ",
        r"^pi-2: eviction: ",
        r"^\(all\): nodes \(warning\): pi-1 not in the inventory$",
    ]
    assert [line for line in listed.splitlines() if not any(re.search(pattern, line) for pattern in known)] == []
    print(f"{len(table(run.output))} findings in {run.seconds:.1f} s")

    assert run.changed == dict.fromkeys(names, 0)
    assert differences(before, world(names)) == []
    for name in names:
        pi = on.host(name)
        assert not pi.file(BACKUPS).exists
        assert not pi.file(PODS).exists
    assert ("DaemonSet", "pi-controller") not in before["kubernetes"]


def mark_prepare(names: list[str], state: str) -> None:
    """In every Pi's journal, as its file: the module that writes it leaves a phase done that is done."""
    for name in names:
        rehearsal.on_host(
            name,
            f"""python3 -c 'import json, pathlib
path = pathlib.Path("{rehearsal.JOURNAL}")
journal = json.loads(path.read_text())
journal["phases"]["prepare"]["state"] = "{state}"
path.write_text(json.dumps(journal))'""",
        )
    assert {name: rehearsal.phase_states(name) for name in names} == dict.fromkeys(names, {"prepare": state})


def test_where_prepare_was_begun_there_are_no_findings_either(tmp_path: Path) -> None:
    """As a prepare that stopped at its very end leaves it: pods on the temporary ports, a DaemonSet, folders."""
    names = rehearsal.reached("full", ["prepare"])
    mark_prepare(names, "failed")
    try:
        run = rehearsal.run_playbook("playbooks/preflight.yml", "-v", log=tmp_path / "preflight.log")
    finally:
        mark_prepare(names, "done")
    print(f"pre-flight of {len(names)} healthy Pis: {run.seconds:.1f} s")
    assert run.returncode == 0, run.output[-4000:]
    looks = [float(seconds) for seconds in re.findall(r'"elapsed": ([0-9.]+)', run.output)]
    assert len(looks) >= len(names)
    assert max(looks) < PATIENCE, "a look waited for a port that nothing opens"
    # With prepare done it would look at nothing.
    assert re.search(
        r"^TASK \[.*Checks \| Probe every port from every Pi\] \*+\n(?!skipping)", run.output, re.MULTILINE
    )
    assert not re.search(r"^host +check ", run.output, re.MULTILINE), run.output[-4000:]
    assert run.changed == dict.fromkeys(names, 0)


def neighbours(addresses: dict[str, str]) -> list[dict[str, Any]]:
    """What else may be in a cluster: a second Service to the units with an Ingress, one with external addresses, a pod with a hostPort."""

    def obj(api: str, kind: str, name: str, labels: dict[str, str] | None = None, **rest: Any) -> dict[str, Any]:
        metadata = {"namespace": "neighbours", "name": name, "labels": labels or {}}
        return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}

    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "legacy", "port": {"number": 8080}}}}
    # It needs no image to be given a node, and takes its port there.
    container = {
        "name": "web",
        "image": "none",
        "imagePullPolicy": "Never",
        "ports": [{"containerPort": 80, "hostPort": 9092}],
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "neighbours"}},
        obj("v1", "Service", "legacy", spec={"ports": [{"port": 8080, "protocol": "TCP"}]}),
        obj(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            "legacy-1",
            {"kubernetes.io/service-name": "legacy"},
            addressType="IPv4",
            endpoints=[{"addresses": [addresses["pi-1"]], "conditions": {"ready": True}}],
            ports=[{"name": "", "port": 8080, "protocol": "TCP"}],
        ),
        obj("networking.k8s.io/v1", "Ingress", "door", spec={"rules": [{"http": {"paths": [path]}}]}),
        obj(
            "v1",
            "Service",
            "outside",
            spec={"ports": [{"port": 8082, "protocol": "TCP"}], "externalIPs": [addresses["pi-2"]]},
        ),
        obj(
            "v1",
            "Pod",
            "web",
            spec={"nodeName": "pi-3", "tolerations": [{"operator": "Exists"}], "containers": [container]},
        ),
    ]


@contextlib.contextmanager
def in_kubernetes(items: list[dict[str, Any]]) -> Iterator[None]:
    """The objects, and a Service of the owner's that K3s would apply again, in a namespace that forbids the pods."""
    objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    kubectl = rehearsal.kubectl
    owner, level = "objectset.rio.cattle.io/owner-", "pod-security.kubernetes.io/enforce"
    try:
        kubectl("apply", "-f", "-", stdin=objects)
        kubectl(
            "annotate",
            "-n",
            "pi-controller",
            "service",
            "pi-controller",
            f"{owner}gvk=k3s.cattle.io/v1, Kind=Addon",
            f"{owner}name=pi",
        )
        kubectl("label", "namespace", "pi-controller", f"{level}=restricted")
        yield
    finally:
        kubectl("label", "namespace", "pi-controller", f"{level}-")
        kubectl("annotate", "-n", "pi-controller", "service", "pi-controller", f"{owner}gvk-", f"{owner}name-")
        kubectl("delete", "namespace", "neighbours", "--ignore-not-found", "--wait=true")


def test_k1_k5_k6_k10_beside_a_silent_pi_all_is_named(old_world: Callable[[str], list[str]], tmp_path: Path) -> None:
    """What else is in the cluster, and a Pi that does not answer: it hides nothing of what the others and Kubernetes say."""
    names = old_world("full")
    addresses = {node["name"]: node["address"] for node in rehearsal.lab_state()["nodes"]}
    # No process listens there: as a Pi that is off, but for the waiting.
    silent = rehearsal.inventory_with(tmp_path, "pi-3", ansible_port=2)
    with in_kubernetes(neighbours(addresses)):
        before = world(names)
        run = rehearsal.run_playbook("playbooks/preflight.yml", *silent, log=tmp_path / "preflight.log")
        after = world(names)

    assert run.returncode != 0
    listed = found(run.output)
    patterns = {
        "a silent Pi": r"^pi-3: ssh: .*Connection refused",
        "K1, a pod": r"^pi-3: hostPort 9092: 9092 \(temporary_ports\.raft\) is claimed by the pod neighbours/web$",
        "K1, a Service": r"^\(all\): hostPort 8082: .* is claimed by the Service neighbours/outside \(externalIPs\)$",
        "K5": rf"^\(all\): another Service: neighbours/legacy points to the units \({addresses['pi-1']}:8080\), used by the Ingress neighbours/door$",
        "K6": r"^\(all\): namespace: .* violates PodSecurity \"restricted:latest\"",
        "K10": r"^\(all\): manifest: Service pi-controller is applied again from Addon pi$",
    }
    assert [row for row, pattern in patterns.items() if not re.search(pattern, listed, re.MULTILINE)] == [], (
        f"not in the table:\n{listed}"
    )
    # Traffic to pi-2:8082 and pi-3:9092 is translated to what does not answer, which the probe of the ports sees as well.
    known = [*patterns.values(), r"^pi-\d: (way to pi-[23]|port (8082|9092))"]
    assert [line for line in listed.splitlines() if not any(re.search(pattern, line) for pattern in known)] == []
    assert run.changed == dict.fromkeys(names, 0)
    assert differences(before, after) == []

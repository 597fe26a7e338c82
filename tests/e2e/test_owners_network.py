# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of others, a kernel that ends no connection, client pods and an Ingress, all at once: there and back under the witness."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from tests.e2e import hosts as on
from tests.e2e import pace, rehearsal
from tests.e2e.way_back import ARCHIVE_PUT_ASIDE, back
from tests.lab import faults, machines, objects, settings
from tests.lab import state as files
from tests.lab.shell import run as command
from tests.lab.shell import wait_for
from tests.lab.state import Node

pytestmark = pytest.mark.longer

# As Tailscale and people write them; iptables-save cannot show such a table.
NATIVE = """
table %(ip)s nat {
    set elsewhere { type inet_service; elements = { 81 } }
    chain ts-postrouting { type nat hook postrouting priority srcnat; meta mark & 0x00ff0000 == 0x00040000 counter masquerade; }
    chain by-hand { type nat hook prerouting priority dstnat; tcp dport @elsewhere redirect to :80; }
}
"""
# As kube-router inside K3s does it, but every second.
ACCEPTING = """#!/bin/sh
PATH=/opt/iptables:$PATH
while :; do
    for tables in iptables ip6tables; do
        for chain in INPUT OUTPUT FORWARD; do
            $tables -w -D $chain -m conntrack --ctstate ESTABLISHED -j ACCEPT 2>/dev/null
            $tables -w -I $chain 1 -m conntrack --ctstate ESTABLISHED -j ACCEPT
        done
    done
    sleep 1
done
"""
# What a kernel without CONFIG_INET_DIAG_DESTROY answers a request to end a connection, to `ss -K` and to any program in Python.
SILENT_SS = """#!/bin/sh
for word; do case "$word" in -*K*|--kill) exit 0;; esac; done
exec /usr/bin/ss "$@"
"""
REFUSING = """import errno, socket, struct
DESTROY = 21
def send(self, data, *flags, really=socket.socket.send):
    if self.family == socket.AF_NETLINK and self.proto == 4 and struct.unpack_from("=IH", data)[1] == DESTROY:
        open("/run/refused-to-end-connections", "a").close()
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")
    return really(self, data, *flags)
socket.socket.send = send
"""
PYTHON = "/usr/lib/python3/dist-packages"
FILES = {
    "/usr/local/bin/ss": SILENT_SS,
    "/usr/local/bin/accepting": ACCEPTING,
    f"{PYTHON}/refusing.py": REFUSING,
    # Python reads it whenever it starts.
    f"{PYTHON}/refusing.pth": "import refusing\n",
}
BEGIN = f"""
set -eu
chmod 755 /usr/local/bin/ss /usr/local/bin/accepting
nft '{NATIVE}'
systemd-run --unit=accepting /usr/local/bin/accepting
"""
END = f"""
systemctl stop accepting
for tables in iptables ip6tables; do
    for chain in INPUT OUTPUT FORWARD; do
        /opt/iptables/$tables -w -D $chain -m conntrack --ctstate ESTABLISHED -j ACCEPT
    done
done
nft delete chain %(ip)s nat ts-postrouting
nft delete chain %(ip)s nat by-hand
nft delete set %(ip)s nat elsewhere
rm -f {" ".join(FILES)} /run/refused-to-end-connections
"""
OWN_CHAIN = "nft list chain %(ip)s nat by-hand"
CLIENTS = "clients"
PORT_NAMES = {"http": settings.REST_PORT, "rpc": settings.GRPC_PORT}
# Twice the routes of other tests, each half as often: it is the same load on a machine that others use, too.
HALF_AS_OFTEN = ["--writes-per-second", "1", "--reads-per-second", "3", "--fast-per-second", "6"]


def ip() -> str:
    """The family of the lab's addresses, as nft names it."""
    return {"ipv4": "ip", "ipv6": "ip6"}[files.require().options.family]


def kubectl(*words: str, given: Any = None) -> None:
    subprocess.run(
        ["python3", "-m", "tests.lab", "kubectl", "--", *words], cwd=rehearsal.REPOSITORY, check=True, capture_output=True,
        text=True, timeout=120, input=None if given is None else json.dumps(given),
    )  # fmt: skip


@pytest.fixture
def crowded(old_world: Callable[[str], list[str]]) -> Iterator[list[str]]:
    """Hosts with rules and programs of others, on kernels that end no connection."""
    names = old_world("full")
    nodes = files.require().nodes
    try:
        for node in nodes:
            for path, content in FILES.items():
                (machines.root(node) / path.lstrip("/")).write_text(content)
            on.host(node.name).run_expect([0], BEGIN % {"ip": ip()})
        yield names
    finally:
        for node in nodes:
            on.host(node.name).run(END % {"ip": ip()})


@pytest.fixture
def named_by_the_owner(crowded: list[str]) -> list[str]:
    """The Service with port names of the owner's, and an Ingress that uses one of them. (The lab's reset makes it anew.)"""
    ports = [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in PORT_NAMES.items()]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "pi-controller", "namespace": "pi-controller"},
        "spec": {"ports": ports},
    }
    backend = {"service": {"name": "pi-controller", "port": {"name": "http"}}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "door", "namespace": "pi-controller"},
        "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    }
    items = [service, objects.by_hand(files.require(), PORT_NAMES), ingress]
    kubectl("apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": items})
    return crowded


def pod_process(node: Node) -> int:
    """A process of the pod that has a network of its own, as the machine numbers it."""
    inside = Path(f"/run/netns/{node.name}").stat().st_ino
    found: list[int] = []

    def look() -> str | None:
        found[:] = [
            pid for pid in faults.processes(node, "pause") if Path(f"/proc/{pid}/ns/net").stat().st_ino != inside
        ]
        return None if found else "none"

    wait_for(f"{node.name}: its client pod runs", look, timeout=60, advice="kubectl get pods -A")
    return found[0]


@pytest.fixture
def client_pods(crowded: list[str]) -> Iterator[list[str]]:
    """A pod with a network of its own on every Pi; gives the names under which the machine knows these networks."""
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": CLIENTS},
            "spec": {
                "nodeName": name,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "client", "image": settings.PAUSE_IMAGE, "imagePullPolicy": "Never"}],
            },
        }
        for name in crowded
    ]
    kubectl("create", "namespace", CLIENTS)
    attached = []
    try:
        wait_for(
            "the namespace has its service account",
            lambda: None if rehearsal.kubectl_json("-n", CLIENTS, "get", "serviceaccounts")["items"] else "none",
            timeout=30,
            advice="kubectl get serviceaccounts -A",
        )
        kubectl("apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": pods})
        for node in files.require().nodes:
            command(["ip", "netns", "attach", f"client-{node.name}", str(pod_process(node))])
            attached.append(f"client-{node.name}")
        yield attached
    finally:
        for name in attached:
            command(["ip", "netns", "delete", name])
        kubectl("delete", "namespace", CLIENTS, "--ignore-not-found", "--wait=true")


class IngressReader(threading.Thread):
    """Reads as an Ingress controller does: ready endpoints of the Service by the name of its port, the next one where one is gone.

    `failures` says what was wrong where no endpoint was listed or none answered; `reads` counts the answers.
    """

    def __init__(self, namespace: str, service: str, port_name: str) -> None:
        super().__init__(daemon=True)
        api = config.new_client_from_config(str(rehearsal.lab_state()["kubeconfig"]))
        self.core, self.discovery, self.plain = (
            client.CoreV1Api(api),
            client.DiscoveryV1Api(api),
            api.sanitize_for_serialization,
        )
        self.namespace, self.service, self.port_name = namespace, service, port_name
        self.failures: list[str] = []
        self.reads = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            try:
                targets = self.targets()
                failures = [failure for target in targets if (failure := ask(target))]
                # One that has just gone is listed for a moment longer, and a controller goes on to the next.
                if len(failures) == len(targets):
                    self.failures.append(f"{time.time():.3f}: {'; '.join(failures) or 'no endpoint'}")
                else:
                    self.reads += 1
            except Exception as error:  # noqa: BLE001 - a reader that ended would find no failures
                self.failures.append(f"{time.time():.3f}: {type(error).__name__}: {error}")

    def targets(self) -> list[str]:
        service = self.plain(self.core.read_namespaced_service(self.service, self.namespace, _request_timeout=5))
        names = {port.get("name") for port in service["spec"]["ports"]}
        if self.port_name not in names:
            raise LookupError(f"the Service's ports are {names}")
        label = f"kubernetes.io/service-name={self.service}"
        slices = self.discovery.list_namespaced_endpoint_slice(self.namespace, label_selector=label, _request_timeout=5)
        return [
            settings.with_port(address, port["port"])
            for item in self.plain(slices)["items"]
            for port in item.get("ports") or []
            if port.get("name") == self.port_name
            for endpoint in item.get("endpoints") or []
            if endpoint.get("conditions", {}).get("ready") is not False
            for address in endpoint["addresses"]
        ]


def ask(target: str) -> str:
    """What went wrong with a read from this endpoint; empty where it answered."""
    try:
        with urllib.request.urlopen(f"http://{target}/api/v1/nodes", timeout=5) as answer:
            return "" if len(json.load(answer)["nodes"]) else f"{target}: no rows"
    except (OSError, ValueError) as error:
        return f"{target}: {error}"


def routes_of_pods(client_pods: list[str]) -> list[str]:
    """From each client pod to the Service, and to its own Pi's address."""
    addresses = {node["name"]: node["address"] for node in rehearsal.lab_state()["nodes"]}
    routes = []
    for pod in client_pods:
        pi = pod.removeprefix("client-")
        targets = {"service": rehearsal.service_address(), pi: addresses[pi]}
        routes += [
            f"{name}={settings.with_port(address, settings.REST_PORT)}@{pod}" for name, address in targets.items()
        ]
    return [word for route in routes for word in ("--route", route)]


def service_ports() -> dict[str, int]:
    listed = rehearsal.kubectl_json("-n", "pi-controller", "get", "service", "pi-controller")["spec"]["ports"]
    return {port["name"]: port["port"] for port in listed}


def test_a4_p1_p2_p3_k2_there_and_back_with_all_of_it_at_once(
    named_by_the_owner: list[str], client_pods: list[str], tmp_path: Path
) -> None:
    names = named_by_the_owner
    own_rules = {name: on.host(name).run_expect([0], OWN_CHAIN % {"ip": ip()}).stdout for name in names}
    ingress = IngressReader("pi-controller", "pi-controller", "http")
    with rehearsal.witnessed(tmp_path, *routes_of_pods(client_pods), *HALF_AS_OFTEN) as witness:
        ingress.start()
        forth = rehearsal.run_playbook(
            "playbooks/migrate.yml", "-e", "confirm=true", log=tmp_path / "forth.log", show=True
        )
        assert forth.returncode == 0, forth.output[-6000:]
        assert service_ports() == PORT_NAMES
        back(names, tmp_path / "back.log", put_aside=ARCHIVE_PUT_ASIDE)
        assert service_ports() == PORT_NAMES
        ingress.over.set()
        ingress.join()
    verdict, summary = witness.judge(pace.here(rehearsal.CALM))
    print(summary)
    assert verdict["ok"], summary
    print(f"an Ingress would have been answered {ingress.reads} times")
    assert ingress.failures == []
    assert ingress.reads > 100
    for name in names:
        pi = on.host(name)
        assert pi.file("/run/refused-to-end-connections").exists, (
            f"{name}: the kernel was never asked to end a connection"
        )
        assert pi.run_expect([0], OWN_CHAIN % {"ip": ip()}).stdout == own_rules[name]

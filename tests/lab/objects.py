# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in Kubernetes before a migration: Ready nodes, and a Service that an owner has made for the systemd cluster."""

from __future__ import annotations

import json
import os
from typing import Any

from . import machines, settings
from .kubernetes.provider import Provider
from .progress import Progress
from .shell import in_parallel, run, wait_for
from .state import Node, State

API_UP = 60


def kubectl(provider: Provider, *words: str, stdin: str | None = None, check: bool = True, timeout: float = 120) -> str:
    environment = {**os.environ, "KUBECONFIG": str(settings.STATE / "kubeconfig")}
    return run([*provider.kubectl, *words], stdin=stdin, check=check, env=environment, timeout=timeout).stdout


def wait_ready(state: State, provider: Provider, progress: Progress) -> None:
    advice = f"journalctl -u {provider.api_unit} on {state.nodes[0].name}, -u kubelet on the others"

    def probe() -> str | None:
        nodes = json.loads(kubectl(provider, "get", "nodes", "-o", "json"))["items"]
        ready = {
            node["metadata"]["name"]
            for node in nodes
            if any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in node["status"].get("conditions", [])
            )
        }
        left = {node.name for node in state.nodes} - ready
        return None if not left else f"not Ready: {', '.join(sorted(left))}"

    with progress.waiting(f"Kubernetes: waiting for the API and {len(state.nodes)} Ready nodes"):
        wait_for("all nodes are Ready", probe, timeout=API_UP * 2, advice=advice, interval=0.5)


def import_images(state: State, provider: Provider, archives: dict[str, bytes], progress: Progress) -> None:
    def import_all(node: Node) -> None:
        wait_for(
            f"containerd answers on {node.name}",
            lambda: (
                None if machines.execute(node, [*provider.ctr, "version"], check=False).returncode == 0 else "no answer"
            ),
            timeout=60,
            advice=f"journalctl -u containerd on {node.name}",
            interval=0.3,
        )
        for content in archives.values():
            machines.execute(node, [*provider.ctr, "images", "import", "--no-unpack", "-"], stdin=content)

    with progress.waiting(f"images: {', '.join(archives)} into every host's containerd"):
        in_parallel(import_all, state.nodes)


def apply(state: State, provider: Provider) -> str:
    """The namespace, and a Service without selector that routes to the units. Returns the Service's address."""
    ports = {"rest": settings.REST_PORT, "grpc": settings.GRPC_PORT}
    metadata = {"name": settings.NAMESPACE, "namespace": settings.NAMESPACE}
    items: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": settings.NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "ports": [
                    {"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in ports.items()
                ]
            },
        },
        by_hand(state, ports),
    ]
    kubectl(provider, "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return kubectl(
        provider, "-n", settings.NAMESPACE, "get", "service", settings.NAMESPACE, "-o", "jsonpath={.spec.clusterIP}"
    )


def by_hand(state: State, ports: dict[str, int]) -> dict[str, Any]:
    """Where the Service points to, as its owner has written it down."""
    metadata: dict[str, Any] = {"name": settings.NAMESPACE, "namespace": settings.NAMESPACE}
    listed = [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()]
    if state.options.backends == "endpoints":
        subset = {"addresses": [{"ip": node.address} for node in state.nodes], "ports": listed}
        return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": [subset]}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": settings.NAMESPACE}},
        "addressType": state.addresses.slices,
        "endpoints": [
            {"addresses": [node.address], "conditions": {"ready": True}, "nodeName": node.name} for node in state.nodes
        ],
        "ports": listed,
    }


def wait_service(state: State, address: str) -> None:
    """Every Pi's proxy routes to the units."""

    def answers(node: Node) -> None:
        url = f"http://{settings.with_port(address, settings.REST_PORT)}/health"
        wait_for(
            f"the Service answers on {node.name}",
            lambda: (
                None
                if machines.execute(node, ["curl", "-sf", "--max-time", "2", url], check=False).returncode == 0
                else "no answer"
            ),
            # One that has lost the API server, as in a fault, asks again after up to a minute.
            timeout=90,
            advice=f"journalctl -u kube-proxy on {node.name}",
            interval=0.2,
        )

    in_parallel(answers, state.nodes)


def delete_namespace(provider: Provider) -> None:
    """Its pods at once; the namespace itself takes 5 s in any case, so `wait_namespace_gone` is for whoever needs its name."""
    # Pods first: a namespace that has any looks at them again only after half of the time that they may take to stop.
    pods = ("daemonsets,pods", "--all", "--grace-period=1", "--ignore-not-found", "--wait=true", "--timeout=90s")
    kubectl(provider, "-n", settings.NAMESPACE, "delete", *pods)
    kubectl(provider, "delete", "namespace", settings.NAMESPACE, "--ignore-not-found", "--wait=false")


def wait_namespace_gone(provider: Provider) -> None:
    phase = ("get", "namespace", settings.NAMESPACE, "--ignore-not-found", "-o", "jsonpath={.status.phase}")
    wait_for(
        f"no deletion of the namespace {settings.NAMESPACE} is under way",
        lambda: "it is being deleted" if kubectl(provider, *phase).strip() == "Terminating" else None,
        timeout=90,
        advice="python3 -m tests.lab kubectl -- get namespaces -o yaml says what it waits for",
        interval=0.2,
    )


def delete_leases(provider: Provider) -> None:
    """A migration's lock may lie in any namespace."""
    listed = json.loads(kubectl(provider, "get", "leases", "--all-namespaces", "-o", "json"))["items"]
    for lease in (item["metadata"] for item in listed):
        if lease["name"].startswith(f"{settings.NAMESPACE}-"):
            kubectl(provider, "-n", lease["namespace"], "delete", "lease", lease["name"], "--ignore-not-found")

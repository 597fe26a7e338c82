# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Kubernetes API in memory behind the one call that KubeApi makes, with the controllers that write endpoints.

The controllers act late and one at a time, between the requests of the module under test, as real ones do: what a
module may not assume is what it does not get. `history` has the targets of all slices after every step.
"""

from __future__ import annotations

import base64
import copy
import itertools
import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from conftest import import_plugin
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import api_exception

lists = import_plugin("module_utils._kube.endpoints")

NAMESPACE = "pi-controller"
NAME = "pi-controller"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
LABELS = {"app.kubernetes.io/name": NAME}


def api_error(status: int, reason: str, message: str) -> Exception:
    error = ApiException(status=status, reason=reason)
    error.body = json.dumps({"kind": "Status", "message": message, "reason": reason})
    error.headers = {}
    return api_exception(error)


def with_client_key(folder: Path) -> Path:
    """A kubeconfig whose user has a key and a certificate in it, of which the client library makes files. Nothing listens at its address."""
    data = base64.b64encode(b"not for others").decode()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"client-key-data": data, "client-certificate-data": data}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    return path


class Watched(dict[str, dict[str, Any]]):
    """Objects by path, and what a kube-proxy that watches EndpointSlices has of them.

    It watches those without the label of headless Services, and passes over an event whose slice names no Service: what it had of that
    slice, it keeps.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = f"{folder}/"
        self.proxied: dict[str, dict[str, Any]] = {}

    def __setitem__(self, path: str, stored: dict[str, Any]) -> None:
        super().__setitem__(path, stored)
        labels = stored.get("metadata", {}).get("labels") or {}
        if path.startswith(self.folder):
            if "service.kubernetes.io/headless" in labels:
                self.proxied.pop(path, None)
            elif lists.SERVICE_LABEL in labels:
                self.proxied[path] = stored

    def __delitem__(self, path: str) -> None:
        super().__delitem__(path)
        self.proxied.pop(path, None)

    def pop(self, path: str, *default: Any) -> Any:
        self.proxied.pop(path, None)
        return super().pop(path, *default)


class FakeKube:
    """The controllers behave as those of Kubernetes 1.35 to 1.37; `order` is that in which they follow a change."""

    def __init__(self, order: str = "mirror, endpoints, slices", lag: int = 2) -> None:
        self.order = order.split(", ")
        self.lag = lag
        self.slices_path = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
        self.objects = Watched(self.slices_path)
        self.requests: list[tuple[str, str]] = []
        self.history: list[Any] = []
        self.on_request: Callable[[str, str], None] = lambda method, path: None
        self._numbers = itertools.count(1)
        # Slices that the controller of the pods' slices has written.
        self._written: set[str] = set()
        self._pending: deque[Callable[[], None] | None] = deque()

    # --- what a test does ------------------------------------------------------------------------

    def put(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        """Store an object as the API does, and let the controllers know."""
        stored = copy.deepcopy(obj)
        metadata = stored.setdefault("metadata", {})
        metadata.setdefault("uid", f"uid-{next(self._numbers)}")
        metadata["resourceVersion"] = str(next(self._numbers))
        if path.startswith(f"{CORE}/services/"):
            stored["spec"].setdefault("clusterIP", "10.96.0.77")
            stored["spec"].setdefault("type", "ClusterIP")
        self.objects[path] = stored
        self._wake()
        return stored

    def settle(self) -> None:
        """Let the controllers finish."""
        while self._pending:
            self._step()

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [request for request in self.requests if request[0] != "get"]

    @property
    def service(self) -> dict[str, Any]:
        return self.objects[f"{CORE}/services/{NAME}"]

    @property
    def slices(self) -> list[dict[str, Any]]:
        return [obj for path, obj in self.objects.items() if path.startswith(f"{self.slices_path}/")]

    @property
    def pods(self) -> list[dict[str, Any]]:
        return [obj for path, obj in self.objects.items() if path.startswith(f"{CORE}/pods/")]

    @property
    def endpoints(self) -> dict[str, Any] | None:
        return self.objects.get(f"{CORE}/endpoints/{NAME}")

    @property
    def read_slices(self) -> list[dict[str, Any]]:
        """The slices by which a proxy finds the Service's targets."""
        return [
            item for item in self.objects.proxied.values() if item["metadata"]["labels"][lists.SERVICE_LABEL] == NAME
        ]

    def managers(self) -> list[str]:
        return sorted({lists.managed_by(item) for item in self.read_slices})

    def deprecated_calls(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.requests if "endpoints" in path.split("/")]

    # --- the API ---------------------------------------------------------------------------------

    def request(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        self.requests.append((method, path))
        self.on_request(method, path)
        self._step()
        answer = getattr(self, f"_{method}")(path, body, params)
        return SimpleNamespace(data=json.dumps(answer).encode())

    def _get(self, path: str, _body: Any, params: dict[str, Any]) -> Any:
        if path in self.objects:
            return self.objects[path]
        if path.rsplit("/", 1)[-1] not in ("pods", "endpointslices", "controllerrevisions", "events"):
            raise api_error(404, "NotFound", f"{path} not found")
        wanted = dict(pair.split("=") for pair in (params.get("label_selector") or "").split(",") if pair)
        uid = (params.get("field_selector") or "").rpartition("involvedObject.uid=")[2]
        return {
            "items": [
                obj
                for key, obj in sorted(self.objects.items())
                if key.startswith(f"{path}/")
                and wanted.items() <= (obj["metadata"].get("labels") or {}).items()
                and uid in ("", (obj.get("involvedObject") or {}).get("uid"))
            ]
        }

    def _post(self, path: str, body: dict[str, Any], params: dict[str, Any]) -> Any:
        body = self._admitted(path, body)
        full = f"{path}/{body['metadata']['name']}"
        if full in self.objects:
            raise api_error(409, "AlreadyExists", f"{full} already exists")
        return body if params.get("dry_run") else self.put(full, body)

    def _admitted(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """With a name, and a pod with the limits that the LimitRanges of its namespace have for containers without."""
        body = copy.deepcopy(body)
        if "generateName" in body["metadata"]:
            body["metadata"].setdefault("name", f"{body['metadata']['generateName']}{next(self._numbers):05}")
        namespace, _slash, kind = path.rpartition("/")
        ranges = [obj for key, obj in self.objects.items() if key.startswith(f"{namespace}/limitranges/")]
        for entry in [entry for obj in ranges for entry in obj["spec"]["limits"]]:
            for container in (body["spec"].get("containers") or ()) if kind == "pods" else ():
                resources = container.setdefault("resources", {})
                resources["limits"] = {**entry["default"], **(resources.get("limits") or {})}
        return body

    def _put(self, path: str, body: dict[str, Any], params: dict[str, Any]) -> Any:
        found = self.objects.get(path)
        if body["metadata"].get("uid", found and found["metadata"]["uid"]) != (found and found["metadata"]["uid"]):
            raise api_error(409, "Conflict", "Precondition failed: UID in precondition")
        if found is None and "/leases/" not in path:
            raise api_error(404, "NotFound", f"{path} not found")
        if found is None:
            # Most kinds refuse that, Leases do not.
            return body if params.get("dry_run") else self.put(path, body)
        if body["metadata"].get("resourceVersion") != self.objects[path]["metadata"]["resourceVersion"]:
            raise api_error(409, "Conflict", "the object has been modified")
        return body if params.get("dry_run") else self.put(path, body)

    def _delete(self, path: str, body: dict[str, Any], _params: Any) -> Any:
        if path not in self.objects:
            raise api_error(404, "NotFound", f"{path} not found")
        if body["preconditions"]["uid"] != self.objects[path]["metadata"]["uid"]:
            raise api_error(409, "Conflict", "the UID in the precondition does not match")
        if body["preconditions"].get("resourceVersion") not in (
            None,
            self.objects[path]["metadata"].get("resourceVersion"),
        ):
            raise api_error(409, "Conflict", "the ResourceVersion in the precondition does not match")
        self.deleted(path)
        return {"kind": "Status", "status": "Success"}

    def deleted(self, path: str) -> None:
        """What becomes of an object that is deleted; a test may replace this for pods."""
        gone = self.objects[path]
        if path.startswith(f"{self.slices_path}/") and lists.managed_by(gone) == lists.OF_PODS:
            self._written.discard(gone["metadata"]["uid"])
        del self.objects[path]
        self._wake()

    # --- the controllers -------------------------------------------------------------------------

    def _wake(self) -> None:
        # By default the worst order: what takes endpoints away comes first, what brings them comes last.
        controllers = {"mirror": self._mirror, "endpoints": self._write_endpoints, "slices": self._write_slices}
        for name in self.order:
            self._pending.extend([None] * self.lag)
            self._pending.append(controllers[name])
        self._record()

    def _step(self) -> None:
        controller = self._pending.popleft() if self._pending else None
        if controller is not None:
            controller()
            self._record()

    def _record(self) -> None:
        if f"{CORE}/services/{NAME}" in self.objects:
            self.history.append(lists.of_slices(self.read_slices))

    def _selector(self) -> dict[str, str] | None:
        service = self.objects.get(f"{CORE}/services/{NAME}")
        return service["spec"].get("selector") if service else None

    def _selected(self) -> Any:
        selector = self._selector() or {}
        pods = [pod for pod in self.pods if selector.items() <= pod["metadata"]["labels"].items()]
        return lists.of_pods(pods, self.service)

    def _mirror(self) -> None:
        """EndpointSliceMirroring: Endpoints of a Service without selector, unless a label forbids it."""
        endpoints = self.endpoints
        labels = dict(((endpoints or {}).get("metadata") or {}).get("labels") or {})
        wanted = (
            f"{CORE}/services/{NAME}" in self.objects
            and endpoints is not None
            and self._selector() is None
            and labels.get("endpointslice.kubernetes.io/skip-mirror") != "true"
        )
        targets = lists.of_subsets(endpoints["subsets"]) if wanted and endpoints else frozenset()
        self._slice(f"{self.slices_path}/{NAME}-mirror", lists.MIRRORED, targets, labels, self._nodes_of_endpoints())

    def _nodes_of_endpoints(self) -> dict[str, str]:
        return {
            address["ip"]: address["nodeName"]
            for subset in (self.endpoints or {}).get("subsets") or []
            for address in subset["addresses"]
            if "nodeName" in address
        }

    def _write_endpoints(self) -> None:
        """The endpoints controller: writes over whatever object has the Service's name, labels included."""
        if self._selector() is None:
            return
        present = self.endpoints
        labels = {
            **(self.service["metadata"].get("labels") or {}),
            "endpoints.kubernetes.io/managed-by": "endpoint-controller",
        }
        subsets = [
            {"addresses": [{"ip": target.ip}], "ports": [{"name": target.port_name, "port": target.port}]}
            for target in sorted(self._selected())
        ]
        if present is None or present["subsets"] != subsets or present["metadata"].get("labels") != labels:
            kept = (present or {}).get("metadata") or {"namespace": NAMESPACE, "name": NAME}
            metadata = {**kept, "labels": labels}
            self.put(
                f"{CORE}/endpoints/{NAME}",
                {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets},
            )

    def _waits_for_its_own(self) -> bool:
        """Whether the controller takes its view for outdated: a slice that it has written is missing, and was not deleted as one of its own."""
        return not self._written <= {
            item["metadata"]["uid"] for item in self.slices if lists.managed_by(item) == lists.OF_PODS
        }

    def _write_slices(self) -> None:
        if self._selector() is not None and not self._waits_for_its_own():
            labels = self.service["metadata"].get("labels") or {}
            nodes = {pod["status"]["podIP"]: pod["spec"]["nodeName"] for pod in self.pods}
            self._slice(f"{self.slices_path}/{NAME}-pods", lists.OF_PODS, self._selected(), labels, nodes)
            self._written |= {
                item["metadata"]["uid"] for item in self.slices if lists.managed_by(item) == lists.OF_PODS
            }

    def _slice(self, path: str, manager: str, targets: Any, labels: dict[str, str], nodes: dict[str, str]) -> None:
        groups = lists._by_ports(targets)
        # As Kubernetes' own library does, what belongs to the Service is written over before anything is created.
        uid = self.objects.get(f"{CORE}/services/{NAME}", {}).get("metadata", {}).get("uid")
        found = sorted(
            key
            for key, item in self.objects.items()
            if key.startswith(f"{self.slices_path}/")
            and lists.managed_by(item) == manager
            and uid in [owner["uid"] for owner in item["metadata"].get("ownerReferences", [])]
        )
        created = (path if number == 0 else f"{path}-{number}" for number in itertools.count())
        names = [*found, *(name for name in itertools.islice(created, 9) if name not in found)]
        for number, ((_family, ports), ips) in enumerate(groups.items()):
            name = names[number]
            self.objects[name] = {
                "metadata": {
                    "name": name.rsplit("/", 1)[-1],
                    "uid": (self.objects.get(name) or {"metadata": {"uid": f"uid-{next(self._numbers)}"}})["metadata"][
                        "uid"
                    ],
                    "namespace": NAMESPACE,
                    "resourceVersion": str(next(self._numbers)),
                    "labels": {**labels, lists.SERVICE_LABEL: NAME, lists.MANAGED_BY: manager},
                    "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": NAME, "uid": uid}],
                },
                "addressType": "IPv4",
                "endpoints": [
                    {
                        "addresses": [ip],
                        "conditions": {"ready": True},
                        **({"nodeName": nodes[ip]} if ip in nodes else {}),
                        **({"targetRef": {"kind": "Pod"}} if manager == lists.OF_PODS else {}),
                    }
                    for ip in ips
                ],
                "ports": [{"name": port_name, "port": port} for port_name, port in ports],
            }
        for name in names[len(groups) :]:
            gone = self.objects.pop(name, None)
            self._written.discard(((gone or {}).get("metadata") or {}).get("uid", ""))


def pod(
    node: int,
    *,
    revision: str = "new",
    ready: bool = True,
    running: bool = True,
    rest: int = 8082,
    grpc: int = 9093,
    owner: str = "uid-ds",
    suffix: str = "a",
    **status: Any,
) -> dict[str, Any]:
    """A pod of the DaemonSet on pi-<node>."""
    state = (
        {"running": {"startedAt": "2026-01-01T00:00:00Z"}} if running else {"waiting": {"reason": "CrashLoopBackOff"}}
    )
    return {
        "metadata": {
            "namespace": NAMESPACE,
            "name": f"{NAME}-{node}{suffix}",
            "uid": f"uid-pod-{node}{suffix}",
            "creationTimestamp": f"2026-01-01T00:00:0{ord(suffix) - ord('a')}Z",
            "labels": {**LABELS, "controller-revision-hash": revision},
            "ownerReferences": [{"kind": "DaemonSet", "name": NAME, "uid": owner, "controller": True}],
        },
        "spec": {
            "nodeName": f"pi-{node}",
            "containers": [
                {
                    "name": "pi-controller",
                    "image": "pi-controller:lab",
                    "ports": [{"name": "rest", "containerPort": rest}, {"name": "grpc", "containerPort": grpc}],
                }
            ],
        },
        "status": {
            "phase": "Running",
            "hostIP": f"10.77.0.1{node}",
            "podIP": f"10.77.0.1{node}",
            "podIPs": [{"ip": f"10.77.0.1{node}"}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "pi-controller", "restartCount": 0, "state": state, **status}],
        },
    }


def add_pod(kube: FakeKube, obj: dict[str, Any]) -> None:
    kube.put(f"{CORE}/pods/{obj['metadata']['name']}", obj)


def add_daemonset(kube: FakeKube, revisions: dict[str, int], *, generation: int = 2, observed: int = 2) -> None:
    kube.put(
        f"{APPS}/daemonsets/{NAME}",
        {
            "metadata": {"namespace": NAMESPACE, "name": NAME, "uid": "uid-ds", "generation": generation},
            "spec": {"selector": {"matchLabels": LABELS}},
            "status": {"observedGeneration": observed, "desiredNumberScheduled": 3},
        },
    )
    for revision, number in revisions.items():
        kube.put(
            f"{APPS}/controllerrevisions/{NAME}-{revision}",
            {
                "metadata": {
                    "name": f"{NAME}-{revision}",
                    "labels": {**LABELS, "controller-revision-hash": revision},
                    "ownerReferences": [{"uid": "uid-ds"}],
                },
                "revision": number,
            },
        )

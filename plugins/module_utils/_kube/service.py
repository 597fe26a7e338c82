# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Service object: its mode, its ports, what it has to become, and what a rollback gives back."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from .endpoints import SKIP_MIRROR, Targets

ENDPOINTS = "endpoints"
PODS = "pods"
OWNER = "owner"
ABSENT = "absent"
# What the owner had before this collection changed it, as JSON: {"target_ports", "selector", "endpoints"}.
SAVED = "raft-migration.pi-controller/owner"

Service = Mapping[str, Any]


def mode(service: Service | None) -> str:
    """What decides the targets: lists of addresses, or the pods that a selector finds."""
    if service is None:
        return ABSENT
    return PODS if service["spec"].get("selector") else ENDPOINTS


def ports_of(service: Service | None) -> dict[str, int]:
    return {port.get("name", ""): int(port["port"]) for port in ((service or {}).get("spec") or {}).get("ports") or []}


def daemon_ports(service: Service | None, targets: Targets, ports: Mapping[str, int]) -> dict[str, str]:
    """The collection's port name for each port of the Service that belongs to the daemons, by the owner's name of it.

    Numbers decide, not names: those that the Service's targets have now, its target port, its own port. A target port
    that is one of the collection's names was set by an earlier call.
    """
    if service is None:
        return {name: name for name in ports}
    by_number = {number: name for name, number in ports.items()}
    found: dict[str, str] = {}
    for port in service["spec"].get("ports") or []:
        if port.get("protocol", "TCP") != "TCP":
            continue
        name, target = port.get("name", ""), port.get("targetPort")
        listening = {seen.port for seen in targets if seen.port_name == name}
        candidates = [*listening, *([target] if isinstance(target, int) else []), int(port["port"])]
        if isinstance(target, str) and target in ports:
            found[name] = target
        else:
            known = [by_number[number] for number in candidates if number in by_number]
            if known:
                found[name] = known[0]
    return found


def wanted_service(
    present: Service | None,
    namespace: str,
    name: str,
    ports: Mapping[str, int],
    roles: Mapping[str, str],
    selector: Mapping[str, str] | None,
) -> dict[str, Any]:
    """The Service with this selector; `roles` are its ports that belong to the daemons (see `daemon_ports`).

    The owner's port names, numbers, and all else are kept. The target port of a daemon's port is the container port's
    name: a number is the same for all pods, and while ports change one by one it is wrong for half of them.
    """
    if present is None:
        service: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"ports": [{"name": key, "port": number, "protocol": "TCP"} for key, number in ports.items()]},
        }
    else:
        service = copy.deepcopy(dict(present))
        _save(service, roles, selector)
    for port in service["spec"].get("ports") or []:
        if port.get("name", "") in roles and port.get("protocol", "TCP") == "TCP":
            port["targetPort"] = roles[port.get("name", "")]
    # The Endpoints that Kubernetes writes for a selector take over the Service's labels. With this one they are not
    # mirrored when the selector goes, so the pods' addresses do not outlive it.
    if selector:
        service["spec"]["selector"] = dict(selector)
        service["metadata"].setdefault("labels", {})[SKIP_MIRROR] = "true"
    else:
        service["spec"].pop("selector", None)
        _drop(service["metadata"], "labels", SKIP_MIRROR)
    return service


def claimed_service(present: Service) -> dict[str, Any]:
    """An owner's Service whose selector is about to go: its Endpoints get the label that keeps them from being mirrored."""
    service = copy.deepcopy(dict(present))
    _save(service, {}, None)
    service["metadata"].setdefault("labels", {})[SKIP_MIRROR] = "true"
    return service


def has_selector_of_owner(service: Service | None) -> bool:
    """A selector that this collection sets comes with the label; see `wanted_service`."""
    return mode(service) == PODS and SKIP_MIRROR not in ((service or {})["metadata"].get("labels") or {})


def saved(service: Service | None) -> dict[str, Any]:
    """What the owner had; empty where nothing of it was changed."""
    value: dict[str, Any] = json.loads(((service or {}).get("metadata") or {}).get("annotations", {}).get(SAVED, "{}"))
    return value


def with_saved(service: Service, **entries: Any) -> dict[str, Any]:
    """The Service with these entries added to what a rollback gives back."""
    changed = copy.deepcopy(dict(service))
    annotations = changed["metadata"].setdefault("annotations", {})
    annotations[SAVED] = json.dumps({**saved(service), **entries}, sort_keys=True)
    return changed


def owners_service(present: Service) -> dict[str, Any]:
    """The Service as its owner had it. Ports that the owner has changed meanwhile are left alone."""
    service = copy.deepcopy(dict(present))
    before = saved(present)
    if not before:
        return service
    for port in service["spec"].get("ports") or []:
        key = _port_key(port)
        if key in before.get("target_ports", {}):
            port["targetPort"] = before["target_ports"][key]
    if before.get("selector"):
        service["spec"]["selector"] = before["selector"]
    else:
        service["spec"].pop("selector", None)
    _drop(service["metadata"], "annotations", SAVED)
    _drop(service["metadata"], "labels", SKIP_MIRROR)
    return service


def _save(service: dict[str, Any], roles: Mapping[str, str], selector: Mapping[str, str] | None) -> None:
    """Add to the annotation what is about to change and is the owner's."""
    before = saved(service)
    target_ports = dict(before.get("target_ports", {}))
    for port in service["spec"].get("ports") or []:
        role = roles.get(port.get("name", ""))
        target = port.get("targetPort", port["port"])
        if role is not None and target != role:
            target_ports.setdefault(_port_key(port), target)
    entries: dict[str, Any] = {"target_ports": target_ports} if target_ports else {}
    if has_selector_of_owner(service) and service["spec"]["selector"] != selector:
        entries["selector"] = service["spec"]["selector"]
    if {**before, **entries} != before:
        service["metadata"] = with_saved(service, **entries)["metadata"]


def _port_key(port: Mapping[str, Any]) -> str:
    return f"{port['port']}/{port.get('protocol', 'TCP')}"


def _drop(metadata: dict[str, Any], field: str, key: str) -> None:
    """Remove a key, and the field with it where it was the last."""
    if key in (metadata.get(field) or {}):
        del metadata[field][key]
        if not metadata[field]:
            del metadata[field]


def differs(present: Service | None, wanted: Service) -> bool:
    return (
        present is None
        or any(
            (present["metadata"].get(field) or {}) != (wanted["metadata"].get(field) or {})
            for field in ("labels", "annotations")
        )
        or present["spec"] != wanted["spec"]
    )


def option_errors(params: Mapping[str, Any]) -> list[str]:
    """What is wrong with the module's options beyond what their types say."""
    errors = [
        f"ports.{name} is {number!r}; a port is between 1 and 65535"
        for name, number in params["ports"].items()
        if not _is_port(number)
    ]
    if not params["ports"]:
        errors.append("ports is empty; name the daemons' ports")
    for endpoint in params["endpoints"] or []:
        missing = sorted(set(params["ports"]) - set(endpoint["ports"]))
        if missing:
            errors.append(f"the endpoint {endpoint['ip']} has no port {', '.join(missing)}")
        errors += [
            f"the endpoint {endpoint['ip']} has the port {name} {number!r}; a port is between 1 and 65535"
            for name, number in endpoint["ports"].items()
            if not _is_port(number)
        ]
    if params["point_to"] == ENDPOINTS and not params["endpoints"]:
        errors.append("endpoints is empty; a Service without targets is an outage")
    if params["point_to"] == PODS and not params["selector"]:
        errors.append("selector is empty; it would match every pod of the namespace")
    return errors


def _is_port(value: Any) -> bool:
    # A templated number may arrive as text.
    return not isinstance(value, bool) and str(value).isascii() and str(value).isdigit() and 1 <= int(value) <= 65535

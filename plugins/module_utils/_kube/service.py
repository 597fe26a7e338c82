# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Service object: its mode, and what it has to become."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

ENDPOINTS = "endpoints"
PODS = "pods"
ABSENT = "absent"


def mode(service: Mapping[str, Any] | None) -> str:
    """Who decides where it leads: its own Endpoints object, the pods its selector finds, or nobody."""
    if service is None:
        return ABSENT
    return PODS if service["spec"].get("selector") else ENDPOINTS


def ports_of(service: Mapping[str, Any] | None) -> dict[str, int]:
    return {port.get("name", ""): int(port["port"]) for port in ((service or {}).get("spec") or {}).get("ports") or []}


def wanted_service(
    present: Mapping[str, Any] | None,
    namespace: str,
    name: str,
    ports: Mapping[str, int],
    selector: Mapping[str, str] | None,
) -> dict[str, Any]:
    """The Service with these ports and this selector; whatever else the present one has is kept.

    A target port is always the port's name: a number would be the same for all pods, and while ports change one by one
    it would be wrong for half of them.
    """
    if present is None:
        service: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"ports": []},
        }
    else:
        service = copy.deepcopy(dict(present))
    spec = service["spec"]
    kept = list(spec.get("ports") or [])
    for port_name, number in ports.items():
        entry = _entry_for(kept, port_name, number)
        entry.update({"name": port_name, "port": number, "protocol": "TCP", "targetPort": port_name})
    spec["ports"] = kept
    if selector:
        spec["selector"] = dict(selector)
    else:
        spec.pop("selector", None)
    return service


def _entry_for(entries: list[dict[str, Any]], name: str, number: int) -> dict[str, Any]:
    """The port of that name; else one that has its number already, since no two may share one; else a new one."""
    for entry in entries:
        if entry.get("name") == name:
            return entry
    for entry in entries:
        if entry["port"] == number and entry.get("protocol", "TCP") == "TCP":
            return entry
    entries.append({})
    return entries[-1]


def differs(present: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    return present is None or present["spec"] != wanted["spec"]


def option_faults(params: Mapping[str, Any]) -> list[str]:
    """What is wrong with the module's options beyond what their types say."""
    faults = [
        f"ports.{name} is {number!r}; a port is between 1 and 65535"
        for name, number in params["ports"].items()
        if not _is_port(number)
    ]
    if not params["ports"]:
        faults.append("ports is empty; name the Service's ports")
    for endpoint in params["endpoints"] or []:
        missing = sorted(set(params["ports"]) - set(endpoint["ports"]))
        if missing:
            faults.append(f"the endpoint {endpoint['ip']} has no port {', '.join(missing)}")
        faults += [
            f"the endpoint {endpoint['ip']} has the port {name} {number!r}; a port is between 1 and 65535"
            for name, number in endpoint["ports"].items()
            if not _is_port(number)
        ]
    if params["lead_to"] == ENDPOINTS and not params["endpoints"]:
        faults.append("endpoints is empty; a Service that leads nowhere is an outage")
    if params["lead_to"] == PODS and not params["selector"]:
        faults.append("selector is empty; it would match every pod of the namespace")
    return faults


def _is_port(value: Any) -> bool:
    # A templated number may arrive as text.
    return not isinstance(value, bool) and str(value).isascii() and str(value).isdigit() and 1 <= int(value) <= 65535

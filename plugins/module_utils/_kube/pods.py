# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Pod object says: pure predicates and facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Pod = dict[str, Any]
REVISION_LABEL = "controller-revision-hash"


def is_terminating(pod: Pod) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_ready(pod: Pod) -> bool:
    """As the endpoints controllers judge it: Ready, and not on its way out."""
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready and not is_terminating(pod)


def is_running(pod: Pod) -> bool:
    """Every container runs, Ready or not: what a member of a cluster without a leader looks like."""
    statuses = container_statuses(pod)
    running = [status for status in statuses if "running" in (status.get("state") or {})]
    return len(running) == len(pod["spec"]["containers"]) and not is_terminating(pod)


def is_accepted(pod: Pod) -> bool:
    """Scheduled, and taken up by the kubelet of its node, which is what the start time says."""
    status = pod.get("status", {})
    alive = status.get("phase", "Pending") in ("Pending", "Running")
    return bool(pod["spec"].get("nodeName") and status.get("startTime")) and alive and not is_terminating(pod)


CONDITIONS: dict[str, Callable[[Pod], bool]] = {"accepted": is_accepted, "running": is_running, "ready": is_ready}


def container_statuses(pod: Pod) -> list[dict[str, Any]]:
    return pod.get("status", {}).get("containerStatuses") or []


def restart_count(pod: Pod) -> int:
    return sum(int(status.get("restartCount", 0)) for status in container_statuses(pod))


def revision(pod: Pod) -> str | None:
    value: str | None = (pod["metadata"].get("labels") or {}).get(REVISION_LABEL)
    return value


def node_of(pod: Pod) -> str | None:
    """The node a pod runs on, or the one its DaemonSet made it for while it is not scheduled yet."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or []:
        for field in term.get("matchFields") or []:
            if field.get("key") == "metadata.name" and len(field.get("values") or []) == 1:
                return str(field["values"][0])
    return None


def waiting_reason(pod: Pod) -> str | None:
    """Why a container does not run, in Kubernetes' own words; before there is a container, why it is not scheduled."""
    status = pod.get("status", {})
    for container in (status.get("initContainerStatuses") or []) + container_statuses(pod):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return _words(waiting)
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _words(condition)
    return None


def last_termination(pod: Pod) -> dict[str, Any] | None:
    """How a container ended last, whether it has been started again or not."""
    for container in container_statuses(pod):
        ended = (container.get("state") or {}).get("terminated") or (container.get("lastState") or {}).get("terminated")
        if ended:
            return {
                "container": container["name"],
                "exit_code": ended.get("exitCode"),
                "reason": ended.get("reason"),
                "message": (ended.get("message") or "").strip(),
            }
    return None


def container_port(pod: Pod, name: str, protocol: str = "TCP") -> int | None:
    """The number a named port has in this very pod, as the endpoints controllers look it up."""
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or []:
            if port.get("name") == name and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def describe(pod: Pod, current_revision: str | None) -> dict[str, Any]:
    """The facts that modules return about a pod."""
    status = pod.get("status", {})
    return {
        "node": node_of(pod),
        "pod": pod["metadata"]["name"],
        "uid": pod["metadata"]["uid"],
        "phase": status.get("phase", "Pending"),
        "terminating": is_terminating(pod),
        "running": is_running(pod),
        "ready": is_ready(pod),
        "restarts": restart_count(pod),
        "host_ip": status.get("hostIP"),
        "revision": revision(pod),
        "current": revision(pod) is not None and revision(pod) == current_revision,
        "images": [container["image"] for container in pod["spec"]["containers"]],
        "waiting_reason": waiting_reason(pod),
    }


def why_not(pod: Pod, wanted: str, current_revision: str | None) -> str | None:
    """One clause that says why a pod is not yet as wanted; None where it is."""
    name = pod["metadata"]["name"]
    if is_terminating(pod):
        return f"{name} is still stopping"
    if current_revision is not None and revision(pod) != current_revision:
        return f"{name} has revision {revision(pod)}, wanted {current_revision}"
    if wanted not in CONDITIONS or CONDITIONS[wanted](pod):
        return None
    reason = waiting_reason(pod)
    ended = last_termination(pod)
    details = [f"waiting: {reason}" if reason else f"phase {pod.get('status', {}).get('phase', 'Pending')}"]
    if ended:
        details.append(
            f"last exited with code {ended['exit_code']} {ended['message'] or ended['reason'] or ''}".strip()
        )
    return f"{name} is not {wanted} ({', '.join(details)}, {restart_count(pod)} restarts)"


def _words(state: dict[str, Any]) -> str:
    return ": ".join(filter(None, [state.get("reason"), (state.get("message") or "").strip()]))

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong with a Pi, as commands."""

from __future__ import annotations

import json
import os

from . import machines, settings
from .kubernetes.provider import Provider
from .objects import kubectl
from .shell import LabError
from .state import Node, State

BALLAST = ".pi-lab-ballast"
KEPT_FREE = 16 * 1024


def kill(node: Node, name: str, signal: str = "KILL") -> list[int]:
    """Send a signal to every process of that name in the host, and in no other; returns their numbers there."""
    seen = machines.execute(node, ["ps", "-e", "-o", "pid=,comm="]).stdout
    pids = [int(line.split()[0]) for line in seen.splitlines() if line.split()[1] == name[:15]]
    if not pids:
        raise LabError(f"{node.name}: no process is named '{name}': see `python3 -m tests.lab exec {node.name} -- ps -e`.")
    machines.execute(node, ["kill", f"-{signal.removeprefix('SIG')}", *map(str, pids)], check=False)
    return pids


def stop_pod(node: Node, provider: Provider) -> str:
    """Delete the host's pod, as an eviction would."""
    listed = kubectl(provider, "-n", settings.NAMESPACE, "get", "pods", "--field-selector", f"spec.nodeName={node.name}", "-o", "json")
    names = [pod["metadata"]["name"] for pod in json.loads(listed)["items"]]
    if not names:
        raise LabError(f"{node.name}: there is no pod in the namespace {settings.NAMESPACE}.")
    kubectl(provider, "-n", settings.NAMESPACE, "delete", "pod", *names, "--wait=false")
    return ", ".join(names)


def fill(node: Node, path: str, provider: Provider) -> int:
    """Leave almost no room on the host's own disk below `path`; returns the bytes taken."""
    if any(path.rstrip("/").startswith(outside) for outside in provider.disk_folders):
        raise LabError(f"{node.name}: {path} lies on the machine's own disk, which is never filled: take another folder.")
    folder = machines.root(node) / path.strip("/")
    if not folder.is_dir():
        raise LabError(f"{node.name}: there is no folder {path}.")
    free = os.statvfs(node.folder / "disk")
    size = max(0, free.f_bavail * free.f_frsize - KEPT_FREE)
    machines.execute(node, ["fallocate", "-l", str(size), f"{path}/{BALLAST}"])
    return size


def unfill(node: Node, path: str) -> None:
    machines.execute(node, ["rm", "-f", f"{path}/{BALLAST}"])


def stop_api(state: State, provider: Provider) -> None:
    machines.execute(state.nodes[0], ["systemctl", "stop", provider.api_unit])


def start_api(state: State, provider: Provider) -> None:
    machines.execute(state.nodes[0], ["systemctl", "start", provider.api_unit], timeout=120)

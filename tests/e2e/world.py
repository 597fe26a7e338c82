# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a migration would change first, on the Pis and in Kubernetes: equal before and after a run that changes nothing."""

from __future__ import annotations

import difflib
from typing import Any

from tests.e2e import hosts as on
from tests.e2e import rehearsal

# Where a migration writes. Who reads a database leaves a mark in its -shm, which holds locks and no content, and an empty -wal
# beside one that no other process has open.
FOLDERS = "/var/lib/pi-controller /etc/pi-controller /etc/systemd/system"
FILES = f"find {FOLDERS} -type f ! -name '*-shm' ! '(' -name '*-wal' -size 0 ')' -exec sha256sum {{}} + | sort -k 2"

# The container network makes its folder with the first pod that has an address, whenever the kubelet gets to it.
LISTING = "ls -A --ignore=cni /var/lib /var/backups /etc/systemd/system"


def world(names: list[str]) -> dict[str, Any]:
    """By host, and under `kubernetes`."""
    listed: dict[str, Any] = {}
    for name in names:
        pi = on.host(name)
        listed[name] = {
            "folders": pi.run_expect([0], LISTING).stdout,
            "files": pi.run_expect([0], FILES).stdout,
            "unit": on.unit_state(pi),
            "rules": on.gate_rules(pi),
            "ports": on.listening(pi),
        }
    # (`get all` has no Leases and no ConfigMaps.)
    kinds = "daemonsets,services,endpointslices,configmaps,leases,pods"
    objects = rehearsal.kubectl_json("-n", "pi-controller", "get", kinds)["items"]
    listed["kubernetes"] = {(item["kind"], item["metadata"]["name"]): without_status(item) for item in objects}
    return listed


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A line for each thing that is not as it was."""
    found: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, {}), after.get(name, {})
        for thing in sorted(old.keys() | new.keys(), key=str):
            was, now = old.get(thing), new.get(thing)
            if was == now:
                continue
            if isinstance(was, str) and isinstance(now, str):
                # Behind the names of two files.
                lines = list(difflib.unified_diff(was.splitlines(True), now.splitlines(True), n=0))[2:]
                found += [f"{name}: {line.rstrip()}" for line in lines if not line.startswith("@@")]
            else:
                found.append(f"{name}: {thing}: {was!r} before, {now!r} after")
    return found


def without_status(item: dict[str, Any]) -> dict[str, Any]:
    """What its owner has asked for. The status is written by controllers and kubelets whenever they look, and counts up the version."""
    metadata = {
        name: value for name, value in item["metadata"].items() if name not in ("resourceVersion", "managedFields")
    }
    return {**{name: value for name, value in item.items() if name != "status"}, "metadata": metadata}

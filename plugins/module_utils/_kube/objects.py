# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single objects of the few kinds that the migration makes or changes itself."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

from .._core.waiting import wait_until
from .api import CONFLICT, KubeApi, KubeError

PREFIXES = {"Namespace": "/api/v1", "Service": "/api/v1", "Pod": "/api/v1", "DaemonSet": "/apis/apps/v1"}
CONFLICT_RETRIES = 5
Object = dict[str, Any]


def folder_of(kind: str, namespace: str | None) -> str:
    """The path below which objects of this kind are; `namespace` is None for a Namespace itself."""
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{PREFIXES[kind]}{inside}/{kind.lower()}s"


def desired(present: Mapping[str, Any], definition: Mapping[str, Any]) -> Object:
    """The present object with the definition's parts in place of its own; labels and annotations are added to those
    it has.
    """
    wanted = copy.deepcopy(dict(present))
    for key, value in definition.items():
        if key not in ("metadata", "status"):
            wanted[key] = copy.deepcopy(value)
    for key in ("labels", "annotations"):
        added = (definition.get("metadata") or {}).get(key)
        if added:
            wanted["metadata"][key] = {**(wanted["metadata"].get(key) or {}), **added}
    return wanted


# In place of a value.
HIDDEN = "(set)"


def content(obj: Mapping[str, Any] | None) -> Object:
    """What a difference is about: everything but the status and what the API server keeps books of."""
    if obj is None:
        return {}
    kept = {key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion", "kind")}
    metadata = obj.get("metadata") or {}
    return {**kept, "labels": metadata.get("labels") or {}, "annotations": metadata.get("annotations") or {}}


def shown(obj: Mapping[str, Any]) -> Object:
    """The object as people may see it, in a diff or with -v: a variable of a container may be a secret."""
    template = ((obj.get("spec") or {}).get("template") or {}).get("spec") or {}
    if not template.get("containers"):
        return dict(obj)
    containers = [
        {**container, "env": [_without_value(entry) for entry in container["env"]]}
        if container.get("env")
        else container
        for container in template["containers"]
    ]
    spec = {**obj["spec"], "template": {**obj["spec"]["template"], "spec": {**template, "containers": containers}}}
    return {**obj, "spec": spec}


def _without_value(entry: Mapping[str, Any]) -> Object:
    return {**entry, "value": HIDDEN} if "value" in entry else dict(entry)


class ObjectEditor:
    """One object: made, changed or deleted. With `dry_run` the API server answers what it would do, and does
    nothing.
    """

    def __init__(self, api: KubeApi, definition: Mapping[str, Any], *, dry_run: bool = False) -> None:
        self.api = api
        self.definition = {key: value for key, value in definition.items() if key != "status"}
        self.dry_run = dry_run
        metadata = definition["metadata"]
        self.folder = folder_of(definition["kind"], metadata.get("namespace"))
        self.path = f"{self.folder}/{metadata['name']}"

    def look(self) -> Object | None:
        return self.api.read(self.path)

    def put(self, *, create: bool = True, change: bool = True) -> tuple[Object | None, Object | None]:
        """The object before and after; `create` and `change` say what may be done. Both are None where it is
        missing and must not be made.
        """
        for tries_left in reversed(range(CONFLICT_RETRIES)):
            present = self.look()
            try:
                if present is None:
                    return None, self.api.create(
                        self.folder, dict(self.definition), dry_run=self.dry_run
                    ) if create else None
                if not change:
                    return present, present
                wanted = desired(present, self.definition)
                return present, self.api.replace(
                    self.path, wanted, dry_run=self.dry_run
                ) if wanted != present else present
            except KubeError as error:
                # A controller was faster, or another one that makes the same object.
                if error.status != CONFLICT or not tries_left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def delete(self, wait_timeout: float) -> Object | None:
        """Delete it, and what it owns before it; returns what was there. Waits until it is gone."""
        deadline = time.monotonic() + wait_timeout
        present = self.look()
        if present is None or self.dry_run:
            return present
        self.api.delete(self.path, present["metadata"]["uid"], propagation="Foreground")
        uid = present["metadata"]["uid"]

        def gone() -> bool:
            found = self.look()
            return found is None or found["metadata"]["uid"] != uid

        if not wait_until(gone, bool, max(0.0, deadline - time.monotonic()), interval=0.5).met:
            kind, name = self.definition["kind"], self.definition["metadata"]["name"]
            raise KubeError(
                f"the {kind} {name} is not gone {wait_timeout:.0f} s after it was deleted",
                url=self.path,
                seen="present",
                wanted="gone",
                next_step=f"see what keeps it (kubectl get {kind.lower()} {name} -o yaml: finalizers, pods that do not stop), "
                "then run the same command again",
            )
        return present

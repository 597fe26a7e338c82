# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes API as plain objects by path, and the one place where its errors become sentences.

Authentication is kubernetes.core's own, so that its options and K8S_AUTH_* variables mean the same here. Its dynamic
client is used for requests only: a handful of fixed paths needs no discovery, which would cost time in a write pause.
"""

from __future__ import annotations

import json
from typing import Any, Callable

from .._core.failures import RaftError
from .._core.waiting import wait_until

try:
    from kubernetes.client.exceptions import ApiException
    from kubernetes.dynamic.exceptions import DynamicApiError
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
except ImportError:  # AnsibleK8SModule tells the user which library is missing.
    ApiException = DynamicApiError = HTTPError = OSError  # type: ignore[assignment,misc]
    ConnectTimeoutError = NewConnectionError = ConnectionRefusedError  # type: ignore[assignment,misc]

REQUEST_TIMEOUT = 10
# A K3s server that restarts is away for half a minute on a slow Pi. A look may wait for it, and so may a write that never left:
# one that may have arrived is not repeated.
READ_PATIENCE = 45.0
NEVER_LEFT = (NewConnectionError, ConnectTimeoutError, ConnectionRefusedError)
CONFLICT = 409


class KubeError(RaftError):
    """What the Kubernetes API, or an object in it, is not as it should be; `url` is the object's path."""

    never_left = False


def core(namespace: str, kind: str, name: str = "") -> str:
    return "/".join(filter(None, ["/api/v1/namespaces", namespace, kind, name]))


def apps(namespace: str, kind: str, name: str = "") -> str:
    return "/".join(filter(None, ["/apis/apps/v1/namespaces", namespace, kind, name]))


def slices_path(namespace: str, name: str = "") -> str:
    return "/".join(filter(None, ["/apis/discovery.k8s.io/v1/namespaces", namespace, "endpointslices", name]))


def selector_text(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


class KubeApi:
    """`client` is kubernetes.core's dynamic client, or anything with the same `request`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, path: str, **query: Any) -> dict[str, Any] | None:
        """The object at `path`, or None where there is none."""

        def away(error: KubeError) -> bool:
            return error.status is None or error.status == 429 or error.status >= 500

        try:
            return _patiently(lambda: self._request("get", path, **query), away)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str, *, labels: str | None = None, fields: str | None = None) -> list[dict[str, Any]]:
        listed = self.read(path, label_selector=labels, field_selector=fields)
        items: list[dict[str, Any]] = (listed or {}).get("items") or []
        return items

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._write("post", path, body)

    def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body carries the resourceVersion that was read, so a change made meanwhile is a conflict, not a loss."""
        return self._write("put", path, body)

    def delete(self, path: str, uid: str, version: str | None = None) -> bool:
        """Delete the very object that was looked at; False where it, or that one of its name, is gone already.

        With `version` also where somebody has changed it since.
        """
        preconditions = {"uid": uid, **({"resourceVersion": version} if version else {})}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        try:
            self._write("delete", path, options)
        except KubeError as error:
            if error.status in (404, CONFLICT):
                return False
            raise
        return True

    def _write(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _patiently(lambda: self._request(method, path, body=body), lambda error: error.never_left)

    def _request(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, serialize=False, _request_timeout=REQUEST_TIMEOUT, **params)
        except (DynamicApiError, ApiException) as error:
            raise KubeError(
                f"{method.upper()} {path} was answered {error.status}: {_message(error)}",
                url=path,
                status=int(error.status or 0),
                next_step=_next_step(int(error.status or 0)),
            ) from error
        except (HTTPError, OSError) as error:
            away = KubeError(
                f"{method.upper()} {path}: the Kubernetes API does not answer: {error}",
                url=path,
                next_step="see that the API server runs and that `kubeconfig` or `host` leads to it from here",
            )
            away.never_left = isinstance(getattr(error, "reason", error), NEVER_LEFT)
            raise away from error
        result: dict[str, Any] = json.loads(answer.data or "{}")
        return result


def _patiently(attempt: Callable[[], dict[str, Any]], again: Callable[[KubeError], bool]) -> dict[str, Any]:
    """What the attempt gives; repeated while its error is one to wait for."""

    def look() -> dict[str, Any] | KubeError:
        try:
            return attempt()
        except KubeError as error:
            return error

    seen = wait_until(look, lambda seen: not (isinstance(seen, KubeError) and again(seen)), READ_PATIENCE, interval=0.5).value
    if isinstance(seen, KubeError):
        raise seen
    return seen


def _message(error: Any) -> str:
    """The API's own words where it has some."""
    try:
        return str(json.loads(error.body)["message"])
    except (KeyError, TypeError, ValueError):
        return str(error.reason or error.body)


def _next_step(status: int) -> str | None:
    if status in (401, 403):
        return "use a `kubeconfig` or `context` whose user may do this"
    if status == CONFLICT:
        return "something else changes this object; find out what, then run again"
    return None


def connect(module: Any) -> KubeApi:
    """An API client from the module's options, as kubernetes.core makes it: it asks the API for its version, so it waits like a look."""
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

    def attempt() -> dict[str, Any]:
        try:
            return {"client": get_api_client(module).client}
        except (CoreException, HTTPError, OSError) as error:
            failed = KubeError(
                f"cannot connect to Kubernetes: {error}",
                next_step="set `kubeconfig` (and `context`), or `host` with its credentials",
            )
            # kubernetes.core passes on the text alone.
            failed.never_left = any(words in str(error) for words in ("Max retries exceeded", "Connection refused"))
            raise failed from error

    return KubeApi(_patiently(attempt, lambda error: error.never_left)["client"])

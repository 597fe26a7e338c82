# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes API as plain objects by path, and the one place where its errors become sentences.

Authentication is kubernetes.core's own, so that its options and K8S_AUTH_* variables mean the same here. Requests go
to a handful of fixed paths, so there is no discovery: it would cost time in a write pause. Every request has a limit
of time.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Callable

from .._core.failures import MigrationError
from .._core.text import visible
from .._core.waiting import wait_until
from .outage import OutageMemory, cause_of, is_final, reason_of, server_of

try:
    from kubernetes.client.exceptions import ApiException
    from kubernetes.dynamic.exceptions import DynamicApiError
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
except ImportError:  # AnsibleK8SModule tells the user which library is missing.
    ApiException = DynamicApiError = HTTPError = OSError  # type: ignore[assignment,misc]
    ConnectTimeoutError = NewConnectionError = ConnectionRefusedError  # type: ignore[assignment,misc]

# Seconds until a connection is up, and between two parts of an answer.
CONNECT_TIMEOUT, REQUEST_TIMEOUT = 5.0, 10.0
# A K3s server that restarts is away for half a minute on a slow Pi. A look may wait for it, and so may a write that
# never left: one that may have arrived is not repeated.
READ_PATIENCE = 45.0
NEVER_LEFT = (NewConnectionError, ConnectTimeoutError, ConnectionRefusedError)
CONFLICT = 409
# What K3s answers, with 503, until its API server is there. Any other 503 may come of a write that has arrived.
NOT_READY = "apiserver not ready"
START = (
    "start the API server (on K3s: systemctl start k3s on a server) and run the same command again; where it runs, "
    "check that `kubeconfig` or `host` points to it from here"
)


class KubeError(MigrationError):
    """What the Kubernetes API, or an object in it, is not as it should be; `url` is the object's path."""

    never_left = False
    # The API server's own message, where it answered.
    api_message = ""


class Unreachable(KubeError):
    """No answer of the API server. `reason` is a clause, `server` its address where that is known."""

    def __init__(
        self, reason: str, server: str | None, *, url: str | None = None, lasted: float = 0.0, never_left: bool = False
    ) -> None:
        self.reason, self.server, self.url, self.never_left = reason, server, url, never_left
        at = f" at {server}" if server else ""
        lasting = f", for {lasted:.0f} s now" if lasted >= 1 else ""
        super().__init__(
            f"the Kubernetes API{at} is unreachable ({reason}){lasting}",
            url=url,
            seen="unreachable",
            wanted="an answer",
            next_step=START,
        )

    @classmethod
    def from_error(cls, error: BaseException, url: str | None = None) -> KubeError:
        if is_final(error):
            return KubeError(
                f"the Kubernetes API at {server_of(error) or 'this address'} shows a certificate that is not trusted here: "
                f"{reason_of(error)}",
                url=url,
                next_step="use the API server's own kubeconfig, or an address that its certificate has",
            )
        return cls(reason_of(error), server_of(error), url=url, never_left=isinstance(cause_of(error), NEVER_LEFT))

    def since(self, began: float) -> Unreachable:
        lasted = time.time() - began
        return Unreachable(self.reason, self.server, url=self.url, lasted=lasted, never_left=self.never_left)


class Patience:
    """How long an API server that is away is waited for: once in a run, until it answers again."""

    def __init__(self, memory: OutageMemory | None = None, seconds: float | None = None) -> None:
        self.memory = memory or OutageMemory()
        self.seconds = seconds

    def take(self, attempt: Callable[[], dict[str, Any]], again: Callable[[KubeError], bool]) -> dict[str, Any]:
        """What the attempt gives; repeated while its error is one to wait for."""

        def look() -> dict[str, Any] | KubeError:
            try:
                return attempt()
            except KubeError as error:
                return error

        known = self.memory.since
        began = time.time() if known is None else known
        patience = 0.0 if known is not None else READ_PATIENCE if self.seconds is None else self.seconds

        def settled(seen: dict[str, Any] | KubeError) -> bool:
            return not (isinstance(seen, KubeError) and again(seen))

        seen = wait_until(look, settled, patience, interval=0.5).value
        if isinstance(seen, Unreachable):
            if patience and again(seen):
                self.memory.remember(began)
            raise seen.since(began)
        if known is not None:
            self.memory.forget()
        if isinstance(seen, KubeError):
            raise seen
        return seen


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

    def __init__(self, client: Any, patience: Patience | None = None) -> None:
        self._client = client
        self._patience = patience or Patience()

    def read(self, path: str, **query: Any) -> dict[str, Any] | None:
        """The object at `path`, or None where there is none."""

        try:
            return self._patience.take(lambda: self._request("get", path, **query), _is_away)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str, *, labels: str | None = None, fields: str | None = None) -> list[dict[str, Any]]:
        listed = self.read(path, label_selector=labels, field_selector=fields)
        items: list[dict[str, Any]] = (listed or {}).get("items") or []
        return items

    def create(self, path: str, body: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """With `dry_run` all checks of the API server are made, and nothing else."""
        return self._write("post", path, body, dry_run)

    def replace(self, path: str, body: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """The body carries the resourceVersion that was read, so a change made meanwhile is a conflict, not a loss."""
        return self._write("put", path, body, dry_run)

    def delete(self, path: str, uid: str, version: str | None = None, propagation: str | None = None) -> bool:
        """Delete the very object that was looked at; False where it, or that one of its name, is gone already.

        With `version` also where another client has changed it since.
        """
        preconditions = {"uid": uid, **({"resourceVersion": version} if version else {})}
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        if propagation:
            options["propagationPolicy"] = propagation
        try:
            self._write("delete", path, options)
        except KubeError as error:
            if error.status in (404, CONFLICT):
                return False
            raise
        return True

    def _write(self, method: str, path: str, body: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        query = {"dry_run": "All"} if dry_run else {}

        def attempt() -> dict[str, Any]:
            return self._request(method, path, body=body, **query)

        return self._patience.take(attempt, _never_taken)

    def _request(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        timeouts = (CONNECT_TIMEOUT, REQUEST_TIMEOUT)
        try:
            answer = self._client.request(method, path, serialize=False, _request_timeout=timeouts, **params)
        except (DynamicApiError, ApiException) as error:
            answered = KubeError(
                f"{method.upper()} {path} was answered {error.status}: {_message(error)}",
                url=path,
                status=int(error.status or 0),
                next_step=_next_step(int(error.status or 0)),
            )
            answered.api_message = visible(_message(error))
            raise answered from error
        except (HTTPError, OSError) as error:
            raise Unreachable.from_error(error, path) from error
        result: dict[str, Any] = json.loads(answer.data or "{}")
        return result


def _never_taken(error: KubeError) -> bool:
    """Whether a write has changed nothing, so that it can be repeated."""
    if error.status == 503:
        return NOT_READY in str(error)
    return error.never_left or error.status == 429


def _is_away(error: KubeError) -> bool:
    """Whether a look is worth repeating."""
    if error.status is None:
        return isinstance(error, Unreachable)
    return error.status == 429 or error.status >= 500


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
        return "something else changes this object; find out what, then run the same command again"
    return None


def forget_credentials() -> None:
    """Remove the files that the client library has made of the kubeconfig's key and certificates.

    It does so itself at the exit of a process, but a forked one that ends with `os._exit` has none, and nor has one of `multiprocessing`
    before Python 3.13. The library has no public way that needs no files.
    """
    remove = getattr(sys.modules.get("kubernetes.config.kube_config"), "_cleanup_temp_files", None)
    if remove is not None:
        remove()


def connect(module: Any, patience: float | None = None) -> KubeApi:
    """An API client from the module's options. Nothing is asked yet.

    `patience` is how many seconds to wait for an API server that is away; by default as long as one may take to
    restart.
    """
    # kubernetes.core's own way to make the client asks for all kinds of objects there are, without any limit of time.
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as kubernetes_core
    from kubernetes.client import ApiClient
    from kubernetes.config import ConfigException
    from kubernetes.dynamic import DynamicClient
    from urllib3.util import Retry

    try:
        configuration = kubernetes_core._create_configuration(kubernetes_core._create_auth_spec(module))
        # By default urllib3 tries each request four times. An answer that was cut off is asked for once more: a
        # repeated PUT or DELETE names the version it was made from, so it is a conflict at worst.
        configuration.retries = Retry(total=1, connect=0, read=1, redirect=0, status=0, other=0)
        client = ApiClient(configuration)
        for header, value in kubernetes_core._create_headers(module).items():
            kubernetes_core._set_header(client, header, value)
    except (ConfigException, OSError) as error:
        raise KubeError(
            f"cannot connect to Kubernetes: {error}",
            next_step="set `kubeconfig` (and `context`), or `host` with its credentials",
        ) from error
    waiting = Patience(OutageMemory.of_this_run(), patience)
    return KubeApi(DynamicClient(client, discoverer=lambda _client, _cache_file: None), waiting)

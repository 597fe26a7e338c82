# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""REST client for a daemon's Raft calls; the standard library only, since it runs on the Pi.

`http.client` and not `urllib`: it knows no proxies (a Pi's `http_proxy` must never see these calls), and it can choose
the source address, which is what carries the migration's own requests through the traffic gate.
"""

from __future__ import annotations

import errno
import http.client
import ipaddress
import json
import os
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from .._core.failures import RaftError
from .._core.operator import OPERATOR_ADDRESS
from .types import Member, NodeStatus, TakenSnapshot, parse_members, parse_status

# What the kernel answers when the operator's address cannot be the source of this connection.
_CANNOT_BIND = {errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES}


def is_local(host: str) -> bool:
    """Whether `host` is loopback or one of this machine's own IPv4 addresses."""
    try:
        address = socket.gethostbyname(host)
    except OSError:
        return False
    if ipaddress.ip_address(address).is_loopback:
        return True
    # Only towards itself does the kernel choose the target as the source. Connecting a datagram socket sends nothing.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError:
            return False
        return bool(probe.getsockname()[0] == address)


class RaftClient:
    """The Raft calls of one daemon."""

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        validate_certs: bool = True,
        ca_path: str | None = None,
        timeout: float = 5.0,
    ) -> None:
        parts = urlsplit(base_url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise RaftError(
                f"{base_url!r} is not the base URL of a daemon",
                url=base_url,
                seen=base_url,
                wanted="http://ADDRESS:PORT or https://ADDRESS:PORT",
                next_step="correct the URL",
            )
        self.url = base_url.rstrip("/")
        self.host: str = parts.hostname
        self.port = port or (443 if parts.scheme == "https" else 80)
        self.timeout = timeout
        self._prefix = parts.path.rstrip("/")
        self._token = token
        self._tls = _tls_context(validate_certs, ca_path, self.url) if parts.scheme == "https" else None

    def status(self) -> NodeStatus:
        return parse_status(self.raw_status())

    def raw_status(self) -> dict[str, Any]:
        """The status as the daemon sends it, for a reader elsewhere."""
        return self._object("GET", "/api/v1/raft/status")

    def members(self) -> tuple[Member, ...]:
        return parse_members(self._object("GET", "/api/v1/raft/members").get("members"))

    def leader(self) -> str | None:
        """The Raft address of the leader this node knows."""
        return self._object("GET", "/api/v1/raft/leader").get("leader") or None

    def capabilities(self) -> frozenset[str]:
        """The optional calls of this release; today's releases know no such list, which is the empty one."""
        try:
            found = self._call("GET", "/api/v1/raft/capabilities")
        except RaftError as error:
            if error.status in (404, 405):
                return frozenset()
            raise
        if isinstance(found, dict):
            found = found.get("capabilities")
        if not isinstance(found, list):
            raise self._error("answered something else than a list of capabilities", 200, found, "a list of names")
        return frozenset(str(name) for name in found)

    def add_member(self, node_id: str, address: str, voter: bool | None = None) -> None:
        """Add a member, or update the address of a known one. `voter` is sent only where it is not None."""
        body: dict[str, Any] = {"node_id": node_id, "address": address}
        if voter is not None:
            body["voter"] = voter
        self._call("POST", "/api/v1/raft/members", body)

    def remove_member(self, node_id: str) -> None:
        self._call("DELETE", f"/api/v1/raft/members/{quote(node_id, safe='')}")

    def transfer(self, target_id: str) -> None:
        self._call("POST", "/api/v1/raft/leader/transfer", {"target_id": target_id})

    def set_read_only(self, enabled: bool) -> None:
        self._call("PUT", "/api/v1/raft/read-only", {"enabled": enabled})

    def read_only(self) -> bool:
        return bool(self._object("GET", "/api/v1/raft/read-only").get("enabled"))

    def snapshot(self, timeout: float | None = None) -> TakenSnapshot:
        found = self._object("POST", "/api/v1/raft/snapshot", timeout=timeout)
        if "id" not in found:
            raise self._error("took a snapshot but did not name it", 200, found, "id, index, term, size, path")
        return TakenSnapshot(
            id=str(found["id"]),
            index=found.get("index"),
            term=found.get("term"),
            size=found.get("size"),
            path=found.get("path"),
        )

    def restore(self, state: bytes | str | os.PathLike[str], timeout: float | None = None) -> None:
        """Replace the state of the whole cluster: by these bytes, or by a file's, which is streamed."""
        if isinstance(state, bytes):
            self._call("POST", "/api/v1/raft/restore", state, timeout=timeout)
            return
        with Path(state).open("rb") as file:
            self._call("POST", "/api/v1/raft/restore", file, timeout=timeout)

    def _object(self, method: str, path: str, *, timeout: float | None = None) -> dict[str, Any]:
        found = self._call(method, path, timeout=timeout)
        if not isinstance(found, dict):
            raise self._error(f"answered {method} {path} with something else than an object", 200, found, "an object")
        return found

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | IO[bytes] | None = None,
        timeout: float | None = None,
    ) -> Any:
        headers = {"Accept": "application/json", "Connection": "close"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        payload: bytes | IO[bytes] | None
        if isinstance(body, Mapping):
            headers["Content-Type"] = "application/json"
            payload = json.dumps(body).encode()
        else:
            payload = body
            if body is not None:
                headers["Content-Type"] = "application/octet-stream"
                # A file's length is told up front, so that it is streamed and not sent in chunks of unknown number.
                size = len(body) if isinstance(body, bytes) else os.fstat(body.fileno()).st_size
                headers["Content-Length"] = str(size)
        try:
            connection = self._connect(timeout or self.timeout)
            try:
                connection.request(method, self._prefix + path, body=payload, headers=headers)
                answer = connection.getresponse()
                status, text = answer.status, answer.read().decode("utf-8", "replace")
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise self._error(
                f"did not answer {method} {path}", None, str(error) or type(error).__name__, "an answer"
            ) from error
        return self._parse(method, path, status, text)

    def _parse(self, method: str, path: str, status: int, text: str) -> Any:
        try:
            found = json.loads(text) if text.strip() else {}
        except ValueError:
            found = None
        if 200 <= status < 300:
            if found is None:
                raise self._error(f"answered {method} {path} without JSON", status, text[:200], "JSON")
            return found
        said = found.get("error") if isinstance(found, dict) else None
        raise self._error(
            f"refused {method} {path} with {status}: {said or text[:200] or 'no reason given'}",
            status,
            found if isinstance(found, dict) else text[:200],
            "2xx",
        )

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if is_local(self.host):
            connection = self._connection(timeout, (OPERATOR_ADDRESS, 0))
            try:
                connection.connect()
                return connection
            except OSError as error:
                connection.close()
                if error.errno not in _CANNOT_BIND:
                    raise
        connection = self._connection(timeout, None)
        connection.connect()
        return connection

    def _connection(self, timeout: float, source: tuple[str, int] | None) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout, source_address=source)
        return http.client.HTTPSConnection(
            self.host, self.port, timeout=timeout, source_address=source, context=self._tls
        )

    def _error(self, what: str, status: int | None, seen: Any, wanted: str) -> RaftError:
        return RaftError(
            f"{self.url} {what}" + (f" ({seen})" if status is None else ""),
            url=self.url,
            status=status,
            seen=seen,
            wanted=wanted,
            next_step=_next_step(status),
        )


def _next_step(status: int | None) -> str:
    if status is None:
        return "check that the daemon runs and listens there (systemctl status pi-controller, kubectl get pods)"
    if status == 401:
        return "give a valid `token`"
    if status == 403:
        return "ask the leader instead"
    if status == 503:
        return "wait for a leader; where clustering is off, turn it on first"
    return "read the daemon's log on that host"


def _tls_context(validate_certs: bool, ca_path: str | None, url: str) -> ssl.SSLContext:
    try:
        folder = ca_path if ca_path and Path(ca_path).is_dir() else None
        context = ssl.create_default_context(cafile=None if folder else ca_path, capath=folder)
    except OSError as error:
        raise RaftError(
            f"cannot read the certificates in {ca_path} ({error})",
            url=url,
            seen=str(error),
            wanted="a PEM file or a folder of them",
            next_step="correct `ca_path`",
        ) from error
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

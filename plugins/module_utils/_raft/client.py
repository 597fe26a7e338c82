# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""REST client for a daemon's Raft calls; the standard library only, since it runs on the Pi.

`http.client` and not `urllib`: it knows no proxies (a Pi's `http_proxy` must never see these calls) and follows no
redirects, and the source address can be chosen, which is what carries the migration's own requests through the traffic
gate. Every call is bounded in time and size (see exchange.py), every answer is checked (see shape.py).
"""

from __future__ import annotations

import errno
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote, urlsplit

from .._core.failures import RaftError
from .._core.operator import OPERATOR_ADDRESS
from .._core.text import one_line
from .exchange import Deadline, Reply, exchange, open_socket
from .shape import (
    Unreadable,
    capabilities_answer,
    parse_json,
    read_only_answer,
    snapshot_answer,
    status_answer,
)
from .types import NodeStatus, TakenSnapshot, parse_status

T = TypeVar("T")
STATUS = "/api/v1/raft/status"
_VISIBLE = re.compile("[!-~]+")
_FORMS: tuple[Callable[[str], str], ...] = (
    str,
    lambda token: repr(token)[1:-1],
    # repr chooses its quotes by what else is in the text.
    lambda token: token.replace("\\", "\\\\").replace("'", "\\'"),
    lambda token: json.dumps(token)[1:-1],
    quote,
    lambda token: quote(token, safe=""),
)
# A shorter one is not looked for in answers: it would be found in any text.
SHORT_TOKEN = 8
DEEPEST = 40
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
        if "@" in parts.netloc:
            # Not shown: what is before the @ may be a password.
            raise RaftError(
                "the URL of a daemon names a user",
                wanted="http://ADDRESS:PORT or https://ADDRESS:PORT",
                next_step="take the part before the @ out of the URL; a daemon is given a `token`",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or not base_url.isprintable():
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
        self._token = _usable_token(token, self.url)
        # As it is, and as it stands in the text of an exception, in JSON and in a URL.
        forms = {form(self._token) for form in _FORMS} if self._token and len(self._token) >= SHORT_TOKEN else set()
        self._secrets = sorted(forms, key=len, reverse=True)
        self._tls = _tls_context(validate_certs, ca_path, self.url) if parts.scheme == "https" else None

    def status(self) -> NodeStatus:
        return self._read("GET", STATUS, parse_status)

    def raw_status(self) -> dict[str, Any]:
        """The status for a reader elsewhere, reduced to what is known of it (see shape.status_answer)."""
        return self._read("GET", STATUS, status_answer)

    def capabilities(self) -> frozenset[str]:
        """The optional calls of this release; today's releases know no such list, which is the empty one."""
        try:
            found = self._call("GET", "/api/v1/raft/capabilities")
        except RaftError as error:
            if error.status in (404, 405):
                return frozenset()
            raise
        return self._readable("GET", "/api/v1/raft/capabilities", found, capabilities_answer)

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
        return self._read("GET", "/api/v1/raft/read-only", read_only_answer)

    def snapshot(self, timeout: float | None = None) -> TakenSnapshot:
        return TakenSnapshot(**self._read("POST", "/api/v1/raft/snapshot", snapshot_answer, timeout=timeout))

    def restore(self, state: bytes | str | os.PathLike[str], timeout: float | None = None) -> None:
        """Replace the state of the whole cluster: by these bytes, or by a file's, which is streamed."""
        if isinstance(state, bytes):
            self._call("POST", "/api/v1/raft/restore", state, timeout=timeout)
            return
        with Path(state).open("rb") as file:
            self._call("POST", "/api/v1/raft/restore", file, timeout=timeout)

    def _read(self, method: str, path: str, check: Callable[[Any], T], *, timeout: float | None = None) -> T:
        return self._readable(method, path, self._call(method, path, timeout=timeout), check)

    def _readable(self, method: str, path: str, found: Any, check: Callable[[Any], T]) -> T:
        try:
            return check(found)
        except Unreadable as error:
            raise self._error(
                f"gave an unreadable answer to {method} {path}: {error}", 200, str(error), "an answer of pi-controller"
            ) from error

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
                # The length goes first, so that a file is streamed and not sent in chunks of unknown number.
                size = len(body) if isinstance(body, bytes) else os.fstat(body.fileno()).st_size
                headers["Content-Length"] = str(size)
        target, deadline = self._prefix + path, Deadline(timeout or self.timeout)
        try:
            reply = exchange(self._connect, self.host, self.port, method, target, headers, payload, deadline)
        except ssl.SSLError as error:
            raise self._error(
                f"did not answer {method} {path} over TLS",
                None,
                one_line(str(error)),
                "a certificate that names the address in the URL, and TLS that both sides know",
                _tls_step(error, self.host),
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._error(
                f"did not answer {method} {path}",
                None,
                one_line(self._without_token(str(error) or type(error).__name__)),
                "an answer",
            ) from error
        return self._parse(method, path, replace(reply, text=self._without_token(reply.text)))

    def _parse(self, method: str, path: str, reply: Reply) -> Any:
        status, text = reply.status, reply.text
        try:
            # Again, since a token may also come back in JSON's escapes.
            found = self._without_token(parse_json(text)) if text.strip() else {}
        except ValueError:
            found = None
        if 200 <= status < 300:
            if found is None:
                raise self._error(f"answered {method} {path} without readable JSON", status, one_line(text, 200), "JSON")
            return found
        if 300 <= status < 400:
            target = one_line(self._without_token(reply.location or "nowhere"), 200)
            raise self._error(
                f"redirected {method} {path} to {target} ({status}), and redirects are not followed", status, target, "2xx"
            )
        reason = found.get("error") if isinstance(found, dict) else None
        shown = one_line(reason if isinstance(reason, str) else text, 200)
        raise self._error(
            f"refused {method} {path} with {status}: {shown or 'no reason given'}",
            status,
            found if isinstance(found, dict) and len(text) <= 1000 else shown,
            "2xx",
        )

    def _without_token(self, value: Any, depth: int = 0) -> Any:
        """The value without the token in it, which a daemon may send back. One of a few characters is in any text."""
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, "(token)")
            return value
        if depth < DEEPEST and isinstance(value, dict):
            return {
                self._without_token(key): self._without_token(inner, depth + 1) for key, inner in value.items()
            }
        if depth < DEEPEST and isinstance(value, list):
            return [self._without_token(inner, depth + 1) for inner in value]
        return value if not isinstance(value, (dict, list)) else None

    def _connect(self, deadline: Deadline) -> socket.socket:
        if is_local(self.host):
            try:
                return open_socket(self.host, self.port, (OPERATOR_ADDRESS, 0), self._tls, deadline)
            except OSError as error:
                if error.errno not in _CANNOT_BIND:
                    raise
        return open_socket(self.host, self.port, None, self._tls, deadline)

    def _error(
        self, what: str, status: int | None, seen: Any, wanted: str, next_step: str | None = None
    ) -> RaftError:
        return RaftError(
            f"{self.url} {what}" + (f" ({seen})" if status is None else ""),
            url=self.url,
            status=status,
            seen=seen,
            wanted=wanted,
            next_step=next_step or _next_step(status),
        )


def _tls_step(error: ssl.SSLError, host: str) -> str:
    """What to do about a connection that was made and a handshake that was not."""
    reason = str(getattr(error, "verify_message", None) or error)
    if "mismatch" in reason or "not valid for" in reason:
        return f"have the daemon's certificate name {host} (subjectAltName), or set `pi_controller_address` to what it names"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "give the CA of the daemon's certificate as `ca_path` (`pi_controller_ca_path`); see that it has not expired"
    return "see that the daemon speaks TLS on this port (`pi_controller_scheme`), and whether it wants a client certificate"


def _usable_token(token: str | None, url: str) -> str | None:
    """The token as it goes into a header. One from a file often ends with a newline; it is never shown."""
    token = (token or "").rstrip("\r\n")
    if token and not _VISIBLE.fullmatch(token):
        raise RaftError(
            "the token cannot be sent: it has a character that is not visible ASCII",
            url=url,
            wanted="a token of visible ASCII characters on one line",
            next_step="correct `token` (`pi_controller_token` in the inventory); its value is not shown",
        )
    return token or None


def _next_step(status: int | None) -> str:
    if status is None:
        return "check that the daemon runs and listens there (systemctl status pi-controller, kubectl get pods)"
    if status == 401:
        return "give a valid `token`"
    if status == 403:
        return "ask the leader instead"
    if status == 503:
        return "wait for a leader; where clustering is off, turn it on first"
    if 300 <= status < 400:
        return "give the daemon's own URL, and https:// where it wants that"
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

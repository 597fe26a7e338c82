# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls of a daemon over REST; the standard library only, since it runs on the Pi. What is called is for a driver to know.

`http.client` and not `urllib`: it knows no proxies (a Pi's `http_proxy` must never see these calls) and follows no
redirects, and the source address can be chosen, which is what carries the migration's own requests through the traffic
gate. Every call is bounded in time and size (see exchange.py), every answer is checked by its driver.
"""

from __future__ import annotations

import errno
import http.client
import ipaddress
import json
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from .._core.failures import RaftError
from .._core.operator import OPERATOR_ADDRESS
from .._core.text import one_line
from .bearer import Token
from .exchange import Deadline, Reply, exchange, open_socket
from .interface import Unreadable
from .json_text import parse_json
from .tls import tls_context, tls_step

T = TypeVar("T")
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


class State:
    """A file on its way to a daemon: an error of the file must not pass for one of the connection."""

    def __init__(self, file: BinaryIO, url: str) -> None:
        self._file, self._url = file, url
        self.size = os.fstat(file.fileno()).st_size

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise RaftError(
                f"{self._file.name} cannot be read while it is sent to {self._url}: {error}",
                url=self._url,
                seen=str(error),
                wanted=f"{self.size} bytes",
                next_step="check the storage, then run the same command again",
            ) from error


class RestDaemon:
    """What every call of one daemon has in common. A driver's client derives from it."""

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
        self._token = Token(token, self.url)
        self._tls = tls_context(validate_certs, ca_path, self.url) if parts.scheme == "https" else None

    def _read(self, method: str, path: str, check: Callable[[Any], T], *, timeout: float | None = None) -> T:
        return self._readable(method, path, self._call(method, path, timeout=timeout), check)

    def _readable(self, method: str, path: str, found: Any, check: Callable[[Any], T]) -> T:
        try:
            return check(found)
        except Unreadable as error:
            raise self._error(
                f"gave an unreadable answer to {method} {path}: {error}", 200, str(error), "an answer of the daemon"
            ) from error

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | BinaryIO | None = None,
        timeout: float | None = None,
    ) -> Any:
        headers = {"Accept": "application/json", "Connection": "close"}
        headers.update(self._token.header())
        payload: bytes | State | None = None
        if isinstance(body, Mapping):
            headers["Content-Type"] = "application/json"
            payload = json.dumps(body).encode()
        elif body is not None:
            payload = body if isinstance(body, bytes) else State(body, self.url)
            headers["Content-Type"] = "application/octet-stream"
            # The length goes first, so that a file is streamed and not sent in chunks of unknown number.
            headers["Content-Length"] = str(len(payload) if isinstance(payload, bytes) else payload.size)
        target, deadline = self._prefix + path, Deadline(timeout or self.timeout)
        try:
            reply = exchange(self._connect, self.host, self.port, method, target, headers, payload, deadline)
        except ssl.SSLError as error:
            raise self._error(
                f"did not answer {method} {path} over TLS",
                None,
                one_line(str(error)),
                "a certificate that names the address in the URL, and TLS that both sides know",
                tls_step(error, self.host),
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._error(
                f"did not answer {method} {path}",
                None,
                one_line(self._token.kept_out_of(str(error) or type(error).__name__)),
                "an answer",
            ) from error
        return self._parse(method, path, replace(reply, text=self._token.kept_out_of(reply.text)))

    def _parse(self, method: str, path: str, reply: Reply) -> Any:
        status, text = reply.status, reply.text
        try:
            # Again, since a token may also come back in JSON's escapes.
            found = self._token.kept_out_of(parse_json(text)) if text.strip() else {}
        except ValueError:
            found = None
        if 200 <= status < 300:
            if found is None:
                raise self._error(f"answered {method} {path} without readable JSON", status, one_line(text, 200), "JSON")
            return found
        if 300 <= status < 400:
            target = one_line(self._token.kept_out_of(reply.location or "nowhere"), 200)
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

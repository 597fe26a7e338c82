# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls of a daemon over REST; the standard library only, since it runs on the Pi. What is called is for a driver to know.

`http.client` and not `urllib`: it knows no proxies (a Pi's `http_proxy` must never see these calls) and follows no
redirects, and the source address can be chosen, which is what carries the migration's own requests through the traffic
gate. Every call is bounded in time and size (see exchange.py), every answer is checked by its driver.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import ipaddress
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from .._core.failures import MigrationError
from .._core.operator import LOOPBACK, OPERATOR_ADDRESS, further_addresses
from .._core.text import one_line
from .bearer import Token
from .exchange import Deadline, Reply, exchange, open_socket
from .interface import State, Unreadable
from .json_text import parse_json
from .tls import tls_context, tls_step

T = TypeVar("T")
# After a 429 without Retry-After: the published daemon gives each address one request a second.
FIRST_PAUSE = 1.0
# A Retry-After of 0 must not become a busy loop.
MIN_PAUSE = 0.1
# What the kernel answers when the operator's address cannot be the source of this connection.
_CANNOT_BIND = {errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES}


def is_local(host: str) -> bool:
    """Whether `host` is loopback or one of this machine's own addresses, of either family."""
    try:
        family, _kind, _protocol, _name, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError):
        return False
    if ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        return True
    # Only towards itself does the kernel choose the target as the source. Connecting a datagram socket sends nothing.
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
        return bool(probe.getsockname()[0] == address[0])


class FileState:
    """A file on its way to a daemon: an error of the file must not pass for one of the connection."""

    def __init__(self, file: BinaryIO, url: str) -> None:
        self._file, self._url = file, url
        self.size = os.fstat(file.fileno()).st_size

    def rewind(self) -> None:
        self._file.seek(0)

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise MigrationError(
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
        user: str | None = None,
        password: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
    ) -> None:
        parts, port = urlsplit(""), -1
        with contextlib.suppress(ValueError):  # an IPv6 address without its bracket, or a port that is none
            parts = urlsplit(base_url)
            port = parts.port or 0
        if "@" in (parts.netloc or base_url):
            # Not shown: what is before the @ may be a password.
            raise MigrationError(
                "the URL of a daemon names a user",
                wanted="http://ADDRESS:PORT or https://ADDRESS:PORT",
                next_step="take the part before the @ out of the URL; give `user` and `password`, or a `token`",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or not base_url.isprintable():
            raise MigrationError(
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
        self._user, self._password = user or None, (password or "").rstrip("\r\n")
        self._token = Token(token, self.url, self._password)
        # Why the last login was refused: asked again, it would lock the account.
        self._refused: MigrationError | None = None
        # On its own Pi a limited daemon is asked from the next address.
        self._source: str | None = None
        self._further = further_addresses()
        secured = parts.scheme == "https"
        self._tls = tls_context(validate_certs, ca_path, self.url, client_cert, client_key) if secured else None

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
        body: Mapping[str, Any] | bytes | State | None = None,
        timeout: float | None = None,
    ) -> Any:
        deadline = Deadline(timeout or self.timeout)
        if self._user and not self._token.given:
            self._log_in(deadline)
        reply = self._patient(method, path, body, deadline)
        if reply.status == 401 and self._user:
            # A token is of one process and of a quarter of an hour.
            self._log_in(deadline)
            reply = self._patient(method, path, body, deadline)
        return self._parse(method, path, replace(reply, text=self._token.kept_out_of(reply.text)))

    def _login_request(self, user: str, password: str) -> tuple[str, dict[str, Any]]:
        """The path of the login and what is sent to it. For a driver to know."""
        raise NotImplementedError

    def _token_in(self, found: Any) -> str:
        """The token in the answer to a login, or Unreadable."""
        raise NotImplementedError

    def _log_in(self, deadline: Deadline) -> None:
        """Get a token of this very daemon. What it answers is never shown: it has the token."""
        if self._refused is not None:
            raise self._refused
        path, body = self._login_request(self._user or "", self._password)
        self._token = Token(None, self.url, self._password)
        reply = self._patient("POST", path, body, deadline)
        if reply.status == 401:
            self._refused = self._error(
                f"refused the login of the user {self._user}",
                401,
                "401",
                "a user and a password of this daemon",
                "correct `user` and `password` (`pi_controller_user`, `pi_controller_password`); the daemon locks an account "
                "after some wrong passwords",
            )
            raise self._refused
        if reply.status != 200:
            self._parse(
                "POST", path, replace(reply, text=self._token.kept_out_of(reply.text) if reply.status >= 300 else "")
            )
        try:
            token = self._token_in(parse_json(reply.text))
        except ValueError:
            token = None
        if token is None:
            raise self._error(
                f"answered the login (POST {path}) without a token",
                reply.status,
                "no token",
                "a token",
                "read the daemon's log",
            )
        self._token = Token(token, self.url, self._password)

    def _patient(self, method: str, path: str, body: Any, deadline: Deadline) -> Reply:
        """The answer; 429 is one of a living daemon that has refused without doing anything, so it is asked again in time."""
        pause = FIRST_PAUSE
        while True:
            reply = self._exchange(method, path, body, deadline)
            if reply.status != 429:
                return reply
            source = next(self._further, None) if is_local(self.host) else None
            if source is not None and deadline.allows(0):
                self._source = source
                continue
            wait = pause if reply.pause is None else max(reply.pause, MIN_PAUSE)
            if not deadline.allows(wait):
                return reply
            time.sleep(wait)
            pause *= 2

    def _exchange(self, method: str, path: str, body: Any, deadline: Deadline) -> Reply:
        headers = {"Accept": "application/json", "Connection": "close"}
        headers.update(self._token.header())
        payload: bytes | State | None = None
        if isinstance(body, Mapping):
            headers["Content-Type"] = "application/json"
            payload = json.dumps(body).encode()
        elif body is not None:
            if not isinstance(body, bytes):
                # It may have been sent before, and refused.
                body.rewind()
            payload = body
            headers["Content-Type"] = "application/octet-stream"
            # The length goes first, so that a file is streamed and not sent in chunks of unknown number.
            headers["Content-Length"] = str(len(payload) if isinstance(payload, bytes) else payload.size)
        try:
            return exchange(
                self._connect, self.host, self.port, method, self._prefix + path, headers, payload, deadline
            )
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

    def _parse(self, method: str, path: str, reply: Reply) -> Any:
        status, text = reply.status, reply.text
        try:
            # Again, since a token may also come back in JSON's escapes.
            found = self._token.kept_out_of(parse_json(text)) if text.strip() else {}
        except ValueError:
            found = None
        if 200 <= status < 300:
            if found is None:
                raise self._error(
                    f"answered {method} {path} without readable JSON", status, one_line(text, 200), "JSON"
                )
            return found
        if 300 <= status < 400:
            target = one_line(self._token.kept_out_of(reply.location or "nowhere"), 200)
            raise self._error(
                f"redirected {method} {path} to {target} ({status}), and redirects are not followed",
                status,
                target,
                "2xx",
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
            # IPv6 has one loopback address, and any process may send from it: the operator asks over IPv4.
            target = LOOPBACK if ":" in self.host else self.host
            try:
                return open_socket(
                    target, self.port, (self._source or OPERATOR_ADDRESS, 0), self._tls, deadline, self.host
                )
            except OSError as error:
                if error.errno not in _CANNOT_BIND and not (target != self.host and error.errno == errno.ECONNREFUSED):
                    raise
        return open_socket(self.host, self.port, None, self._tls, deadline)

    def _error(
        self, what: str, status: int | None, seen: Any, wanted: str, next_step: str | None = None
    ) -> MigrationError:
        return MigrationError(
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
        return "give a valid `token`, or `user` and `password` (`pi_controller_token`, `pi_controller_user`)"
    if status == 426:
        return "set `pi_controller_scheme: https`; only a daemon with ENVIRONMENT=development takes a login over plain HTTP"
    if status == 429:
        return "wait a minute and run the same command again: the daemon runs, and limits how often one address may ask"
    if status == 403:
        return "ask the leader instead"
    if status == 503:
        return "wait for a leader; where clustering is off, turn it on first"
    if 300 <= status < 400:
        return "give the daemon's own URL, and https:// where it wants that"
    return "read the daemon's log on that host"

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS towards a daemon: what its certificate is verified with, and what to do where a handshake fails."""

from __future__ import annotations

import ssl
from pathlib import Path

from .._core.failures import MigrationError


def tls_context(
    validate_certs: bool, ca_path: str | None, url: str, client_cert: str | None = None, client_key: str | None = None
) -> ssl.SSLContext:
    """How to speak TLS with the daemon at `url`. MigrationError where a certificate or a key cannot be read."""
    try:
        folder = ca_path if ca_path and Path(ca_path).is_dir() else None
        context = ssl.create_default_context(cafile=None if folder else ca_path, capath=folder)
    except OSError as error:
        raise MigrationError(
            f"cannot read the certificates in {ca_path} ({error})",
            url=url,
            seen=str(error),
            wanted="a PEM file or a folder of them",
            next_step="correct `ca_path`",
        ) from error
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert:
        _present(context, client_cert, client_key, url)
    return context


def _present(context: ssl.SSLContext, client_cert: str, client_key: str | None, url: str) -> None:
    """Give the context the client's certificate. Without a key file the key is in the certificate's file."""
    try:
        # Without a password of ours OpenSSL would ask for one on the terminal.
        context.load_cert_chain(client_cert, client_key, password=lambda: "")
    except (OSError, ValueError) as error:
        # The reason names no content of the files.
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "it is not PEM"
        raise MigrationError(
            f"cannot use the client certificate {client_cert} with the key in {client_key or client_cert} ({reason})",
            url=url,
            seen=str(reason),
            wanted="a PEM certificate and the key that belongs to it, without a passphrase",
            next_step="correct `client_cert` and `client_key` (`pi_controller_client_cert`, `pi_controller_client_key`)",
        ) from error


def tls_step(error: ssl.SSLError, host: str) -> str:
    """What to do about a connection that was made and a handshake that was not."""
    reason = str(getattr(error, "verify_message", None) or error)
    if "mismatch" in reason or "not valid for" in reason:
        return f"have the daemon's certificate name {host} (subjectAltName), or set `pi_controller_address` to what it names"
    if "CERTIFICATE_REQUIRED" in str(error).upper().replace(" ", "_") or "ALERT_BAD_CERTIFICATE" in str(error).upper():
        return (
            "the daemon wants a client certificate: give one that its CA has signed as `client_cert` and `client_key` "
            "(`pi_controller_client_cert`, `pi_controller_client_key`)"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return "give the CA of the daemon's certificate as `ca_path` (`pi_controller_ca_path`); see that it has not expired"
    return "see that the daemon speaks TLS on this port (`pi_controller_scheme`), and whether it wants a client certificate"

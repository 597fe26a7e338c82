# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS towards a daemon: what its certificate is verified with, and what to do where a handshake fails."""

from __future__ import annotations

import ssl
from pathlib import Path

from .._core.failures import RaftError


def tls_context(validate_certs: bool, ca_path: str | None, url: str) -> ssl.SSLContext:
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


def tls_step(error: ssl.SSLError, host: str) -> str:
    """What to do about a connection that was made and a handshake that was not."""
    reason = str(getattr(error, "verify_message", None) or error)
    if "mismatch" in reason or "not valid for" in reason:
        return f"have the daemon's certificate name {host} (subjectAltName), or set `pi_controller_address` to what it names"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "give the CA of the daemon's certificate as `ca_path` (`pi_controller_ca_path`); see that it has not expired"
    return "see that the daemon speaks TLS on this port (`pi_controller_scheme`), and whether it wants a client certificate"

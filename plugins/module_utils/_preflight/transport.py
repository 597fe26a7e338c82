# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the token, or the password, gets to the daemons. Warnings: the network may be one that only its owner is on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .findings import EVERYWHERE, WARNING, Finding


def transport_findings(owner: Mapping[str, Any]) -> Iterator[Finding]:
    """`owner` says whether there is a token or a user, never which."""
    secret = "token" if owner.get("has_token") else "password" if owner.get("has_user") else None
    if secret is None:
        return
    if owner.get("scheme") != "https":
        yield Finding(
            EVERYWHERE,
            secret,
            "sent over plain http: whoever is on the network between the Pis can read it",
            "https",
            "give the daemons certificates and set pi_controller_scheme to https",
            WARNING,
        )
    elif not owner.get("validate_certs", True):
        yield Finding(
            EVERYWHERE,
            secret,
            "sent to whoever answers: pi_controller_validate_certs is false",
            "verified certificates",
            "name the CA in pi_controller_ca_path and set pi_controller_validate_certs to true",
            WARNING,
        )

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether something listens at an address."""

from __future__ import annotations

import socket

CONNECT_TIMEOUT = 1.0  # seconds


def refusal(address: str) -> OSError | None:
    """Why nothing listens at this address (host:port), or None where something does."""
    host, _colon, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        return error
    except ValueError as error:  # what cannot be a port, or a name
        return OSError(f"{address} is not an address with a port: {error}")
    return None

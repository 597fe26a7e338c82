# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""As whom the pods run: an image may have a user of its own, who cannot read what the unit has written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def pod_user(owners: Mapping[str, Mapping[str, int]], security_context: Mapping[str, Any]) -> dict[str, int]:
    """`runAsUser` and `runAsGroup` from the owner of the database (`uid`, `gid`) by host; empty where the Pis differ, where none is
    known, and where the owner's security context names a user.
    """
    found = {(owner["uid"], owner["gid"]) for owner in owners.values() if owner}
    if len(found) != 1 or "runAsUser" in security_context:
        return {}
    ((uid, gid),) = found
    return {"runAsUser": uid, "runAsGroup": gid}

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The calls of pi-controller; see the interface for what each of them does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from ..._core.failures import MigrationError
from ..interface import NodeStatus, State, TakenSnapshot
from ..rest import FileState, RestDaemon
from .answers import capabilities_answer, login_answer, parse_status, read_only_answer, snapshot_answer, status_answer

LOGIN = "/api/v1/auth/login"
_RAFT = "/api/v1/raft"
STATUS = f"{_RAFT}/status"
CAPABILITIES = f"{_RAFT}/capabilities"
MEMBERS = f"{_RAFT}/members"
TRANSFER = f"{_RAFT}/leader/transfer"
READ_ONLY = f"{_RAFT}/read-only"
SNAPSHOT = f"{_RAFT}/snapshot"
RESTORE = f"{_RAFT}/restore"

T = TypeVar("T")


class PiController(RestDaemon):
    """One pi-controller."""

    def status(self) -> NodeStatus:
        return self._clustered(parse_status)

    def report(self) -> dict[str, Any]:
        """The status reduced to what is known of it (see answers.status_answer)."""
        return self._clustered(status_answer)

    def _clustered(self, check: Callable[[Any], T]) -> T:
        """The status; with clustering off the published daemon does not know the path."""
        try:
            return self._read("GET", STATUS, check)
        except MigrationError as error:
            if error.status != 404:
                raise
            raise self._error(
                f"answers, but has no Raft routes ({STATUS}: 404): clustering is off there",
                404,
                "404",
                "a daemon with cluster.enabled: true",
                "set cluster.enabled to true in the daemon's configuration file, and see that PI_CONTROLLER_MODE is not portable",
            ) from error

    def _login_request(self, user: str, password: str) -> tuple[str, dict[str, Any]]:
        return LOGIN, {"username": user, "password": password}

    def _token_in(self, found: Any) -> str:
        return login_answer(found)

    def capabilities(self) -> frozenset[str]:
        """The optional calls of this release; today's releases know no such list, which is the empty one."""
        try:
            found = self._call("GET", CAPABILITIES)
        except MigrationError as error:
            if error.status in (404, 405):
                return frozenset()
            raise
        return self._readable("GET", CAPABILITIES, found, capabilities_answer)

    def add_member(self, node_id: str, address: str, voter: bool | None = None) -> None:
        """Add a member, or update the address of a known one. `voter` is sent only where it is not None."""
        body: dict[str, Any] = {"node_id": node_id, "address": address}
        if voter is not None:
            body["voter"] = voter
        self._call("POST", MEMBERS, body)

    def remove_member(self, node_id: str) -> None:
        self._call("DELETE", f"{MEMBERS}/{quote(node_id, safe='')}")

    def transfer(self, target_id: str) -> None:
        self._call("POST", TRANSFER, {"target_id": target_id})

    def set_read_only(self, enabled: bool) -> None:
        self._call("PUT", READ_ONLY, {"enabled": enabled})

    def read_only(self) -> bool:
        return self._read("GET", READ_ONLY, read_only_answer)

    def snapshot(self, timeout: float | None = None) -> TakenSnapshot | None:
        try:
            return TakenSnapshot(**self._read("POST", SNAPSHOT, snapshot_answer, timeout=timeout))
        except MigrationError as error:
            # Raft refuses where nothing was written since the last one.
            if error.status == 409 or "nothing new to snapshot" in str(error):
                return None
            raise

    def restore(self, state: bytes | str | os.PathLike[str] | State, timeout: float | None = None) -> None:
        """Replace the state of the whole cluster: by these bytes, or by a file's or another state's, which is streamed."""
        if isinstance(state, (str, os.PathLike)):
            with Path(state).open("rb") as file:
                self._call("POST", RESTORE, FileState(file, self.url), timeout=timeout)
        else:
            self._call("POST", RESTORE, state, timeout=timeout)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file goes piece by piece, and what it is as a whole is found out here."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ..module_utils._core import pieces
from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import failure_result
from ..plugin_utils.kept_modules import KeptCode

WANTED = "private_put wants `src`, an absolute path of a file here, and `dest`, one of a file on the host"


class ActionModule(KeptCode):
    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = dict(self._task.args)
        src, dest = (given.get(name) for name in ("src", "dest"))
        if set(given) != {"src", "dest"}:
            raise AnsibleActionFail(f"{WANTED}; {', '.join(given)} was given")
        if not (
            isinstance(src, str) and isinstance(dest, str) and Path(src).is_absolute() and Path(dest).is_absolute()
        ):
            raise AnsibleActionFail(WANTED)
        try:
            return {**result, **self._sent(Path(src), dict(given), task_vars)}
        except (MigrationError, OSError) as error:
            return {**result, **failure_result(error, f"reading {src} on the control node")}

    def _sent(self, src: Path, options: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        offset, sha256 = 0, ""
        while True:
            piece = pieces.read(src, offset)
            sha256 = sha256 or piece.sha256
            content = piece.content or b""
            options.update(size=piece.size, sha256=sha256, offset=offset, content=base64.b64encode(content).decode())
            found: dict[str, Any] = self._execute_module(module_args=dict(options), task_vars=task_vars)
            offset += len(content)
            # What is there already takes no piece, and with --check none is sent.
            whole = offset >= piece.size or not content
            if found.get("failed") or not found.get("changed") or self._task.check_mode or whole:
                return found

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file goes piece by piece, and what it is as a whole is found out here."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ..module_utils._core import pieces
from ..module_utils._core.durable import private_folder
from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import failure_result
from ..plugin_utils.kept_modules import KeptCode

WANTED = (
    "private_put wants `src`, an absolute path of a file here, or `text`, and `dest`, an absolute path of a file on the host; "
    "with `text` it may have `kept_at`, an absolute path of a file here"
)


class ActionModule(KeptCode):
    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = dict(self._task.args)
        if not {"dest"} < set(given) <= {"dest", "text", "kept_at"} and set(given) != {"src", "dest"}:
            raise AnsibleActionFail(f"{WANTED}; {', '.join(given)} was given")
        paths = [given[name] for name in ("src", "dest", "kept_at") if name in given]
        if not all(isinstance(path, str) and Path(path).is_absolute() for path in paths):
            raise AnsibleActionFail(WANTED)
        if "src" in given:
            return {**result, **self._file(given, task_vars)}
        return {**result, **self._text(given, task_vars)}

    def _file(self, given: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        try:
            return self._sent(lambda offset: pieces.read(Path(given["src"]), offset), given, task_vars)
        except (MigrationError, OSError) as error:
            return failure_result(error, f"reading {given['src']} on the control node")

    def _text(self, given: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        text, kept_at = given.pop("text", None), given.pop("kept_at", None)
        content = text.encode() if isinstance(text, str) else b""
        if not 0 < len(content) <= pieces.PIECE:
            raise AnsibleActionFail(f"`text` of private_put has {len(content)} bytes, wanted: 1 to {pieces.PIECE}")
        piece = pieces.Piece(len(content), hashlib.sha256(content).hexdigest(), *pieces.pack([content]))
        found = self._sent(lambda _offset: piece, given, task_vars)
        if kept_at and not found.get("failed"):
            try:
                found["changed"] = self._kept(Path(kept_at), piece) or found["changed"]
            except (MigrationError, OSError) as error:
                return failure_result(error, f"writing {kept_at} on the control node")
        return found

    def _kept(self, path: Path, piece: pieces.Piece) -> bool:
        """The same on the control node; returns whether it was not there."""
        here = pieces.Arrival(path, piece.size, piece.sha256)
        if self._task.check_mode:
            return not here.present()
        private_folder(path.parent)
        if here.present():
            return False
        here.take(pieces.unpack(piece.packed or b"", piece.length), 0)
        return True

    def _sent(
        self, read: Callable[[int], pieces.Piece], options: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        offset, sha256 = 0, ""
        while True:
            piece = read(offset)
            sha256 = sha256 or piece.sha256
            options.update(
                size=piece.size, sha256=sha256, offset=offset, length=piece.length,
                content=base64.b64encode(piece.packed or b"").decode(),
            )  # fmt: skip
            found: dict[str, Any] = self._execute_module(module_args=dict(options), task_vars=task_vars)
            offset += piece.length
            # What is there already takes no piece, and with --check none is sent.
            whole = offset >= piece.size or not piece.length
            if found.get("failed") or not found.get("changed") or self._task.check_mode or whole:
                return found

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible.builtin.fetch takes the modes of folder and file from the umask of the control node, where 0755 and 0644 are usual.

Tasks before and after it could set them, but these would take time while writes wait, and the last ones would come too late.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action.fetch import ActionModule as Fetch

from ..module_utils._core.durable import private_folder, sha256_of

WANTED = "private_fetch wants `src`, a file on the host, and `dest`, an absolute path of a file here"


class ActionModule(Fetch):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        given = self._task.args
        src, dest, expected = (given.get(name) for name in ("src", "dest", "expected_sha256"))
        if not {"src", "dest"} <= set(given) <= {"src", "dest", "expected_sha256"}:
            raise AnsibleActionFail(f"{WANTED}; {', '.join(given)} was given")
        if not isinstance(src, str) or not isinstance(dest, str) or not Path(dest).is_absolute():
            raise AnsibleActionFail(WANTED)
        if expected is not None and not isinstance(expected, str):
            raise AnsibleActionFail("`expected_sha256` of private_fetch is not a string")
        before = os.umask(0o077)
        try:
            if not self._task.check_mode:
                _prepare(Path(dest))
            self._task.args = {"src": src, "dest": dest, "flat": True, "validate_checksum": True}
            result: dict[str, Any] = super().run(tmp, task_vars)
            if expected and not self._task.check_mode and not result.get("failed"):
                result |= _compared(Path(dest), expected)
        finally:
            # A task with `until` comes here again.
            self._task.args = given
            os.umask(before)
        return result


def _compared(copy: Path, expected: str) -> dict[str, Any]:
    """What the result says of the copy's content, read back from where it was written."""
    try:
        seen = sha256_of(copy)
    except OSError as error:
        raise AnsibleActionFail(f"the copy {copy} cannot be read: {error}") from error
    if seen == expected:
        return {"sha256": expected}
    return {
        "failed": True,
        "msg": f"the copy {copy} has SHA-256 {seen}, wanted: {expected}. The file on the host was changed, or the copy "
        "was. Check the storage on both sides, then run this again",
    }


def _prepare(dest: Path) -> None:
    """The folder with mode 0700, and a file of an earlier run 0600 before its new content is in it."""
    try:
        private_folder(dest.parent)
        found = dest.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise AnsibleActionFail(f"the folder {dest.parent} cannot be made private: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise AnsibleActionFail(f"{dest} is not a regular file; move it away, since a copy is to be written there")
    dest.chmod(0o600)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file comes piece by piece, and is private from the moment it exists: folder 0700, file 0600.

ansible.builtin.fetch takes these modes from the umask of the control node, where 0755 and 0644 are usual. Tasks before and after it could set
them, but these would take time while writes wait, and the last ones would come too late.
"""

from __future__ import annotations

import base64
import hashlib
import stat
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleActionSkip

from ..module_utils._core import pieces
from ..module_utils._core.durable import private_folder, replacing, sha256_of
from ..module_utils._core.failures import MigrationError
from ..plugin_utils.kept_modules import KeptCode

WANTED = "private_fetch wants `src`, a file on the host, and `dest`, an absolute path of a file here"


class ActionModule(KeptCode):
    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        src, dest, expected = (given.get(name) for name in ("src", "dest", "expected_sha256"))
        if not {"src", "dest"} <= set(given) <= {"src", "dest", "expected_sha256"}:
            raise AnsibleActionFail(f"{WANTED}; {', '.join(given)} was given")
        if not isinstance(src, str) or not isinstance(dest, str) or not Path(dest).is_absolute():
            raise AnsibleActionFail(WANTED)
        if expected is not None and not isinstance(expected, str):
            raise AnsibleActionFail("`expected_sha256` of private_fetch is not a string")
        if self._task.check_mode:
            raise AnsibleActionSkip("with --check nothing is copied to the control node")
        copy = Path(dest)
        try:
            known = _prepare(copy)
            found = self._fetched(src, copy, known, expected, task_vars)
        except OSError as error:
            raise AnsibleActionFail(f"the copy {dest} cannot be written: {error}") from error
        except MigrationError as error:
            raise AnsibleActionFail(f"{src} did not arrive whole: {error}") from error
        if not found.get("failed") and expected and found["sha256"] != expected:
            found |= {
                "failed": True,
                "msg": f"the copy {dest} has SHA-256 {found['sha256']}, wanted: {expected}. The file on the host was changed, or the "
                "copy was. Check the storage on both sides, then run this again",
            }
        return {**result, **found}

    def _fetched(
        self, src: str, copy: Path, known: str, expected: str | None, task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """The result of the copy; one that is there already is left alone."""

        def piece(offset: int) -> dict[str, Any]:
            options = {
                "src": src,
                "dest": str(copy),
                "offset": offset,
                "known_sha256": known,
                "expected_sha256": expected,
            }
            got: dict[str, Any] = self._execute_module(module_args=options, task_vars=task_vars)
            return got

        first = got = piece(0)
        if got.get("failed"):
            return got
        if "content" not in got:
            return {"changed": False, "dest": str(copy), "sha256": first["sha256"]}
        digest, size = hashlib.sha256(), 0
        with replacing(copy, 0o600) as new, new.open("wb") as file:
            while not got.get("failed"):
                for part in pieces.unpack(base64.b64decode(got["content"]), got["length"]):
                    file.write(part)
                    digest.update(part)
                size += got["length"]
                if not got["length"] or size >= first["size"]:
                    break
                got = piece(size)
            else:
                raise AnsibleActionFail(f"{src} could be read as far as byte {size} only: {got.get('msg')}")
            if first["sha256"] not in ("", digest.hexdigest()):
                raise AnsibleActionFail(f"{src} was changed while it was copied: run this again")
        return {"changed": True, "dest": str(copy), "sha256": digest.hexdigest()}


def _prepare(dest: Path) -> str:
    """The folder with mode 0700, and a file of an earlier run 0600; returns that file's SHA-256."""
    try:
        private_folder(dest.parent)
        found = dest.lstat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise AnsibleActionFail(f"the folder {dest.parent} cannot be made private: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise AnsibleActionFail(f"{dest} is not a regular file; move it away, since a copy is to be written there")
    dest.chmod(0o600)
    return sha256_of(dest)

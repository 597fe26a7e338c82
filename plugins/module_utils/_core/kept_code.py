# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code of this collection's modules is kept on a Pi until its next boot, so that no task sends and compiles it again.

This file is sent as a script of its own, with a call of `run` at its end: it needs nothing but Python's standard library.
See docs/decisions/0018-the-modules-code-is-kept-on-the-pi.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
from pathlib import Path

# In memory, and gone with a reboot.
BASE = "/run/pi-controller-migration"
# The key of an answer that is not a module's: the code is not there.
MISSING = "modules_missing"


def run(folder: str, archive: str, module: str, params: bytes, profile: str) -> None:
    """Run a module, by its full name, with the code in `folder`; what is not there yet comes from `archive` (a zip file in base64, or empty).

    Prints the module's result. Where there is no code it prints `MISSING`, with the reason, and nothing was done.
    """
    why = _missing(folder)
    if why and archive:
        try:
            keep(folder, archive)
            why = _missing(folder)
        except OSError as error:
            why = str(error)
    if why:
        sys.stdout.write(json.dumps({MISSING: why}) + "\n")
        return
    here = ("", str(Path(sys.argv[0]).resolve().parent))
    sys.path[:] = [folder, *(entry for entry in sys.path if entry not in here)]
    # As Ansible's own wrapper of a module does it, of the release that has sent this.
    from ansible.module_utils._internal._ansiballz import _loader

    _loader.run_module(json_params=params, profile=profile, module_fqn=module, modlib_path=folder, extensions={})


def _missing(folder: str) -> str:
    """Why there is no code in `folder` that can be trusted, which runs as root mostly."""
    for path in (Path(folder).parent, Path(folder)):
        try:
            found = path.lstat()
        except OSError as error:
            return str(error)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return f"{path} is not a folder of this user alone"
    return ""


def keep(folder: str, archive: str) -> None:
    """Have all of the archive in `folder`, or nothing. Raises OSError."""
    # Not needed by the tasks after the first, and importing them takes as long as Python's own start.
    import base64
    import io
    import shutil
    import tempfile
    import zipfile

    base = Path(folder).parent
    with contextlib.suppress(FileExistsError):
        base.mkdir(0o700)
    new = tempfile.mkdtemp(dir=base)
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as files:
            files.extractall(new)
        # Another task may have been quicker.
        with contextlib.suppress(OSError):
            Path(new).rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)

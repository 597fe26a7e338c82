# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code of this collection's modules is kept on a Pi until its next boot, so that no task sends and compiles it again.

This file is sent as a script of its own, with a call of `run` at its end: it needs nothing but Python's standard library, and of that as
little as it can. See docs/decisions/0018-the-modules-code-is-kept-on-the-pi.md.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys

# In memory, and gone with a reboot.
BASE = "/run/pi-controller-migration"
PLUGINS = "ansible_collections/pi_controller/raft_migration/plugins"
# The key of an answer that is not a module's: the code is not there.
MISSING = "modules_missing"
# In the reason, where nothing at all is there.
ABSENT = f"[Errno {errno.ENOENT}]"

# How `kept_tasks` is asked to run a task: sizes, what it has to know, the module's parameters. It reports that it is there, and begins
# at the word of whoever asks; the last it sends is the exit status.
SOCKET = "tasks.sock"
HEAD = struct.Struct(">II")
READY, GO = b"r", b"g"
# Standard input, output and error, which the task has as if it ran here.
STREAMS = (0, 1, 2)
# Bytes that are left in the folder's file system for what Python compiles: some of its versions take half a file for a whole one.
ROOM = 16 << 20
# Seconds for it to say that it is there. One that is stopped, or at its end, never begins.
PATIENCE = 5.0
_SERVER = "import sys; sys.path.insert(0, sys.argv[1]); from {} import serve; serve(sys.argv[1])".format(
    f"{PLUGINS.replace('/', '.')}.module_utils._core.kept_tasks"
)


def run(folder: str, archive: str, module: str, params: bytes, profile: str) -> None:
    """Run a module, by its full name, with the code in `folder`; what is not there yet comes from `archive` (a zip file in base64, or empty).

    Prints the module's result. Where there is no code it prints `MISSING`, with the reason, and nothing was done.
    """
    try:
        os.getcwd()
    except OSError:
        # The home of the user that this runs as may be gone.
        os.chdir("/")
    why = _missing(folder)
    if why and archive:
        try:
            keep(folder, archive)
            why = _missing(folder)
        except OSError as error:
            why = str(error)
    if why:
        import json

        sys.stdout.write(json.dumps({MISSING: why}) + "\n")
        return
    status = _asked(folder, module, params, profile)
    if status is not None:
        os._exit(status)
    _start_server(folder)
    here = ("", os.path.dirname(os.path.realpath(sys.argv[0])))
    sys.path[:] = [folder, *(entry for entry in sys.path if entry not in here)]
    run_here(folder, module, params, profile)


def run_here(folder: str, module: str, params: bytes, profile: str) -> None:
    """Run it in this process, which ends with it."""
    # As Ansible's own wrapper of a module does it, of the release that has sent this.
    from ansible.module_utils._internal._ansiballz import _loader

    _loader.run_module(json_params=params, profile=profile, module_fqn=module, modlib_path=folder, extensions={})


def _asked(folder: str, module: str, params: bytes, profile: str) -> int | None:
    """The exit status of the task, run by the process that waits for tasks; None where there is none, and nothing was done."""
    mask = os.umask(0o077)
    os.umask(mask)
    # To import json takes longer than all of this.
    about = repr(
        {
            "python": [sys.executable, sys.version],
            "module": module,
            "profile": profile,
            "umask": mask,
            "cwd": os.getcwdb(),
            "environment": dict(os.environb),
        }
    ).encode()
    with socket.socket(socket.AF_UNIX) as server:
        try:
            # A socket's own path may have 107 bytes.
            here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                server.settimeout(PATIENCE)
                server.connect(f"/proc/self/fd/{here}/{SOCKET}")
            finally:
                os.close(here)
            server.sendall(HEAD.pack(len(about), len(params)) + about + params)
            if server.recv(1) != READY:
                return None
            # Not before: on their way to one that is stopped they would stay open, and whoever reads them would wait for their end.
            socket.send_fds(server, [GO], list(STREAMS))
        except OSError:
            return None
        server.settimeout(None)
        try:
            status = server.recv(1)
        except OSError:
            status = b""
    if not status:
        sys.stderr.write(f"The process that ran {module} was ended before it had reported how it went.\n")
    return status[0] if status else 1


def _start_server(folder: str) -> None:
    """For the tasks that follow; this one does not wait for it. Whether it comes to that is no matter of this task."""
    try:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
    except OSError:
        return
    # Neither the task nor the connection that it came with has it as a child, or waits for its output.
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in STREAMS:
            os.dup2(nothing, stream)
        # Without an environment: this one may hold what later tasks must not see.
        os.execve(sys.executable, [sys.executable, "-I", "-c", _SERVER, folder], {})
    finally:
        os._exit(1)


def _missing(folder: str) -> str:
    """Why there is no code in `folder` that can be trusted, which runs as root mostly."""
    return _doubt(os.path.dirname(folder)) or _doubt(folder)


def _doubt(path: str) -> str:
    try:
        found = os.lstat(path)
    except OSError as error:
        return str(error)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        return f"{path} is not a folder of this user alone"
    return ""


def keep(folder: str, archive: str) -> None:
    """Have all of the archive in `folder`, or nothing. Raises OSError."""
    # Not needed by the tasks after the first, and importing them takes as long as Python's own start.
    import base64
    import contextlib
    import io
    import shutil
    import tempfile
    import zipfile

    base = os.path.dirname(folder)
    with contextlib.suppress(FileExistsError):
        os.mkdir(base, 0o700)
    # Whoever else owns it could put other folders in the place of what is written there.
    if doubt := _doubt(base):
        raise OSError(doubt)
    new = tempfile.mkdtemp(dir=base)
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as files:
            files.extractall(new)
        there = os.statvfs(new)
        if there.f_bavail * there.f_frsize < ROOM:
            raise OSError(errno.ENOSPC, f"less than {ROOM >> 20} MiB are left", base)
        # Another task may have been quicker.
        with contextlib.suppress(OSError):
            os.rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)

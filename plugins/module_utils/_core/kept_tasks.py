# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process on the Pi that has imported the modules' code and waits for tasks: each is a fork of it, and it ends when no more come.

To import what a module needs takes Python several times as long as most modules work, on a slow Pi half a second and more. `kept_code` starts
it and asks it. See docs/decisions/0018-the-modules-code-is-kept-on-the-pi.md.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import fcntl
import gc
import importlib
import os
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import kept_code

# Its own process number is in it, for whoever looks.
LOCK = "tasks.lock"
# Seconds without a task.
IDLE = 60.0
_CREDENTIALS = struct.Struct("3i")


def serve(folder: str, idle: float = IDLE) -> None:
    """Run the tasks that come to this folder until none has come for `idle` seconds. Where another process does so, nothing happens."""
    os.chdir("/")
    here = f"/proc/self/fd/{os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)}"
    lock = os.open(f"{here}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    _import_all(Path(folder))
    address = Path(here, kept_code.SOCKET)
    with socket.socket(socket.AF_UNIX) as listener, _bound(listener, address):
        listener.settimeout(idle)
        # Whoever asks waits for the task itself; this process does not.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                # Before Python 3.10 its own kind of timeout.
                if _at_work():
                    continue
                return
            with client:
                _begin(client, (listener.fileno(), lock), folder)


def _at_work() -> bool:
    """Whether a task has not ended."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


@contextlib.contextmanager
def _bound(listener: socket.socket, address: Path) -> Iterator[None]:
    # Of one that was ended before it could remove them; the lock says that there is none now.
    new = address.with_suffix(".new")
    for stale in (address, new):
        with contextlib.suppress(FileNotFoundError):
            stale.unlink()
    before = os.umask(0o177)
    try:
        listener.bind(str(new))
    finally:
        os.umask(before)
    listener.listen(16)
    # Whoever finds it is not refused.
    new.rename(address)
    owner = os.getpid()
    try:
        yield
    finally:
        # A task is a fork of this, and comes here as well if it is interrupted.
        if os.getpid() == owner:
            address.unlink()


def _import_all(folder: Path) -> None:
    """All modules, so that a task imports none; the modules themselves are run, not imported."""
    package = kept_code.PLUGINS.replace("/", ".")
    files = sorted((folder / kept_code.PLUGINS / "modules").glob("[a-z]*.py"))
    names = [f"{package}.modules.{path.stem}" for path in files]
    for name in ("ansible.module_utils._internal._ansiballz._loader", *names):
        # What cannot be imported here is reported by the task that needs it.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    for name in names:
        sys.modules.pop(name, None)
    # Nothing of that is garbage, and to look at it would copy its memory into every task.
    gc.collect()
    gc.freeze()


def _begin(client: socket.socket, own: tuple[int, ...], folder: str) -> None:
    """Fork the task of this client, without the descriptors `own`: another process may be wanted here before the task has ended."""
    _pid, uid, gid = _CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if (uid, gid) != (os.geteuid(), os.getegid()):
        return
    # Without room for another process the client runs its task itself, since its connection ends.
    with contextlib.suppress(OSError):
        if os.fork() == 0:
            status = 1
            try:
                for descriptor in own:
                    os.close(descriptor)
                status = _task(client, folder)
            finally:
                os._exit(status)


def _task(client: socket.socket, folder: str) -> int:
    """In the fork: receive the task, run it, and return its exit status, which the client has by then."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    client.settimeout(kept_code.PATIENCE)
    about_size, params_size = kept_code.HEAD.unpack(_received(client, kept_code.HEAD.size))
    about: dict[str, Any] = ast.literal_eval(_received(client, about_size).decode())
    params = _received(client, params_size)
    if about["python"] != [sys.executable, sys.version]:
        # It was started by another Python, and runs the task itself.
        return 1
    client.sendall(kept_code.READY)
    word, streams, _flags, _address = socket.recv_fds(client, 1, len(kept_code.STREAMS))
    if word != kept_code.GO:
        # It has waited too long, and runs the task itself.
        return 1
    client.settimeout(None)
    for number, stream in zip(kept_code.STREAMS, streams):
        os.dup2(stream, number)
        os.close(stream)
    os.umask(about["umask"])
    os.environb.clear()
    os.environb.update(about["environment"])
    time.tzset()
    with contextlib.suppress(OSError):
        os.chdir(about["cwd"])
    status = _status_of(lambda: kept_code.run_here(folder, about["module"], params, about["profile"]))
    with contextlib.suppress(OSError):
        client.sendall(bytes([status]))
    return status


def _received(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = client.recv(min(size - len(data), 1 << 20))
        if not piece:
            raise ConnectionError("the client has gone")
        data += piece
    return bytes(data)


def _status_of(work: Callable[[], None]) -> int:
    """The exit status that Python would end with, after everything that it does at its end."""
    status = 0
    try:
        work()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself does at its end
        traceback.print_exc()
        status = 1
    # Modules have their temporary files removed so; multiprocessing ends its forks in the same way.
    try:
        atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001 - Python ends all the same
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return status & 0xFF

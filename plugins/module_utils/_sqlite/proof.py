# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether databases hold a content that is known by its digest."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from .._core.durable import beside
from .database import SqliteError, opened, pragma, reading
from .digest import content_of

# Seconds for a database that is locked. Clients' writes are fenced off by now, so that the database is read as it is and
# not copied first: a write of the daemon's own may wait, and a copy would make the write pause longer.
BUSY_TIMEOUT = 5.0
# Bytes. A smaller database is read in less time than a process of its own takes.
WORTH_A_PROCESS = 4 << 20


def digest_of(path: Path, exclude: Iterable[str]) -> str:
    """The digest of what a database holds now, as sqlite_info gives it."""
    with reading(path, BUSY_TIMEOUT) as connection:
        return content_of(connection, exclude).digest


def on_disk(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0


@contextlib.contextmanager
def digesting(path: Path, exclude: Iterable[str]) -> Iterator[Callable[[], str]]:
    """Read the database while the body does something else. The body calls what is yielded, once, for the digest of what it holds by then.

    A process of its own reads, since digesting keeps Python from doing anything else. Its digest counts if no other connection has
    committed since; otherwise, and where that process failed or the database is small, it is read then.
    """
    exclude = list(exclude)
    if on_disk(path) + on_disk(beside(path, "-wal")) < WORTH_A_PROCESS:
        yield lambda: digest_of(path, exclude)
        return
    asked, ask = os.pipe()
    answered, answer = os.pipe()
    child = os.fork()
    if child == 0:
        _read_aside(path, exclude, asked, answer, (ask, answered))
    os.close(asked)
    os.close(answer)

    def digest() -> str:
        with contextlib.suppress(BrokenPipeError):
            os.write(ask, b"?")
        return os.read(answered, 1 << 10).decode() or digest_of(path, exclude)

    try:
        yield digest
    finally:
        os.close(ask)
        os.close(answered)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _read_aside(path: Path, exclude: list[str], asked: int, answer: int, others: Iterable[int]) -> NoReturn:
    """The other process: answers with the digest, or with nothing."""
    try:
        # As long as one of these is open here, no end is seen of what the first process does. And no process is to wait for the output of this one.
        for descriptor in others:
            os.close(descriptor)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        with opened(path, "mode=ro", BUSY_TIMEOUT) as connection:
            before = pragma(connection, "data_version")
            connection.execute("BEGIN")
            digest = content_of(connection, exclude).digest
            connection.execute("COMMIT")
            if os.read(asked, 1) and pragma(connection, "data_version") == before:
                os.write(answer, digest.encode())
    finally:
        # Whatever it was: the first process reads the database itself then, and meets it.
        os._exit(0)


def prove(paths: Iterable[Path], digest: str, exclude: Iterable[str]) -> None:
    """Raise a SqliteError for the first of these databases that holds anything else. They are read at once."""
    exclude = list(exclude)
    first, *others = paths
    with contextlib.ExitStack() as stack:
        aside = [(path, stack.enter_context(digesting(path, exclude))) for path in others]
        for path, read in [(first, lambda: digest_of(first, exclude)), *aside]:
            _compare(path, read(), digest)


def _compare(path: Path, seen: str, digest: str) -> None:
    if seen != digest:
        raise SqliteError(
            f"{path} holds {seen}, wanted {digest}. A write reached one side only",
            seen=seen,
            wanted=digest,
            next_step="find out whether another client writes to one of the databases, then carry the state over again",
        )

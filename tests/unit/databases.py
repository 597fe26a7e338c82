# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases like the daemon's, and another process that has one open and writes."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SCHEMA = """
CREATE TABLE nodes (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, data TEXT);
CREATE TABLE gpio (name TEXT PRIMARY KEY, level INTEGER) WITHOUT ROWID;
CREATE TABLE raft_applied (incarnation TEXT, idx INTEGER);
CREATE INDEX nodes_by_name ON nodes (name);
"""


@contextlib.contextmanager
def session(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that commits at the end of the block and is closed."""
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:  # noqa: SIM117
        # One after the other: as one statement, pylint takes them for a tuple.
        with connection:
            yield connection


def make(path: Path, rows: int = 3, wal: bool = True) -> Path:
    with session(path) as connection:
        connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
        connection.executescript(SCHEMA)
        connection.execute("PRAGMA user_version=7")
        connection.executemany("INSERT INTO nodes (name, data) VALUES (?, '{}')", ((f"n{i}",) for i in range(rows)))
        connection.execute("INSERT INTO gpio VALUES ('fan', 1)")
        connection.execute("INSERT INTO raft_applied VALUES ('first', 1)")
    return path


def execute(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    with session(path) as connection:
        return connection.execute(sql, values).fetchall()


# Writes one transaction after the other until its stdin ends, then prints how many. Each transaction adds two rows, so
# a copy with an odd number of them would not be of one moment.
_WRITER = """
import sqlite3, sys, threading
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
connection = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
written = 0
while not ended.is_set() and written < 100000:
    connection.execute("BEGIN IMMEDIATE")
    for statement in sys.argv[2:]:
        connection.execute(statement)
    connection.execute("COMMIT")
    written += 1
    if written == 20:
        print("ready", flush=True)
print(written)
print(connection.execute("SELECT count(*) FROM nodes").fetchone()[0])
"""
PAIR = ("INSERT INTO nodes (name) VALUES ('left')", "INSERT INTO nodes (name) VALUES ('right')")
APPLIED = ("UPDATE raft_applied SET idx = idx + 1",)


class _Process:
    """Another process with a database open, which works until it is stopped and then prints what it did."""

    def __init__(self, program: str, path: Path, *arguments: str) -> None:
        command = [sys.executable, "-c", program, str(path), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == "ready"

    def stop(self) -> list[str]:
        """The words it printed."""
        try:
            out, _err = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert self.process.returncode == 0, out
        return out.split()


class Writer(_Process):
    """A daemon's part: another process with the database open, writing all the time."""

    def __init__(self, path: Path, *statements: str) -> None:
        super().__init__(_WRITER, path, *statements)
        self.transactions = self.nodes = 0

    def __enter__(self) -> Writer:
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it; then it tells how many transactions it wrote and how many nodes it saw on its own connection."""
        self.transactions, self.nodes = map(int, self.stop())


# Writes one transaction after the other, waiting for a lock no longer than given, until its stdin ends. Prints how many
# were written, how many failed with "database is locked", and the longest one in seconds, of the first hundred and since.
_TIMED_WRITER = """
import sqlite3, sys, threading, time
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
connection = sqlite3.connect(sys.argv[1], timeout=float(sys.argv[2]), isolation_level=None)
written = locked = 0
idle = longest = 0.0
while not ended.is_set():
    began = time.monotonic()
    try:
        connection.execute("UPDATE raft_applied SET idx = idx + 1")
        written += 1
    except sqlite3.OperationalError as error:
        assert "locked" in str(error), error
        locked += 1
    longest = max(longest, time.monotonic() - began)
    if written == 120 and not idle:
        print("ready", flush=True)
        idle, longest = longest, 0.0
    # As a daemon with some clients: most of the time it does not write.
    ended.wait(0.002)
print(written, locked, idle, longest)
"""


class TimedWriter(_Process):
    """Another process that writes, and measures how long each write takes."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__(_TIMED_WRITER, path, str(timeout))
        self.written = self.locked = 0
        # Seconds of the longest write: before the block, when no other process has the database, and within it.
        self.idle = self.longest = 0.0

    def __enter__(self) -> TimedWriter:
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        written, locked, idle, longest = self.stop()
        self.written, self.locked, self.idle, self.longest = int(written), int(locked), float(idle), float(longest)


# Leaves a hot journal: pages of the new content are in the database, the old ones in the journal.
_INTERRUPTED = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size=5")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE nodes SET name = 'half-written', data = 'half-written'")
os._exit(0)
"""


def interrupt_a_write(path: Path) -> None:
    """Kill a process in the middle of a transaction whose pages are in the database already."""
    subprocess.run([sys.executable, "-c", _INTERRUPTED, str(path)], check=True)
    journal = path.with_name(path.name + "-journal")
    assert journal.read_bytes()[:4] == b"\xd9\xd5\x05\xf9", "the journal is hot"

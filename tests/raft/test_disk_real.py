# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much disk a real daemon takes while it is asked for snapshots and restored: what pre-flight counts on."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core import paths
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._preflight import disk

from tests.daemon.clusters import Cluster, Daemon


class Peak:
    """The most that a folder had while the block ran, in copies of the database."""

    def __init__(self, folder: Path, database: int) -> None:
        self.folder, self.database, self.copies = folder, database, 0.0

    def look(self) -> None:
        self.copies = max(self.copies, paths.size_of(str(self.folder)) / self.database)


@contextlib.contextmanager
def watched(folder: Path, database: int) -> Iterator[Peak]:
    peak, ended = Peak(folder, database), threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            peak.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        peak.look()


def fill(node: Daemon) -> int:
    """Bytes of its database, which holds some MiB now. Not written through Raft: only the sizes count here."""
    path = node.folder / "pi-controller.db"
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.execute("CREATE TABLE large (id INTEGER PRIMARY KEY, v)")
        connection.executemany("INSERT INTO large (v) VALUES (?)", ((os.urandom(2000),) for _row in range(2500)))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


@pytest.mark.parametrize("profile", ["full"], indirect=True)
def test_p11_no_daemon_takes_more_disk_than_preflight_counts_on(
    cluster: Cluster, binary: Path, run_module, tmp_path: Path
) -> None:
    cluster.write(3)
    leader = cluster.leader
    database = fill(leader)

    def counted(folder: str, *, rollback: bool = False) -> int:
        return max(copies.get(folder, 0) for phase, copies in disk.STEPS["api"] if (phase == "rollback") is rollback)

    def take() -> Path:
        url = f"http://{leader.host}:{leader.ports['rest']}"
        result = run_module(
            "raft_snapshot", {"url": url, "raft_dir": str(leader.raft_dir), "dest": str(tmp_path / "copy")}
        )
        assert result["state_size"] >= database
        return tmp_path / "copy" / "state.bin"

    # The unit's part: a snapshot in prepare, in transfer and in cutover. Its database is there already.
    for number in range(3):
        with watched(leader.folder, database) as taken:
            state = take()
        assert taken.copies < counted("data_dir") + 1.5, f"snapshot {number + 1}"
        cluster.write(1)
    # And in a rollback, which restores them beside the two snapshots that they keep.
    with watched(leader.folder, database) as back:
        result = run_module(
            "raft_snapshot",
            {
                "state": "restored",
                "alone": True,
                "urls": [f"http://{leader.host}:{leader.ports['rest']}"],
                "src": str(state),
            },
        )
    assert not result.get("failed"), result
    assert back.copies < counted("data_dir", rollback=True) + 1.5
    # The pods' part: empty, then restored in transfer and in cutover.
    cluster.stop()
    pods = Cluster(binary, tmp_path / "pods", "full")
    try:
        pods.start()
        for number in range(2):
            folder = pods.leader.folder
            with watched(folder, database) as restored:
                result = run_module("raft_snapshot", {"state": "restored", "urls": pods.urls, "src": str(state)})
            assert not result.get("failed"), result
            assert restored.copies < counted("pod_data_dir") + 0.5, f"restore {number + 1}"
            pods.write(1)
        # And in a rollback, which takes their state. Their leader may be another one by then.
        node = pods.leader
        with watched(node.folder, database) as taken:
            result = run_module(
                "raft_snapshot",
                {
                    "url": f"http://{node.host}:{node.ports['rest']}",
                    "raft_dir": str(node.raft_dir),
                    "dest": str(tmp_path / "back"),
                },
            )
        assert result["state_size"] >= database
        assert taken.copies < counted("pod_data_dir", rollback=True) + 0.5
    finally:
        pods.stop()

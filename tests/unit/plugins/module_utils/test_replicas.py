# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases of several Pis are compared while clients write, and `parallel` is refused where rows would be dropped."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._preflight.daemon import daemon_findings
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._preflight.replicas import (
    followers_findings,
    replica_findings,
)
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._sqlite import replicas
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._sqlite.replicas import (
    RowLooks,
    differ,
    first_rows,
    only_in,
)

VOLATILE = ["nodes.last_seen", "NODES.status"]
SAME: dict[str, Any] = {"ca": None, "program": "p"}


def database(path: Path, rows: list[tuple[Any, ...]], mode: str = "delete") -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT, status TEXT, last_seen TEXT)")
        connection.execute("CREATE TABLE raft_applied (idx INTEGER)")
        connection.execute("INSERT INTO raft_applied VALUES (?)", (hash(path.name) % 1000,))
        connection.executemany("INSERT INTO nodes VALUES (?, ?, ?, ?)", rows)
        connection.commit()
    return path


def without_rows(**found: Any) -> dict[str, Any]:
    return {"tables": {}, "ca": None, "program": None, **found}


def read(path: Path, between: Callable[[], None] = lambda: None) -> dict[str, Any]:
    looks = RowLooks(path, ["raft_applied"], VOLATILE, 1.0)
    looks.first()
    between()
    return looks.others(1, 0)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_d3_columns_the_daemon_writes_are_left_out(tmp_path: Path, mode: str) -> None:
    mine = read(database(tmp_path / "a.db", [(1, "n", "ready", "12:00")], mode))
    theirs = read(database(tmp_path / "b.db", [(1, "n", "gone", "12:30")], mode))
    assert only_in(mine, theirs) == {}
    assert only_in(theirs, mine) == {}


def test_d2_rows_of_one_pi_are_found(tmp_path: Path) -> None:
    mine = read(database(tmp_path / "a.db", [(1, "n", "", ""), (2, "mine", "", "")]))
    theirs = read(database(tmp_path / "b.db", [(1, "n", "", ""), (2, "other", "", ""), (3, "more", "", "")]))
    assert only_in(mine, theirs) == {"nodes": 1}
    assert only_in(theirs, mine) == {"nodes": 2}


def test_d2_a_replica_that_lags_is_not_accused(tmp_path: Path) -> None:
    path = database(tmp_path / "follower.db", [(1, "old", "", ""), (2, "kept", "", "")])

    def catch_up() -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE nodes SET name = 'new' WHERE id = 1")
            connection.commit()

    follower = read(path, catch_up)
    leader = read(database(tmp_path / "leader.db", [(1, "new", "", ""), (2, "kept", "", "")]))
    assert only_in(follower, leader) == only_in(leader, follower) == {}


class Replica:
    """One of two databases that get every write, and the looks at it."""

    def __init__(self, path: Path) -> None:
        self.path = database(path, [(1, "before", "", "")])
        self._looks = RowLooks(self.path, ["raft_applied"], VOLATILE, 1.0)
        self.seen: dict[str, Any] | None = None

    def look(self) -> None:
        if self.seen is None:
            self._looks.first()
        self.seen = self._looks.others(0 if self.seen is None else 1, 0)

    def apply(self, name: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("UPDATE nodes SET name = ? WHERE id = 1", (name,))
            connection.commit()


def suspects(pair: dict[str, Replica], course: str) -> bool:
    """Whether the two seem to differ after this course: a letter is a look at that replica, a number is a write to both."""
    for step in course.split():
        if step in pair:
            pair[step].look()
        else:
            for replica in pair.values():
                replica.apply(step)
    return differ([replica.seen or {} for replica in pair.values()])


@pytest.mark.parametrize(
    ("course", "suspected"),
    [
        ("a b 1 a b", False),
        # One after the other, as on slow Pis, and one within the other.
        ("a a 1 b b", True),
        ("a 1 b b 2 a", True),
        # With three, a look at each is between the first and the third at the other, as long as these begin within a pause.
        ("a 1 b a 2 b a 3 b", False),
        ("a 1 a b 2 b a b", False),
    ],
)
def test_d2_replicas_that_are_written_to(tmp_path: Path, course: str, suspected: bool) -> None:
    both = {name: Replica(tmp_path / f"{name}.db") for name in "ab"}
    assert suspects(both, course) is suspected


@pytest.mark.parametrize("course", ["a b a b", "a a b b", "a 1 b a 2 b a 3 b"])
def test_d2_a_row_of_one_replica_alone_is_always_suspected(tmp_path: Path, course: str) -> None:
    both = {name: Replica(tmp_path / f"{name}.db") for name in "ab"}
    with closing(sqlite3.connect(both["b"].path)) as connection:
        connection.execute("INSERT INTO nodes VALUES (2, 'its own', '', '')")
        connection.commit()
    assert suspects(both, course)


@pytest.mark.parametrize(("taken", "left"), [(0.5, 1.5), (2.5, 0.0)])
def test_d2_what_is_read_in_the_pause_counts_as_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: float, left: float
) -> None:
    now = [100.0]
    slept: list[float] = []
    monkeypatch.setattr(replicas.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(replicas.time, "sleep", slept.append)
    looks = RowLooks(database(tmp_path / "a.db", [(1, "n", "", "")]), [], [], 1.0)
    looks.first()
    now[0] += taken
    assert looks.others(1, 2.0)["nodes"]["unsteady"] == ""
    assert slept == [pytest.approx(left)]


def test_d2_of_a_large_table_the_same_rows_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "KEEP", 50)
    rows = [(number, f"n{number}", "", "") for number in range(500)]
    one, same = read(database(tmp_path / "a.db", rows)), read(database(tmp_path / "b.db", [*rows, (900, "x", "", "")]))
    assert only_in(one, same) == {}
    assert only_in(one, read(database(tmp_path / "c.db", [])))["nodes"] == 50


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("count", [30, 43, 49, 50, 51, 100, 101, 102, 400])
def test_d2_a_large_table_is_read_as_if_all_of_it_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, written: bool
) -> None:
    """What is dropped while rows are read changes nothing of what is compared."""
    rows = [(number, f"n{number}", "", "") for number in range(count)]

    def found(name: str) -> dict[str, Any]:
        path = database(tmp_path / name, rows)

        def write() -> None:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("UPDATE nodes SET name = name || '!' WHERE id % 7 = 0")
                connection.execute("DELETE FROM nodes WHERE id % 11 = 0")
                connection.commit()

        both: dict[str, Any] = read(path, write if written else lambda: None)["nodes"]
        return both

    monkeypatch.setattr(replicas, "KEEP", 50)
    limited = found("limited.db")
    monkeypatch.setattr(replicas, "_smallest", set)
    assert limited == found("whole.db")
    assert bool(limited["unsteady"]) is written
    assert len(replicas.hashes_in(limited["rows"])) <= 50
    assert isinstance(limited["rows"], str), "Ansible marks and copies each item of a list"


def test_d2_parallel_is_refused_and_rolling_named(tmp_path: Path) -> None:
    data = {
        "pi-1": {**SAME, "tables": read(database(tmp_path / "a.db", [(1, "n", "", "")]))},
        "pi-2": {**SAME, "tables": read(database(tmp_path / "b.db", [(1, "n", "", ""), (2, "mine", "", "")]))},
        "pi-3": {**SAME, "tables": read(database(tmp_path / "c.db", [(1, "n", "", "")]))},
    }
    (finding,) = replica_findings(data, "pi-1", "parallel")
    assert (finding.host, finding.level) == ("pi-2", "error")
    assert finding.seen == "pi-2 has rows that pi-1 does not have: 1 of nodes"
    assert "migration.strategy to rolling" in finding.fix
    assert list(replica_findings(data, "pi-1", "rolling")) == []
    assert list(replica_findings(data, None, "parallel")) == []


@pytest.mark.parametrize(("ca", "seen"), [("other", "its content differs"), (None, "only on pi-1")])
def test_d9_a_ca_of_its_own_refuses_parallel(ca: str | None, seen: str) -> None:
    data = {host: without_rows(ca=found) for host, found in (("pi-1", "one"), ("pi-2", ca))}
    (finding,) = replica_findings(data, "pi-1", "parallel")
    assert (finding.check, finding.level) == ("CA folder", "error")
    assert seen in finding.seen


def test_d9_another_release_is_a_warning() -> None:
    data = {host: without_rows(program=program) for host, program in (("pi-1", "a"), ("pi-2", "b"))}
    (finding,) = replica_findings(data, "pi-1", "parallel")
    assert (finding.check, finding.level) == ("daemon's release", "warning")


def preflight(
    run_module: Callable[..., dict[str, Any]], paths: dict[str, str], data_dir: Path, **given: Any
) -> dict[str, Any]:
    """What the module that reads a Pi returns. It is not in a cluster."""
    of_the_pi = {"unit": "none.service", "ports": [], "address": "127.0.0.1", "urls": [], "pause": 0}
    return run_module("preflight_host", {**of_the_pi, "paths": {**paths, "data_dir": str(data_dir)}, **given})


def test_d9_only_digests_leave_the_pi(tmp_path: Path, run_module: Callable[..., dict[str, Any]]) -> None:
    path = database(tmp_path / "a.db", [(1, "planted-secret", "", "")])
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "key.pem").write_text("planted-secret")
    given: Any = {"paths": {"database": str(path)}, "data_dir": tmp_path, "ca_dir": str(tmp_path / "ca")}
    result = preflight(run_module, **given)
    assert result["changed"] is False
    assert len(replicas.hashes_in(result["data"]["tables"]["nodes"]["rows"])) == 1
    assert "planted-secret" not in str({key: value for key, value in result.items() if key != "invocation"})
    (tmp_path / "ca" / "key.pem").write_text("another")
    assert preflight(run_module, **given)["data"]["ca"] != result["data"]["ca"]


def file_findings(
    run_module: Callable[..., dict[str, Any]],
    folder: Path,
    text: str,
    raft: bool = True,
    env: dict[str, str] | None = None,
) -> list[Any]:
    """What pre-flight says of a configuration file."""
    (folder / "config.yaml").write_text(text)
    if raft:
        (folder / "raft").mkdir(exist_ok=True)
    raft_dir = str(folder / "raft")
    paths = {"database": "/none", "config_file": str(folder / "config.yaml")}
    # What is in the file is known although the database is not there.
    result = preflight(run_module, paths, folder, compare=False, raft_dir=raft_dir)["data"]
    assert "/none does not exist" in result["msg"]
    owner = {"probe_host": "127.0.0.1", "addresses": {"pi-1": "10.77.0.11"}, "raft_dir": raft_dir}
    return list(daemon_findings({"pi-1": result}, env or {}, owner))


@pytest.mark.parametrize(
    "text",
    ["api:\n  host: 0.0.0.0 # all\n", "api:\n  port: 1\nkubernetes:\n  enabled: false\n", '{"api": {"host": ""}}'],
)
def test_d1_an_ordinary_file_has_no_findings(
    run_module: Callable[..., dict[str, Any]], tmp_path: Path, text: str
) -> None:
    assert file_findings(run_module, tmp_path, text) == []


def test_d1_a_file_no_pod_can_have_is_found_before(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (finding,) = file_findings(run_module, tmp_path, "api: {port: 8080, token: planted-secret}\n")
    assert finding.check == "configuration file"
    assert "line 1" in finding.seen
    assert "planted-secret" not in str(finding)


def test_d8_kubernetes_without_a_kubeconfig_is_reported(
    run_module: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    text = "kubernetes:\n  enabled: true\n"
    (finding,) = file_findings(run_module, tmp_path, text)
    assert (finding.check, finding.level) == ("kubernetes.enabled", "warning")
    assert "kubeconfig" in finding.wanted
    assert file_findings(run_module, tmp_path, text, env={"PI_CONTROLLER_KUBERNETES_ENABLED": "false"}) == []


def test_d10_a_raft_folder_elsewhere_is_found(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (finding,) = file_findings(run_module, tmp_path, "cluster:\n  data_dir: ./data/raft\n", raft=False)
    assert finding.check == "Raft folder"
    assert "./data/raft" in finding.seen


def test_d10_a_daemon_at_one_address_needs_probes_there(
    run_module: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (finding,) = file_findings(run_module, tmp_path, "api:\n  host: '10.0.0.1' # one\n")
    assert finding.seen.startswith("10.0.0.1,")
    assert "pi_controller_probe_host" in finding.fix


ROWS = [(number, f"n-{number}", "ready", "12:00") for number in range(1, 31)]


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize(
    ("theirs", "takes_writes", "refused"),
    [
        ([(number, f"{name} of pi-2", status, seen) for number, name, status, seen in ROWS], False, True),
        ([(number, f"{name} of pi-2", status, seen) for number, name, status, seen in ROWS], True, False),
        # A replica that lags by some rows, and columns that the daemon writes.
        ([(1, "older", "gone", "12:30"), *ROWS[1:5]], False, False),
        ([(1, "older", "", "")], False, False),
    ],
)
def test_d2_data_of_its_own_is_noticed_before_clients_are_routed(
    tmp_path: Path, mode: str, theirs: list[tuple[Any, ...]], takes_writes: bool, refused: bool
) -> None:
    data = {
        pi: {"first_rows": first_rows(database(tmp_path / f"{pi}.db", rows, mode), ["raft_applied"], VOLATILE, 1.0)}
        for pi, rows in (("pi-1", ROWS), ("pi-2", theirs))
    }
    found = list(followers_findings(data, "pi-1", takes_writes))
    assert [(finding.host, finding.level) for finding in found] == ([("pi-2", "error")] if refused else [])
    assert all("pi_controller_followers_write" in finding.fix for finding in found)
    assert len(data["pi-1"]["first_rows"]["nodes"]) == replicas.FIRST

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory that reading a database takes, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT, import_plugin
from databases import execute, make, session

rows = import_plugin("module_utils._sqlite.rows")
digests = import_plugin("module_utils._sqlite.digest")
difference = import_plugin("module_utils._sqlite.difference")

pytestmark = pytest.mark.patient

MIB = 1 << 20
BAR_MIB = 32

# Prints MiB above what the interpreter takes with everything imported. VmHWM and not getrusage: the latter starts with
# what the parent had when it made this process.
_MEASURED = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1] + "/.collections"]
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._sqlite import copies, digest, replicas

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

path, work = Path(sys.argv[3]), sys.argv[2]
before = peak()
if work == "digest":
    with copies.isolated(path, 5) as (connection, _waited):
        digest.content_of(connection)
elif work == "backup":
    def inspect(copy):
        digest.content_of(copy)
    copies.write_standalone(path, path.with_name("copy.db"), 0o600, 5, inspect)
elif work == "looks":
    looks = replicas.RowLooks(path, [], [], 5)
    looks.first()
    assert looks.others(1, 0)["large"]["rows"]
elif work == "compare":
    with copies.isolated(path, 5) as (one, _waited), copies.isolated(path, 5) as (other, _waited):
        assert digest.compare(one, other)["large"]["changed"] == 0
elif work == "differences":
    with copies.isolated(path, 5) as (one, _waited), copies.isolated(path.with_name("other.db"), 5) as (other, _waited):
        assert digest.compare(one, other)["large"]["changed"] == 250_000
print(peak() - before)
"""


def used_mib(work: str, path: Path) -> float:
    command = [sys.executable, "-c", _MEASURED, str(CHECKOUT), work, str(path)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout)


def large(path: Path, declared: str, *values: str, wal: bool = True) -> Path:
    make(path, wal=wal)
    with session(path) as connection:
        connection.execute(f"CREATE TABLE large {declared}")
        for number, value in enumerate(values):
            connection.execute(f"INSERT INTO large VALUES ({number}, {value})")
    return path


KEYED, UNKEYED = "(id INTEGER PRIMARY KEY, v)", "(id, v)"
NEEDS_BLOBS = pytest.mark.skipif(sys.version_info < (3, 11), reason="values are read in parts from Python 3.11 on")


@pytest.mark.slow
@pytest.mark.parametrize("work", ["digest", "backup", "compare", "looks"])
@pytest.mark.parametrize("declared", [KEYED, UNKEYED])
@pytest.mark.parametrize("value", ["randomblob(1048576)", "hex(randomblob(524288))"])
def test_p10_forty_values_of_a_mebibyte_take_little_memory(tmp_path, work, declared, value):
    path = large(tmp_path / "large.db", declared, *[value] * 40)
    assert used_mib(work, path) < BAR_MIB


@pytest.mark.slow
@NEEDS_BLOBS
@pytest.mark.parametrize(("work", "wal"), [("digest", True), ("backup", True), ("digest", False), ("backup", False)])
def test_m5_a_value_of_256_mib_takes_no_more_memory_than_a_small_one(tmp_path, work, wal):
    path = large(tmp_path / "large.db", UNKEYED, "zeroblob(268435456)", wal=wal)
    assert path.stat().st_size > 256 * MIB
    assert used_mib(work, path) < BAR_MIB


@pytest.mark.slow
@NEEDS_BLOBS
def test_p10_a_text_of_64_mib_takes_no_more_memory_than_a_small_one(tmp_path):
    path = large(tmp_path / "large.db", KEYED, "hex(zeroblob(33554432))")
    assert used_mib("digest", path) < BAR_MIB


@pytest.mark.slow
def test_p10_many_rows_that_are_looked_at_twice_take_little_memory(tmp_path):
    """All of their hashes would take some 80 MiB."""
    path = large(tmp_path / "large.db", KEYED)
    with session(path) as connection:
        connection.execute(
            "INSERT INTO large WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 250000) SELECT i, 'v' || i FROM n"
        )
    assert used_mib("looks", path) < BAR_MIB


@pytest.mark.slow
def test_p10_many_rows_that_all_differ_take_little_memory(tmp_path):
    """They fill one turn almost. More rows take more turns, not more memory."""
    assert 0.9 * difference.ROWS < 2 * 250_000 <= difference.ROWS
    for name, value in (("large.db", "'v' || i"), ("other.db", "'w' || i")):
        with session(large(tmp_path / name, KEYED, wal=False)) as connection:
            connection.execute(
                "INSERT INTO large WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 250000)"
                f" SELECT i, {value} FROM n"
            )
    assert used_mib("differences", tmp_path / "large.db") < BAR_MIB


@pytest.mark.slow
def test_p10_a_row_of_many_large_columns_takes_little_memory(tmp_path):
    """None of them is above the limit of an ordinary table. A row that is read whole takes 50 MiB; several rows take no more."""
    path = make(tmp_path / "wide.db")
    columns = [f"c{number}" for number in range(1500)]
    with session(path) as connection:
        connection.execute(f"CREATE TABLE wide ({', '.join(columns)})")
        connection.execute(f"INSERT INTO wide VALUES ({', '.join(['randomblob(16000)'] * 1500)})")
    assert used_mib("digest", path) < BAR_MIB


def content(path: Path):
    with session(path) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        return digests.content_of(connection)


MIXED = [
    "1",
    "NULL",
    "'short'",
    "x'00ff'",
    "2.5",
    "CAST(x'ff' AS TEXT)",
    "zeroblob(16384)",
    "zeroblob(16385)",
    "hex(zeroblob(8192))",
    "hex(zeroblob(8192)) || 'x'",
    "CAST(zeroblob(20000) AS TEXT)",
]


@pytest.mark.parametrize("declared", [KEYED, UNKEYED, "(id INTEGER PRIMARY KEY, rowid)", '(id, "_rowid_" TEXT)'])
def test_p10_values_read_in_parts_and_whole_give_one_digest(tmp_path, declared, monkeypatch):
    """Pis with different Pythons have to agree."""
    path = large(tmp_path / "mixed.db", declared, *MIXED)
    in_parts = content(path)
    monkeypatch.setattr(rows, "streams", lambda *_: False)

    assert content(path).equals(in_parts)
    assert in_parts.rows()["large"] == len(MIXED)


@pytest.mark.parametrize("declared", [KEYED, UNKEYED])
@pytest.mark.parametrize(
    ("this", "that"),
    [
        ("zeroblob(50000)", "zeroblob(50001)"),
        ("zeroblob(50000)", "CAST(zeroblob(50000) AS TEXT)"),
        ("zeroblob(50000)", "'blob of 50000 bytes, SHA-256 ' || lower(hex(zeroblob(32)))"),
        ("randomblob(50000)", "randomblob(50000)"),
    ],
)
def test_p10_other_large_values_are_other_content(tmp_path, declared, this, that):
    one, two = (large(tmp_path / f"{number}.db", declared, value) for number, value in enumerate((this, that)))
    assert content(one).digest != content(two).digest


def test_p10_a_text_cannot_forge_a_large_value(tmp_path):
    one = large(tmp_path / "1.db", KEYED, "zeroblob(50000)")
    described = []
    with session(one) as connection:
        table = rows.table_of(connection, "large")
        described = [row[1] for batch in rows.batches(connection, table, frozenset()) for row in batch]
    assert isinstance(described[0], str)
    two = large(tmp_path / "2.db", KEYED, f"'{described[0]}'")
    assert content(one).digest != content(two).digest


@pytest.mark.parametrize("at", ["first", "last"])
def test_p10_a_large_row_at_either_end_of_the_rowids_is_read(tmp_path, at):
    path = large(tmp_path / "ends.db", KEYED)
    rowid = {"first": -(1 << 63), "last": (1 << 63) - 1}[at]
    execute(path, "INSERT INTO large VALUES (?, zeroblob(20000)), (5, 'x'), (6, zeroblob(20000))", rowid)
    assert content(path).rows()["large"] == 3
    before = content(path)
    execute(path, "UPDATE large SET v = zeroblob(20001) WHERE id = ?", rowid)
    assert content(path).digest != before.digest


def test_p10_a_large_value_beside_generated_columns_is_read(tmp_path):
    path = make(tmp_path / "generated.db")
    execute(path, "CREATE TABLE large (id INTEGER PRIMARY KEY, v, n AS (length(v)), m AS (id + 1) STORED)")
    execute(path, "INSERT INTO large (id, v) VALUES (1, zeroblob(50000)), (2, 'x')")
    assert content(path).rows()["large"] == 2


def test_p10_text_stored_as_utf_16_is_read(tmp_path):
    path = tmp_path / "wide.db"
    execute(path, "PRAGMA encoding='UTF-16le'")
    with session(path) as connection:
        connection.execute("PRAGMA encoding='UTF-16le'")
        connection.execute(f"CREATE TABLE large {KEYED}")
        connection.execute("INSERT INTO large VALUES (1, 'é'), (2, hex(zeroblob(20000)))")
    assert execute(path, "PRAGMA encoding") == [("UTF-16le",)]
    assert content(path).rows() == {"large": 2}

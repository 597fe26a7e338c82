# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/daemon.md names tests for every row, and each of these files has a test with the row's number in its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
TABLE = (TESTS.parent / "docs/daemon.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (D\d+) \|.*\| ([^|]*) \|$", TABLE, re.MULTILINE)


def named_after(row: str, path: Path) -> list[str]:
    """Tests of the file with this row in their names: test_d4_…"""
    names = re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for name in names if row.lower() in name.split("_")]


def test_every_row_is_there() -> None:
    assert [row for row, _ in ROWS] == [f"D{number}" for number in range(1, 13)]


@pytest.mark.parametrize(("row", "cell"), ROWS, ids=[row for row, _ in ROWS])
def test_every_file_of_a_row_has_tests_that_name_it(row: str, cell: str) -> None:
    named = re.findall(r"`([^`]*test_\w+\.py)`", cell)
    assert named, f"{row}: no test"
    for name in named:
        paths = [path for path in TESTS.rglob("test_*.py") if f"/{path.relative_to(TESTS.parent)}".endswith(f"/{name}")]
        found = [path for path in paths if named_after(row, path)]
        assert len(found) == 1, f"{row}: no single file {name} has a test with {row.lower()} in its name: {paths}"


def test_a_row_is_found_as_a_whole_word(tmp_path: Path) -> None:
    path = tmp_path / "test_some.py"
    path.write_text("def test_d11_d2_a_unit() -> None:\n    pass\n")
    assert [row for row in ("D1", "D11", "D2", "D12") if named_after(row, path)] == ["D11", "D2"]

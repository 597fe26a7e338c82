# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/daemon.md names tests for every row, and each of these files has a test with the row's number in its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.structure.rows import named_after

TESTS = Path(__file__).resolve().parents[1]
TABLE = (TESTS.parent / "docs/daemon.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (D\d+) \|.*\| ([^|]*) \|$", TABLE, re.MULTILINE)


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

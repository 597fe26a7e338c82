# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/real-systems.md names tests for every row, and each of these files has a test with the row's number in its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.structure.rows import named_after

TESTS = Path(__file__).resolve().parents[1]
TABLE = (TESTS.parent / "docs/real-systems.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([A-Z]\d+) \|.*\| (.+?) \|$", TABLE, re.MULTILINE)
LAST = {"P": 12, "S": 3, "A": 8, "K": 12}


def test_every_row_is_there() -> None:
    wanted = {f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)}
    assert {row for row, _ in ROWS} == wanted


@pytest.mark.parametrize(("row", "cell"), ROWS, ids=[row for row, _ in ROWS])
def test_every_file_of_a_row_has_tests_that_name_it(row: str, cell: str) -> None:
    named = re.findall(r"`([^`]*test_\w+\.py)`", cell)
    assert named, f"{row}: no test"
    for name in named:
        paths = list(TESTS.glob(name.replace("…", "**")))
        assert len(paths) == 1, f"{row}: {name} is {paths}"
        assert named_after(row, paths[0]), (
            f"{row}: no test of {paths[0].relative_to(TESTS)} has {row.lower()} in its name"
        )


@pytest.mark.parametrize(
    ("name", "rows", "found"),
    [
        ("test_p11_p2_a_disk", ("P1", "P11", "P2", "P12"), ["P11", "P2"]),
        ("test_d11_d2_a_unit", ("D1", "D11", "D2", "D12"), ["D11", "D2"]),
    ],
)
def test_a_row_is_found_as_a_whole_word(tmp_path: Path, name: str, rows: tuple[str, ...], found: list[str]) -> None:
    path = tmp_path / "test_some.py"
    path.write_text(f"def {name}() -> None:\n    pass\n")
    assert [row for row in rows if named_after(row, path)] == found

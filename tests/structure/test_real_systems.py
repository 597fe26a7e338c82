# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/real-systems.md names tests for every row, and each of these files has a test with the row's number in its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
TABLE = (TESTS.parent / "docs/real-systems.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([A-Z]\d+) \|.*\| (.+?) \|$", TABLE, re.MULTILINE)
LAST = {"P": 12, "S": 3, "A": 7, "K": 12}


def named_after(row: str, path: Path) -> list[str]:
    """Tests of the file with this row in their names: test_p1_…, test_p6_p7_p8_…"""
    names = re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for name in names if row.lower() in name.split("_")]


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
        assert named_after(row, paths[0]), f"{row}: no test of {paths[0].relative_to(TESTS)} has {row.lower()} in its name"


def test_a_row_is_found_as_a_whole_word(tmp_path: Path) -> None:
    path = tmp_path / "test_some.py"
    path.write_text("def test_p11_p2_a_disk() -> None:\n    pass\n")
    assert [row for row in ("P1", "P11", "P2", "P12") if named_after(row, path)] == ["P11", "P2"]

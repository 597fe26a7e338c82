# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages that people read in an editor: their prose fits into a window."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COLUMNS = 120
GENERATED = ("CHANGELOG.md", "docs/benchmark.md", "roles/")


def too_long(text: str) -> Iterator[int]:
    """The numbers of the lines of prose that are too long; tables, commands and headings have the length they need."""
    quoted = False
    for number, line in enumerate(text.splitlines(), 1):
        quoted ^= line.startswith("```")
        if len(line) > COLUMNS and not quoted and not line.startswith(("|", "#", "    ")) and " " in line.strip():
            yield number


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("short", []),
        ("word " * 30, [1]),
        ("- an item " + "word " * 30, [1]),
        ("| a table " + "word " * 30, []),
        ("    a command " + "word " * 30, []),
        ("```\n" + "word " * 30 + "\n```\n" + "word " * 30, [4]),
        ("https://example.com/" + "x" * 120, []),
    ],
)
def test_a_line_of_prose_that_is_too_long_is_found(text: str, found: list[int]) -> None:
    assert list(too_long(text)) == found


def test_prose_fits_into_the_window() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, check=True
    ).stdout.split()
    pages = [path for path in listed if not path.startswith(GENERATED)]
    assert "README.md" in pages
    assert [f"{path}:{number}" for path in pages for number in too_long((REPOSITORY / path).read_text())] == []

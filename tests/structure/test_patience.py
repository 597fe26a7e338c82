# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No test fails because the machine is slow: bars on measured times are ratios."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.structure import patience

TESTS = Path(__file__).resolve().parents[1]


def found_in(folder: Path, line: str) -> list[int]:
    """Where it is found in a test of this one line, which is the second of its file."""
    path = folder / "test_some.py"
    path.write_text(f"def test():\n    {line}\n")
    return patience.assertions(path)


def test_no_time_is_held_against_a_plain_number() -> None:
    found = [
        f"{path.relative_to(TESTS.parent)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        for line in patience.assertions(path)
    ]
    assert found == [], "compare it with a patience that has a name, or with another time of the same test"


@pytest.mark.parametrize(
    "line",
    [
        "assert time.monotonic() - began < 10, 'generous'",
        "assert 0.3 <= monotonic() - began < 3",
        "assert 10 > result['elapsed']",
        "assert max(result['elapsed'] for result in results) < 15",
        "assert run.seconds < 30 and done",
        "assert took(began) <= 2.5",
        "assert figures['duration_seconds'] < 300",
        "assert 3 < raised['at'] - raised['began'] < 5",
    ],
)
def test_each_form_of_it_is_found(tmp_path: Path, line: str) -> None:
    assert found_in(tmp_path, line) == [2]


@pytest.mark.parametrize(
    "line",
    [
        "assert time.monotonic() < deadline",
        "assert result['elapsed'] < PATIENCE / 2",
        "assert result['elapsed'] >= 0.5",
        "assert work(100_000) < 30 * few",
        "assert changed < 3",
    ],
)
def test_nothing_else_is(tmp_path: Path, line: str) -> None:
    assert found_in(tmp_path, line) == []

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No test is left out unnoticed: each is part of `make test`, or of `make test-longer`."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
RUN = (TESTS / "run.sh").read_text(encoding="utf-8")


def test_every_folder_with_tests_is_run() -> None:
    folders = {path.parent.name for path in TESTS.glob("*/test_*.py")} - {"e2e"}
    named = set(" ".join(re.findall(r"^\s*suites ((?:\w+ ?)+)", RUN, re.MULTILINE)).split())
    assert len(folders) > 4
    assert folders == named


def test_every_test_on_the_lab_is_run() -> None:
    """Each file in one of the two; one with tests that are marked `longer` in both, which share them by that mark."""
    longer = (TESTS.parent / "Makefile").read_text(encoding="utf-8")
    files = {
        path.name: "pytest.mark.longer" in path.read_text(encoding="utf-8") for path in TESTS.glob("e2e/test_*.py")
    }
    shared = [name for name, marked in files.items() if marked]
    assert len(files) > 8
    named = re.findall(r"tests/e2e/(test_\w+\.py)", RUN + longer)
    assert sorted(named) == sorted([*files, *shared])
    for text, mark in ((RUN, '-m "not longer" '), (longer, "-m longer ")):
        commands = [
            command for command in text.replace("\\\n", "").splitlines() if any(name in command for name in shared)
        ]
        assert commands, mark
        assert all(mark in command for command in commands), mark

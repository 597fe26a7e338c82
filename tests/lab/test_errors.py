# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps the lab from going on is one kind of error, which every program that uses the lab shows in one sentence."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.e2e import demo, rehearsal
from tests.lab.shell import LabError

TESTS = Path(__file__).resolve().parents[1]


def test_there_is_one_lab_error() -> None:
    found = [
        str(path.relative_to(TESTS))
        for path in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name == "LabError"
    ]
    assert found == ["lab/shell.py"]


def test_the_demo_shows_an_error_of_the_lab(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_profile: str) -> list[str]:
        raise LabError("pi-2 did not boot: see /var/log/pi-lab/pi-2.log")

    monkeypatch.setattr(rehearsal, "old_world", broken)
    monkeypatch.setattr("sys.argv", ["demo"])
    assert demo.main() == 1
    assert capsys.readouterr().err == "demo: pi-2 did not boot: see /var/log/pi-lab/pi-2.log\n"

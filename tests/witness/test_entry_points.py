# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge is one program under two names, the older of which is used in notes and scripts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .history import History, load
from .program import load_final

CHECKOUT = Path(__file__).resolve().parents[2]
HISTORY = CHECKOUT / "tests/witness/histories/cutover.jsonl.gz"
FINAL = HISTORY.with_name("cutover.final.jsonl.gz")


@pytest.mark.parametrize("name", ["tests.witness", "tests.lab.witness"])
def test_both_names_of_the_judge_give_a_verdict(tmp_path: Path, name: str) -> None:
    verdict = tmp_path / "verdict.json"
    command = [
        sys.executable,
        "-m",
        name,
        "judge",
        str(HISTORY),
        "--final-state",
        str(FINAL),
        "--max-write-pause",
        "15",
    ]
    done = subprocess.run(
        [*command, "--json", str(verdict)], cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False
    )
    assert verdict.is_file(), done.stderr
    # Judged, not refused for lack of evidence or ended by an error; the code says the same as the file.
    assert done.returncode in (0, 1), done.stderr
    assert json.loads(verdict.read_text())["ok"] == (done.returncode == 0)
    # A name that loads nothing would end well, too.
    assert done.stdout.strip(), done.stderr


def test_the_recorded_history_is_one_with_its_final_state() -> None:
    history: History = load([HISTORY])
    assert history.operations
    assert load_final(FINAL)


def test_both_halves_of_these_tests_are_run() -> None:
    """What can wait for the processors is judged beside the lab, as with the unit tests."""
    run = (Path(__file__).resolve().parents[1] / "run.sh").read_text(encoding="utf-8")
    assert re.search(r'^\s*witness\) .*-m "not patient"\) ;;$', run, re.MULTILINE)
    assert re.search(r"^patient\(\) \{\n(    .*\n)*.* -m patient tests/witness \|\| touch ", run, re.MULTILINE)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A skip fails `make test`, in one process and in several."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
@pytest.mark.parametrize(("body", "ends"), [("pass", 0), ("pytest.skip('no network')", 1)])
def test_a_skip_fails_the_run(tmp_path: Path, workers: list[str], body: str, ends: int) -> None:
    (tmp_path / "test_one.py").write_text(f"import pytest\n\n\ndef test_one():\n    {body}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.no_skips", "-p", "no:cacheprovider", *workers]
    done = subprocess.run(
        [*command, f"--rootdir={tmp_path}", str(tmp_path)], cwd=CHECKOUT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == ends, done.stdout + done.stderr
    assert ("skipped, and must not be" in done.stdout) == (ends == 1)


def test_every_pytest_of_make_test_has_it() -> None:
    lines = [line for line in (CHECKOUT / "tests/run.sh").read_text().splitlines() if "-m pytest" in line]
    assert lines
    assert [line for line in lines if "-p tests.no_skips" not in line] == []

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No test is left out unnoticed: each is part of `make test`, or of `make test-longer`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.e2e import looks
from tests.e2e.conftest import COURSE

TESTS = Path(__file__).resolve().parents[1]
RUN = (TESTS / "run.sh").read_text(encoding="utf-8")


def test_every_folder_with_tests_is_run() -> None:
    folders = {path.parent.name for path in TESTS.glob("*/test_*.py")} - {"e2e"}
    named = set(" ".join(re.findall(r"^\s*suites ((?:\w+ ?)+)", RUN, re.MULTILINE)).split())
    assert len(folders) > 4
    assert folders == named


def test_each_half_of_the_unit_tests_is_run() -> None:
    """Those that can wait for the processors run beside the lab; the last line of the run waits for them."""
    assert re.search(r'^\s*unit\) .*-m "not patient"\) ;;$', RUN, re.MULTILINE)
    assert re.search(r"^patient\(\) \{\n.*\n.* -m patient tests/unit \|\| touch ", RUN, re.MULTILINE)
    assert re.search(r"^patient &\nplaybooks=\$!$", RUN, re.MULTILINE)
    assert re.search(r'^wait "\$playbooks" .*\nbeside=\(\)\nnothing_failed$', RUN, re.MULTILINE)


def test_every_test_on_the_lab_is_run() -> None:
    """By its marks: `longer` is for `make test-longer`; a file that is marked `by_name` is named, all others are not."""
    makefile = (TESTS.parent / "Makefile").read_text(encoding="utf-8")
    assert re.search(r'^on_the_lab .*-m "not longer and not by_name" tests/e2e$', RUN, re.MULTILINE)
    assert re.search(r" -m longer tests/e2e$", makefile, re.MULTILINE)
    named = {
        path.name for path in TESTS.glob("e2e/test_*.py") if "pytest.mark.by_name" in path.read_text(encoding="utf-8")
    }
    assert named
    assert set(re.findall(r"^on_the_lab .* tests/e2e/(test_\w+\.py)$", RUN, re.MULTILINE)) == named


def test_each_test_of_make_test_has_its_place_on_the_lab() -> None:
    """One without a place would come last, from whatever lab there is then, and one that was renamed would as well."""
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", "not longer and not by_name", "tests/e2e"]
    listed = subprocess.run(command, cwd=TESTS.parent, text=True, capture_output=True, check=True, timeout=120).stdout
    found = [line.removeprefix("tests/e2e/") for line in listed.splitlines() if "::" in line]
    assert found == list(COURSE)


def test_molecules_tests_are_also_run_after_a_whole_migration() -> None:
    """Molecule goes phase by phase, each scenario on a lab of its own; tests/e2e looks at the same hosts after a whole migration."""
    root = TESTS.parent
    folders = {str(path.parent.relative_to(root)) for path in root.glob("molecule/**/test_*.py")}
    assert folders == set(looks.FOLDERS.values())
    used = {
        phase
        for path in TESTS.glob("e2e/test_*.py")
        for phase in re.findall(r'^ +look\("(\w+)"\)$', path.read_text(), re.MULTILINE)
    }
    assert used == set(looks.FOLDERS)


def test_all_of_molecule_is_run() -> None:
    assert re.search(r"^tests/molecule\.sh \|\|", RUN, re.MULTILINE)

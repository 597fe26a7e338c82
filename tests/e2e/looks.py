# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Molecule's scenarios look at after a phase, looked at on a lab that an end-to-end test has brought there."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.e2e import rehearsal

FOLDERS = {
    "prepare": "molecule/prepare/tests",
    "transfer": "molecule/transfer/tests",
    "cutover": "molecule/cutover/tests",
    "cleanup": "molecule/shared/migrated",
    "rollback": "molecule/rollback/tests",
}


def look(after: str) -> None:
    """Every test of that scenario passes; those that do not are shown by their names."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOLECULE_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", FOLDERS[after]],
        cwd=rehearsal.REPOSITORY,
        env=environment,
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    print(f"after {after}: {done.stdout.splitlines()[-1]}")

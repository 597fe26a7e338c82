# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a test wants it: set back to the old world, or migrated."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
if str(REPOSITORY) not in sys.path:
    sys.path.insert(0, str(REPOSITORY))

from tests.e2e import rehearsal  # noqa: E402

BEGAN = time.monotonic()


def pytest_runtest_logstart(nodeid: str) -> None:
    """A line for each test as it begins: some take minutes."""
    print(f"\n[{time.monotonic() - BEGAN:4.0f} s] {nodeid}", flush=True)


@pytest.fixture
def old_world() -> Callable[[str], list[str]]:
    """Sets the lab back to a systemd cluster of the given profile; returns the hosts' names."""

    return rehearsal.old_world


@pytest.fixture
def migrated(tmp_path: Path) -> Callable[[str], list[str]]:
    """A cluster of the given profile that is migrated, by the test before or now; returns the hosts' names."""

    return lambda profile: rehearsal.migrated(profile, tmp_path / "forth.log")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the collection was installed from its tarball, as a user gets it."""
    folder = tmp_path_factory.mktemp("installed")
    done = subprocess.run(
        [REPOSITORY / "tests/tarball.sh"], env={**os.environ, "INTO": str(folder)}, text=True, capture_output=True
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    return folder

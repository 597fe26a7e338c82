# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.clusters import Cluster, find_program

_UNIT = Path(__file__).resolve().parents[1] / "unit" / "conftest.py"
_spec = importlib.util.spec_from_file_location("unit_conftest", _UNIT)
assert _spec
assert _spec.loader
_unit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_unit)

# The same way to run a module as in the unit tests.
run_module = _unit.run_module


@pytest.fixture(scope="session")
def binary() -> Path:
    return find_program()


@pytest.fixture(params=["full", "upstream"])
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cluster(binary: Path, tmp_path: Path, profile: str) -> Iterator[Cluster]:
    """A cluster of three, running and with n1 as the leader."""
    one = Cluster(binary, tmp_path, profile)
    try:
        yield one.start()
    finally:
        one.stop()

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollback before the ports have moved, when the pods' cluster is a second one; tests/e2e/test_migration.py has the one from the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.e2e.way_back import back

UP_TO_CUTOVER = "prepare,transfer,validate,cutover"


@pytest.mark.parametrize("profile", ["full", "upstream"])
def test_back_from_after_the_cutover_brings_the_writes_of_the_pods(
    old_world: Callable[[str], list[str]], installed: Path, tmp_path: Path, profile: str
) -> None:
    """With the collection as it is installed from its tarball. (tests/e2e/test_report.py goes back from before the cutover.)"""
    names = old_world(profile)
    old_leader = on.leader(names)
    with rehearsal.witnessed(tmp_path) as witness:
        forth = rehearsal.run_playbook(
            "playbooks/migrate.yml",
            "-e",
            "confirm=true",
            "--tags",
            UP_TO_CUTOVER,
            log=tmp_path / "forth.log",
            installed=installed,
        )
        assert forth.returncode == 0, forth.output[-4000:]
        lags = rehearsal.price_of_upstream(old_leader) if profile == "upstream" else ["--staleness", "2"]
        began = time.time()
        back(names, tmp_path / "back.log", installed=installed)
        allowed = excused(names, began, time.time())
    (tmp_path / "allowances.json").write_text(json.dumps(allowed))
    verdict, summary = witness.judge(rehearsal.ROLLBACK, "--allowances", str(tmp_path / "allowances.json"), *lags)
    print(summary)
    assert verdict["ok"], summary


def excused(names: Sequence[str], began: float, ended: float) -> list[dict[str, object]]:
    """While the pods' state is carried back, reads may get no answer: neither side may be reached. A wrong answer is never excused."""
    routes = (*names, "service", *(f"service@{name}" for name in names))
    return [{"route": route, "from": began, "to": ended, "why": "the pods' state is carried back"} for route in routes]

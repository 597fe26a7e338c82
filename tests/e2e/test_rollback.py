# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollback before the ports have moved, when the pods' cluster is a second one; tests/e2e/test_migration.py has the one from the end."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e import rehearsal
from tests.e2e.looks import look
from tests.e2e.way_back import back

UP_TO_CUTOVER = "prepare,transfer,validate,cutover"


@pytest.mark.parametrize("profile", ["full", "upstream"])
def test_back_from_after_the_cutover_brings_the_writes_of_the_pods(
    installed: Path, tmp_path: Path, profile: str
) -> None:
    """With the collection as it is installed from its tarball. (tests/e2e/test_report.py goes back from before the cutover.)"""
    names = rehearsal.old_world(profile, rolled_back=True)
    steps = [("migrate", UP_TO_CUTOVER)]
    if profile == "full":
        # The cutover by its own playbook, as it comes with the collection; and each of the four once more.
        steps = [("migrate", "prepare,transfer,validate"), ("cutover", ""), ("migrate", UP_TO_CUTOVER)]
    for number, (playbook, tags) in enumerate(steps):
        chosen = ["--tags", tags] if tags else []
        log = tmp_path / f"forth-{number}.log"
        forth = rehearsal.run_playbook(
            f"playbooks/{playbook}.yml", "-e", "confirm=true", *chosen, log=log, installed=installed
        )
        assert forth.returncode == 0, forth.output[-4000:]
    if profile == "full":
        assert forth.changed == dict.fromkeys(names, 0), forth.output[-4000:]
        look("cutover")
    # (The way there is judged in tests/e2e/test_migration.py.)
    with rehearsal.witnessed(tmp_path) as witness:
        began = time.time()
        back(names, tmp_path / "back.log", installed=installed)
        allowed = excused(names, began, time.time())
    (tmp_path / "allowances.json").write_text(json.dumps(allowed))
    lags = rehearsal.UPSTREAM_LAGS if profile == "upstream" else ["--staleness", "2"]
    verdict, summary = witness.judge(rehearsal.ROLLBACK, "--allowances", str(tmp_path / "allowances.json"), *lags)
    print(summary)
    assert verdict["ok"], summary


def excused(names: Sequence[str], began: float, ended: float) -> list[dict[str, object]]:
    """While the pods' state is carried back, reads may get no answer: neither side may be reached. A wrong answer is never excused."""
    routes = (*names, "service", *(f"service@{name}" for name in names))
    return [{"route": route, "from": began, "to": ended, "why": "the pods' state is carried back"} for route in routes]

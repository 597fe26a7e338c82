# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollback before the ports have moved, when the pods' cluster is a second one; tests/e2e/test_migration.py has the one from the end."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e import pace, rehearsal
from tests.e2e.looks import look
from tests.e2e.way_back import back
from tests.e2e.writes import first_write_after
from tests.lab.shell import wait_for
from tests.witness.history import load

UP_TO_CUTOVER = "prepare,transfer,validate,cutover"
# Where the saved state of the pods is put.
HANDED = "/var/backups/pi-controller-migration/rollback.state"


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
        if tags == "prepare,transfer,validate":
            # With the confirmation, so only its tags keep this run from the cutover.
            done = dict.fromkeys(tags.split(","), "done")
            assert {name: rehearsal.phase_states(name) for name in names} == dict.fromkeys(names, done)
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
    verdict, summary = witness.judge(
        pace.here(rehearsal.ROLLBACK), "--allowances", str(tmp_path / "allowances.json"), *lags
    )
    print(summary)
    assert verdict["ok"], summary


@pytest.mark.longer
@pytest.mark.parametrize("profile", ["full", "upstream"])
def test_a_rollback_that_fails_while_writes_wait_reopens_the_pods(tmp_path: Path, profile: str) -> None:
    """No room, or here no place, for what it has saved; whatever makes the pods refuse writes, they take them again at once."""
    names = rehearsal.old_world(profile, rolled_back=True)
    forth = rehearsal.run_playbook(
        "playbooks/migrate.yml", "--tags", UP_TO_CUTOVER, "-e", "confirm=true", log=tmp_path / "forth.log"
    )
    assert forth.returncode == 0, forth.output[-4000:]
    with rehearsal.witnessed(tmp_path) as witness:
        began = time.time()
        rehearsal.on_host(names[1], f"rm -f {HANDED}; mkdir -p {HANDED}/folder")
        stopped = rehearsal.run_playbook("playbooks/rollback.yml", log=tmp_path / "stopped.log", show=True)
        stopped_at = time.time()
        assert stopped.returncode != 0
        assert "The pods serve reads and writes again" in stopped.output
        seen = witness.history.stat().st_size
        wait_for(
            "the clients go on",
            lambda: None if witness.history.stat().st_size > seen + 200_000 else "too few operations",
            timeout=120,
            advice=f"look at {witness.history}",
        )
        rehearsal.on_host(names[1], f"rm -r {HANDED}")
        again_at = time.time()
        back(names, tmp_path / "back.log")
        allowed = excused(names, began, time.time())
    waited = first_write_after(load([witness.history]), stopped_at)
    assert len(waited) == 2 * len(names), waited
    assert max(waited.values()) < again_at - stopped_at, waited
    (tmp_path / "allowances.json").write_text(json.dumps(allowed))
    lags = rehearsal.UPSTREAM_LAGS if profile == "upstream" else ["--staleness", "2"]
    verdict, summary = witness.judge(
        pace.here(rehearsal.ROLLBACK), "--allowances", str(tmp_path / "allowances.json"), *lags
    )
    print(summary)
    assert verdict["ok"], summary


def excused(names: Sequence[str], began: float, ended: float) -> list[dict[str, object]]:
    """While the pods' state is carried back, reads may get no answer: neither side may be reached. A wrong answer is never excused, nor
    are writes that wait for longer than the limit.
    """
    routes = (*names, "service", *(f"service@{name}" for name in names))
    return [
        {"route": route, "from": began, "to": ended, "why": "the pods' state is carried back", "writes": False}
        for route in routes
    ]

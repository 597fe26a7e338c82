# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The published daemon on the lab: `parallel` is refused before anything is changed, and `rolling` migrates each Pi with its own data."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import hosts as on
from tests.e2e import pace, rehearsal
from tests.e2e.test_migration import restarts
from tests.e2e.test_rolling import assert_migrated, assert_old_world, away
from tests.e2e.way_back import HANDED_OVER


def rows_of(name: str) -> set[str]:
    """The rows that this Pi had before the migration, as its daemon shows them now."""
    answer = on.host(name).check_output("curl -sf --max-time 5 http://127.0.0.1:8080/api/v1/gpio")
    return {row["name"] for row in on.parsed(answer)["gpio"] if row["name"].startswith("gpio-")}


def own_rows(name: str) -> set[str]:
    return {f"gpio-{number} of {name}" for number in range(1, 7)}


def test_d2_parallel_is_refused_on_the_published_daemon(tmp_path: Path) -> None:
    names = rehearsal.old_world("published")
    run = rehearsal.run_playbook("playbooks/migrate.yml", "-e", "confirm=true", log=tmp_path / "migrate.log", show=True)
    assert run.returncode != 0
    text = " ".join(run.output.split())
    assert "has rows that" in text
    assert "migration.strategy" in text
    assert "rolling" in text
    for name in names:
        assert not rehearsal.on_host(
            name, "find", "/var/backups", "/var/lib", "-maxdepth", "1", "-name", "pi-controller-*"
        )


@pytest.mark.longer
def test_d2_d7_each_pi_is_migrated_with_its_own_rows_and_goes_back(tmp_path: Path) -> None:
    """The image has a user of its own. Each Pi's clients are refused in its turn, and lose nothing."""
    names = rehearsal.old_world("published")
    arguments = [*rehearsal.strategy_arguments("rolling"), *rehearsal.PUBLISHED]
    for way, playbook in (
        ("there", ["playbooks/migrate.yml", "-e", "confirm=true"]),
        ("back", ["playbooks/rollback.yml"]),
    ):
        folder = tmp_path / way
        folder.mkdir()
        with rehearsal.witnessed(folder, apart=True) as witness:
            run = rehearsal.run_playbook(*playbook, *arguments, log=folder / "ansible.log", show=True)
            assert run.returncode == 0, run.output[-4000:]
        assert rehearsal.alerts(run) == [], f"the quorum watch found trouble on a calm way {way}"
        verdict, summary = witness.judge(
            pace.here(HANDED_OVER), *rehearsal.refused_in_their_turns(folder, names, back=way == "back")
        )
        print(summary)
        assert verdict["ok"], summary
        assert verdict["figures"]["pis"] == dict.fromkeys(names, "acquitted")
        assert {name: rows_of(name) for name in names} == {name: own_rows(name) for name in names}
        if way == "there":
            assert_migrated(names)
            assert restarts() == [0] * len(names)
            print({"seconds": round(run.seconds, 1), "away": away(names)})
    assert_old_world(names)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`--check --diff` says what the first phase will change, and changes nothing: not on a Pi, not in Kubernetes, not here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.e2e import control, rehearsal, reports
from tests.e2e.world import differences, world

CHECK = ["--check", "--diff"]


def kept_here() -> list[str]:
    """What runs have left on the control node."""
    return sorted(str(path) for path in control.FOLDER.glob("**/*"))


def changes(output: str) -> set[str]:
    """The tasks that changed something, or would."""
    found, task = set(), ""
    for line in output.splitlines():
        if line.startswith("TASK ["):
            task = line[6:].partition("]")[0].rpartition(" : ")[2]
        elif line.startswith("changed: "):
            found.add(task)
    return found


def test_check_mode_says_what_prepare_changes_and_changes_nothing(
    old_world: Callable[[str], list[str]], tmp_path: Path
) -> None:
    names = old_world("full")
    before, here = world(names), kept_here()
    checked = rehearsal.run_playbook("playbooks/migrate.yml", *CHECK, log=tmp_path / "check.log")

    assert checked.returncode == 0, checked.output[-4000:]
    assert not re.search(r"^host +check ", checked.output, re.MULTILINE), "pre-flight finds fault with a healthy lab"
    assert differences(before, world(names)) == []
    assert kept_here() == here
    # --diff shows the pods that would come, on the ports they would have.
    assert re.search(r"^\+\+\+ after: DaemonSet pi-controller", checked.output, re.MULTILINE), checked.output[-6000:]
    assert re.search(r"^\+.*9092", checked.output, re.MULTILINE)
    for phase in ("transfer", "validate", "cutover", "systemd_shutdown", "cleanup"):
        assert f"Check mode cannot predict {phase}" in checked.output

    happened = rehearsal.run_playbook("playbooks/prepare.yml", log=tmp_path / "prepare.log")
    assert happened.returncode == 0, happened.output[-4000:]
    assert reports.checked(reports.newest())["outcome"] == "paused"
    # Files made of what was really taken are left out: check mode takes nothing.
    made_of_it = {"Backup | Write the manifest", "Backup | Copy the backup off the Pi"}
    assert changes(happened.output) - made_of_it == changes(checked.output)

    # From here on, with prepare done: of the other phases and of the rollback. All at once, since none of them takes the lock.
    before, here = world(names), kept_here()
    plays = [
        rehearsal.Play(f"playbooks/{playbook}.yml", *CHECK, log=tmp_path / f"{playbook}.log")
        for playbook in ("migrate", "transfer", "rollback")
    ]
    for run in [play.wait(rehearsal.HANGS) for play in plays]:
        assert run.returncode == 0, run.output[-4000:]
        assert run.changed == dict.fromkeys(names, 0), run.output[-4000:]
        assert "Check mode cannot predict" in run.output
    assert differences(before, world(names)) == []
    assert kept_here() == here

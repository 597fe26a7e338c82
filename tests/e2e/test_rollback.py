# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back, from before the cutover, from after it, and from the very end; the pods' writes go back as well."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import hosts as on
from tests.e2e import rehearsal

STANDARD = {9091, 9090, 8080}
TEMPORARY = {9092, 9093, 8082}
TWO_MINUTES = 120.0
UP_TO_CUTOVER = "prepare,transfer,validate,cutover"


def forth(log: Path, *arguments: str, installed: Path | None = None) -> None:
    run = rehearsal.run_playbook("playbooks/migrate.yml", "-e", "confirm=true", *arguments, log=log, installed=installed)
    assert run.returncode == 0, run.output[-4000:]


def back(names: list[str], log: Path, installed: Path | None = None) -> None:
    """One rollback, within its time, and a second one that finds nothing to do."""
    run = rehearsal.run_playbook("playbooks/rollback.yml", log=log, show=True, installed=installed)
    assert run.returncode == 0, run.output[-4000:]
    print(f"rolled back in {run.seconds:.1f} s")
    assert run.seconds < TWO_MINUTES
    assert_old_world(names)

    again = rehearsal.run_playbook("playbooks/rollback.yml")
    assert again.returncode == 0, again.output[-4000:]
    assert again.changed == dict.fromkeys(names, 0), again.output[-4000:]


def assert_old_world(names: list[str]) -> None:
    """Every Pi as it was before the migration, but for what was put aside."""
    for name in names:
        pi = on.host(name)
        listening = on.listening(pi)
        assert listening.issuperset(STANDARD), f"{name}: {listening}"
        assert listening.isdisjoint(TEMPORARY), f"{name}: {listening}"
        assert on.unit_state(pi) == ("enabled", "active")
        assert not on.gate_rules(pi)
        assert not pi.file("/var/lib/pi-controller-pods").exists
        assert not pi.file("/var/lib/pi-controller.systemd.backup").exists
        assert re.search(r"pi-controller-pods\.rolled-back\.\d", pi.check_output("ls /var/lib"))


@pytest.mark.parametrize(("profile", "stages"), [("full", ["prepare,transfer", "all"]), ("upstream", [UP_TO_CUTOVER])])
def test_back_to_systemd_with_every_write(
    old_world: Callable[[str], list[str]], installed: Path, tmp_path: Path, profile: str, stages: list[str]
) -> None:
    """There and back from each stage in one go: a migration after a rollback is like the first one.

    The whole way is gone with the collection as it is installed from its tarball.
    """
    names = old_world(profile)
    with rehearsal.witnessed(tmp_path) as witness:
        for stage in stages:
            by = installed if stage == "all" else None
            forth(tmp_path / f"forth-{stage}.log", "--tags", stage, installed=by)
            back(names, tmp_path / f"back-{stage}.log", installed=by)
    # Going back, clients may find no daemon for some seconds; what was acknowledged must be there all the same.
    verdict, summary = witness.judge(rehearsal.ROLLBACK, "--staleness", "2")
    print(summary)
    assert {finding["kind"] for finding in verdict["findings"]} <= {"failed_read"}, summary

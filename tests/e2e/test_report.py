# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that fails before the cutover and rolls back automatically: no client notices, and the report says what happened."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e import pace, rehearsal, reports

BACKUPS = "/var/backups/pi-controller-migration"


def test_a_run_that_went_back_says_so_on_its_first_screen(tmp_path: Path) -> None:
    names = rehearsal.old_world("full", rolled_back=True)

    def in_the_way(line: str) -> None:
        """Once transfer begins there is a file where the leader's snapshot is to be kept."""
        if re.match(r"PLAY \[\(\d/\d\) TRANSFER", line):
            for name in names:
                rehearsal.on_host(name, f"touch {BACKUPS}/transfer")

    try:
        with rehearsal.witnessed(tmp_path) as witness:
            play = rehearsal.Play(
                "playbooks/migrate.yml", "--tags", "prepare,transfer", log=tmp_path / "transfer.log", on_line=in_the_way
            )
            run = play.wait(rehearsal.HANGS)
    finally:
        # A later migration has its snapshot there.
        for name in names:
            rehearsal.on_host(name, f"[ ! -f {BACKUPS}/transfer ] || rm {BACKUPS}/transfer")
    assert run.returncode != 0
    verdict, summary = witness.judge(pace.here(rehearsal.CALM))
    assert verdict["ok"], summary
    folder = reports.newest()
    assert folder.name.endswith("-rolled_back"), run.output[-4000:]
    report = reports.checked(folder)
    assert report["failure"]["phase"] == "transfer"
    assert report["state"]["served_by"] == "systemd"
    assert report["state"]["clusters"]["old"]["quorate"]
    assert {phase["name"] for phase in report["phases"] if phase["state"] != "pending"} >= {
        "prepare",
        "transfer",
        "rollback",
    }
    assert report["figures"]["quorum_samples"] > 0
    page = (folder / "migration-report.html").read_text()
    first = page[page.index("<h1>") : page.index("<nav")]
    for text in (
        "Rolled back to systemd",
        "The phase transfer failed",
        "The daemons under systemd serve all clients.",
        "3 of 3 voters answering",
    ):
        assert text in first.replace("\u00a0", " "), text

    # With a Pi that is off there is a report as well; no process listens on port 2.
    off = rehearsal.inventory_with(tmp_path, names[2], ansible_port=2)
    again = rehearsal.run_playbook("playbooks/report.yml", *off, log=tmp_path / "report.log")
    assert again.returncode == 0, again.output[-3000:]
    (away,) = reports.checked(reports.newest())["not_seen"]
    assert away.startswith(f"{names[2]}: "), away

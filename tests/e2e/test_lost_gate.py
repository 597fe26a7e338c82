# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between cutover and complete a firewall is loaded again, and takes with it what keeps clients from the old leader."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.lab import cluster
from tests.lab import state as files
from tests.lab.shell import wait_for

pytestmark = pytest.mark.longer

UP_TO_CUTOVER = "prepare,transfer,validate,cutover"
UNIT, POD = "/var/lib/pi-controller/pi-controller.db", "/var/lib/pi-controller-pods/pi-controller.db"
WRITTEN = "acknowledged-without-the-gate"


def rows(name: str, database: str) -> int:
    """How many rows of this Pi's database have what was written."""
    look = f"import sqlite3; print(*sqlite3.connect('{database}').execute('SELECT count(*) FROM nodes WHERE name = ?', ('{WRITTEN}',)).fetchone())"
    return int(rehearsal.on_host(name, f'python3 -c "{look}"'))


@pytest.mark.parametrize("wrote", [True, False])
def test_p5_a_unit_that_took_a_write_without_its_gate_is_not_stopped(tmp_path: Path, wrote: bool) -> None:
    names = rehearsal.old_world("upstream", rolled_back=True)
    old_leader = on.leader(names)
    forth = rehearsal.run_playbook(
        "playbooks/migrate.yml", "--tags", UP_TO_CUTOVER, "-e", "confirm=true", log=tmp_path / "forth.log"
    )
    assert forth.returncode == 0, forth.output[-4000:]
    rehearsal.on_host(old_leader, "nft delete table inet pi_controller_gate")
    if wrote:
        # The unit leads a cluster with a quorum, and knows nothing of the cutover.
        cluster.request(files.require().node(old_leader), "POST", "/api/v1/nodes", {"name": WRITTEN})
        assert (rows(old_leader, UNIT), rows(old_leader, POD)) == (1, 0)
        wait_for(
            "the row on every unit",
            lambda: None if all(rows(name, UNIT) for name in names) else "not yet",
            timeout=30,
            advice="look at the units' journals",
        )
        stopped = rehearsal.run_playbook("playbooks/complete.yml", log=tmp_path / "stopped.log")
        text = " ".join(stopped.output.split())
        assert stopped.returncode != 0
        assert f"The gate that keeps clients from the unit was gone on {old_leader}" in text, stopped.output[-4000:]
        for name in names:
            assert on.unit_state(on.host(name))[1] == "active", "neither masked nor rolled back"
            assert on.gate_rules(on.host(name)) != []
            assert rows(name, UNIT) == 1
    # As the message says: what is missing was written through the pods, and they count from here on.
    run = rehearsal.run_playbook("playbooks/complete.yml", log=tmp_path / "complete.log")
    assert run.returncode == 0, run.output[-4000:]
    assert ("was gone" in run.output) is False
    rehearsal.spoil(names)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback that is killed again and again, and comes to its end all the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.e2e import pace, rehearsal
from tests.e2e.way_back import ARCHIVE_PUT_ASIDE, ELECTED, assert_old_world
from tests.lab import faults, state


def daemons(names: Sequence[str]) -> dict[str, set[str]]:
    """Whether a pod or a unit runs on each Pi."""
    nodes = {node.name: node for node in state.require().nodes}
    return {
        name: {owner for owner in (faults.POD, faults.UNIT) if faults.processes(nodes[name], owner=owner)}
        for name in names
    }


def assert_one_daemon_each(names: Sequence[str], when: str) -> None:
    """No Pi has both. One that is away has its clients routed to a neighbour; no other one may be."""
    found = daemons(names)
    assert all(len(owners) <= 1 for owners in found.values()), f"{when}: {found}"
    assert sum(not owners for owners in found.values()) <= 1, f"{when}: {found}"


# The task during which each run is killed, and the number of times that run comes to it before: in the first turn, in the second after the
# first was finished, in the last after the second was, once more there, and when all turns are over.
KILLS = [
    ("Takeover | Stop this Pi's pod for good", 1),
    ("Takeover | Start the unit with the pod's data", 2),
    ("Takeover | Wait until the unit has caught up", 2),
    ("Takeover | Wait until the unit has caught up", 1),
    ("Pods | Stop all", 1),
]


def killed_in_every_turn(names: list[str], folder: Path, *lags: str) -> None:
    """From a migrated cluster; no client notices. `lags` are for the witness's judge."""
    with rehearsal.witnessed(folder) as witness:
        for number, (task, nth) in enumerate(KILLS):
            killed_at(task, nth, folder / f"killed-{number}.log")
            assert_one_daemon_each(names, f"after a kill at {task!r}")
        run = rehearsal.run_playbook("playbooks/rollback.yml", log=folder / "back.log", show=True)
        assert run.returncode == 0, run.output[-4000:]
    assert_old_world(names, ARCHIVE_PUT_ASIDE)
    verdict, summary = witness.judge(pace.here(ELECTED), *lags)
    print(summary)
    assert verdict["ok"], summary


def killed_at(task: str, nth: int, log: Path, playbook: str = "playbooks/rollback.yml", *arguments: str) -> None:
    """A run that is killed as soon as it comes to this task for the nth time."""
    seen: list[str] = []

    def line(text: str) -> None:
        if text.startswith("TASK [") and task in text:
            seen.append(text)
            if len(seen) == nth:
                play.kill()

    play = rehearsal.Play(playbook, *arguments, log=log, on_line=line)
    run = play.wait(rehearsal.HANGS)
    assert len(seen) >= nth, f"the run came to {task!r} {len(seen)} times, wanted {nth}: {run.output[-2000:]}"

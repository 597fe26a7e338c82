# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back, from before the cutover, from after it, and from the very end; the pods' writes go back as well."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.lab import faults, state

STANDARD = {9091, 9090, 8080}
TEMPORARY = {9092, 9093, 8082}
TWO_MINUTES = 120.0
UP_TO_CUTOVER = "prepare,transfer,validate,cutover"
# Seconds without an acknowledged write on the way back Pi by Pi. Handing leadership over takes some hundredths; without that call
# writes wait from the closing of the leader's gate until its pod has stopped, the others have missed it for up to 2 s, and, where two
# stand for election at once, for a second round: 5.2 s were seen on a busy machine.
HANDED_OVER = rehearsal.Limits(write_pause=5, read_gap=5, recovery=10)
ELECTED = rehearsal.Limits(write_pause=15, read_gap=5, recovery=20)
PODS_PUT_ASIDE, ARCHIVE_PUT_ASIDE = "pi-controller-pods", "pi-controller.systemd.backup"


def forth(log: Path, *arguments: str, installed: Path | None = None) -> None:
    run = rehearsal.run_playbook("playbooks/migrate.yml", "-e", "confirm=true", *arguments, log=log, installed=installed)
    assert run.returncode == 0, run.output[-4000:]


def back(names: list[str], log: Path, installed: Path | None = None, put_aside: str = PODS_PUT_ASIDE) -> rehearsal.PlaybookRun:
    """One rollback, within its time, and a second one that finds nothing to do."""
    run = rehearsal.run_playbook("playbooks/rollback.yml", log=log, show=True, installed=installed)
    assert run.returncode == 0, run.output[-4000:]
    print(f"rolled back in {run.seconds:.1f} s")
    assert run.seconds < TWO_MINUTES
    assert_old_world(names, put_aside)

    again = rehearsal.run_playbook("playbooks/rollback.yml")
    assert again.returncode == 0, again.output[-4000:]
    assert again.changed == dict.fromkeys(names, 0), again.output[-4000:]
    return run


def assert_old_world(names: list[str], put_aside: str) -> None:
    """Every Pi as it was before the migration, but for the older one of its two data folders."""
    for name in names:
        pi = on.host(name)
        listening = on.listening(pi)
        assert listening.issuperset(STANDARD), f"{name}: {listening}"
        assert listening.isdisjoint(TEMPORARY), f"{name}: {listening}"
        assert on.unit_state(pi) == ("enabled", "active")
        assert not on.gate_rules(pi)
        assert not pi.file("/var/lib/pi-controller-pods").exists
        assert not pi.file("/var/lib/pi-controller.systemd.backup").exists
        assert re.search(rf"^{re.escape(put_aside)}\.rolled-back\.\d", pi.check_output("ls /var/lib"), re.MULTILINE), name
        unit_file = pi.file("/etc/systemd/system/pi-controller.service")
        assert (unit_file.mode, unit_file.user, unit_file.group) == (0o644, "root", "root")


@pytest.mark.parametrize("profile", ["full", "upstream"])
def test_pi_by_pi_from_the_end_no_read_fails(old_world: Callable[[str], list[str]], installed: Path, tmp_path: Path, profile: str) -> None:
    """With the collection as it is installed from its tarball; a client that reads or writes does not notice."""
    names = old_world(profile)
    forth(tmp_path / "forth.log", installed=installed)
    with rehearsal.witnessed(tmp_path) as witness:
        run = back(names, tmp_path / "back.log", installed=installed, put_aside=ARCHIVE_PUT_ASIDE)
    for name in names:
        assert run.output.count(f"Turn | Let the unit take over on {name}") == 1, name
    verdict, summary = witness.judge(HANDED_OVER) if profile == "full" else witness.judge(ELECTED, *rehearsal.UPSTREAM_LAGS)
    print(summary)
    assert verdict["ok"], summary


@pytest.mark.parametrize(("profile", "stages"), [("full", ["prepare,transfer", UP_TO_CUTOVER]), ("upstream", [UP_TO_CUTOVER])])
def test_back_before_the_ports_have_moved(old_world: Callable[[str], list[str]], tmp_path: Path, profile: str, stages: list[str]) -> None:
    """There and back from each stage in one go: a migration after a rollback is like the first one."""
    names = old_world(profile)
    allowed: list[dict[str, object]] = []
    lags = rehearsal.UPSTREAM_LAGS if profile == "upstream" else ["--staleness", "2"]
    with rehearsal.witnessed(tmp_path) as witness:
        for stage in stages:
            old_leader = on.leader(names)
            forth(tmp_path / f"forth-{stage}.log", "--tags", stage)
            if stage == UP_TO_CUTOVER and profile == "upstream":
                lags = rehearsal.price_of_upstream(old_leader)
            began = time.time()
            back(names, tmp_path / f"back-{stage}.log")
            if stage == UP_TO_CUTOVER:
                allowed += excused(names, began, time.time())
    (tmp_path / "allowances.json").write_text(json.dumps(allowed))
    verdict, summary = witness.judge(rehearsal.ROLLBACK, "--allowances", str(tmp_path / "allowances.json"), *lags)
    print(summary)
    assert verdict["ok"], summary


def excused(names: Sequence[str], began: float, ended: float) -> list[dict[str, object]]:
    """While the pods' state is carried back, reads may get no answer: neither side may be reached. A wrong answer is never excused."""
    routes = (*names, "service", *(f"service@{name}" for name in names))
    return [{"route": route, "from": began, "to": ended, "why": "the pods' state is carried back"} for route in routes]


def daemons(names: Sequence[str]) -> dict[str, set[str]]:
    """Whether a pod or a unit runs on each Pi."""
    nodes = {node.name: node for node in state.require().nodes}
    return {name: {owner for owner in (faults.POD, faults.UNIT) if faults.processes(nodes[name], owner=owner)} for name in names}


# The task during which each run is killed, and the number of times that run comes to it before: in the first turn, in the second after the
# first was finished, in the last after the second was, once more there, and when all turns are over.
KILLS = [
    ("Takeover | Stop this Pi's pod for good", 1),
    ("Takeover | Start the unit with the pod's data", 2),
    ("Takeover | Wait until the unit is the caught-up member", 2),
    ("Takeover | Route this Pi's clients to the unit", 1),
    ("Pods | Stop them", 1),
]


def test_a_rollback_killed_in_a_turn_goes_on_where_it_was(old_world: Callable[[str], list[str]], tmp_path: Path) -> None:
    killed_in_every_turn(old_world, tmp_path, "full")


def killed_in_every_turn(old_world: Callable[[str], list[str]], tmp_path: Path, profile: str) -> None:
    """A rollback that is killed again and again, and comes to its end all the same; no client notices."""
    names = old_world(profile)
    forth(tmp_path / "forth.log")
    with rehearsal.witnessed(tmp_path) as witness:
        for number, (task, nth) in enumerate(KILLS):
            killed_at(task, nth, tmp_path / f"killed-{number}.log")
            found = daemons(names)
            assert all(len(owners) <= 1 for owners in found.values()), f"after a kill at {task!r}: {found}"
            # One that is away has its clients routed to a neighbour; no other one may be.
            assert sum(not owners for owners in found.values()) <= 1, f"after a kill at {task!r}: {found}"
        run = rehearsal.run_playbook("playbooks/rollback.yml", log=tmp_path / "back.log", show=True)
        assert run.returncode == 0, run.output[-4000:]
    assert_old_world(names, ARCHIVE_PUT_ASIDE)
    lags = rehearsal.UPSTREAM_LAGS if profile == "upstream" else []
    verdict, summary = witness.judge(ELECTED, *lags)
    print(summary)
    assert verdict["ok"], summary


def killed_at(task: str, nth: int, log: Path) -> None:
    """A rollback that is killed as soon as it comes to this task for the nth time."""
    seen: list[str] = []

    def line(text: str) -> None:
        if text.startswith("TASK [") and task in text:
            seen.append(text)
            if len(seen) == nth:
                play.kill()

    play = rehearsal.Play("playbooks/rollback.yml", log=log, on_line=line)
    run = play.wait(TWO_MINUTES)
    assert len(seen) >= nth, f"the run came to {task!r} {len(seen)} times, wanted {nth}: {run.output[-2000:]}"

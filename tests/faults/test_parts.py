# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The suite's own parts, without a lab: the table covers what it says, and a fault is charged to the case that caused it."""

from __future__ import annotations

import re
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.e2e import pace
from tests.e2e.rehearsal import PHASES
from tests.faults import strike, table
from tests.faults.__main__ import main, matrix
from tests.faults.case import PARALLEL, ROLLING, SAFE, START, Case, Chain, chained, refuse_collisions, task_names
from tests.faults.chain import BEGINS, PLAYS, Attempt, Course, Runner
from tests.faults.moments import MOMENTS
from tests.faults.pis import Pis
from tests.faults.strike import Injection, flip
from tests.faults.verdict import headless, line_of, way_back
from tests.lab.state import Node
from tests.witness.evidence import Limits
from tests.witness.history import History, Operation

EVERY_PHASE = (
    "pod-killed", "old-leader-killed", "partition", "play-killed", "corrupt", "disk-full", "api-down", "k3s-stopped", "reboot", "random-kill",
)  # fmt: skip


@pytest.mark.parametrize("fault", EVERY_PHASE)
def test_every_phase_meets_every_fault(fault: str) -> None:
    cases = [case for case in table.EVERYTHING if (case.strategy, case.profile) == (PARALLEL, "full")]
    assert {case.phase for case in cases if case.fault == fault} == set(PHASES)


KILLS = [case for case in table.EVERYTHING if strike.FAULTS[case.fault.removesuffix("-back")] is strike.play_killed]


@pytest.mark.parametrize("case", [case for case in KILLS if case.moment not in MOMENTS], ids=lambda case: case.name)
def test_a_kill_that_waits_for_no_moment_asks_no_daemon(case: Case) -> None:
    class Run:
        killed = 0

        def kill(self) -> None:
            self.killed += 1

    class Silent:
        rolling = case.strategy == ROLLING

        def leader(self, of: str | None = None) -> Node:
            raise TimeoutError("no leader")

    one, run = Injection(case, 50.0, "a task"), Run()
    strike.strike(cast(Pis, Silent()), one, cast(strike.Migration, run))
    assert (one.wrong, run.killed) == ("", 1)


def test_every_name_exists_and_is_unique() -> None:
    assert {case.fault.removesuffix("-back") for case in table.EVERYTHING} == set(strike.FAULTS)
    names = [case.name for case in table.CASES]
    assert len(names) == len(set(names))


def test_the_chosen_dozen_covers_every_phase_and_most_kinds() -> None:
    cases = [case for chain in table.chosen_chains() for case in chain.cases if case.strategy == PARALLEL]
    assert len(cases) == 12
    assert {case.phase for case in cases} == set(PHASES)
    assert len({case.fault for case in cases}) >= 7


def test_random_kills_are_twelve_and_the_same_every_time() -> None:
    kills = table.random_kills()
    assert len(kills) == 12
    assert kills == table.random_kills()
    assert all(0 <= case.after < table.LASTS[case.phase] for case in kills)


def test_cases_share_a_migration_but_not_with_another_profile() -> None:
    chains = chained(table.EVERYTHING)
    assert sum(len(chain.cases) for chain in chains) == len(table.EVERYTHING)
    assert all(len({(case.strategy, case.profile, case.rollback) for case in chain.cases}) == 1 for chain in chains)
    assert len(chains) < len(table.EVERYTHING) / 4


@pytest.mark.parametrize("more", [{}, {"at": "Replace the pod"}], ids=["same words", "other words"])
def test_two_cases_at_the_same_task_are_refused(more: dict[str, Any]) -> None:
    first = Case("port_migration", "partition", at="Ports | Replace the pod", heal=6)
    second = replace(first, fault="disk-full", **more)
    with pytest.raises(
        ValueError,
        match=r"port_migration/partition and port_migration/disk-full both strike .*Ports \| Replace the pod",
    ):
        chained([first, second], together=True)
    refuse_collisions(Chain("two", (first, replace(second, nth=2))))
    refuse_collisions(Chain("two", (first, replace(second, phase="cutover"))))


def test_only_refuses_cases_at_the_same_task(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--list", "--only", "port_migration/partition", "--only", "port_migration/disk-full"])
    assert "both strike" in capsys.readouterr().err


def test_what_a_fault_costs_has_a_limit() -> None:
    one = injection("transfer", 50.0)
    assert not line_of(one, course(one), NOTHING, acknowledged((51.0, 55.0))).failed
    one.case = replace(one.case, pause_within=3.9)
    assert line_of(one, course(one), NOTHING, acknowledged((51.0, 55.0))).faults == [
        "write pause of 4.0 s, wanted at most 3.9 s"
    ]
    one.case = replace(one.case, pause_within=60.0, safe_within=4.5)
    assert line_of(one, course(one), NOTHING, acknowledged((51.0, 55.0))).faults == [
        "safe after 5.0 s, wanted at most 4.5 s"
    ]


@pytest.mark.parametrize(
    ("returncode", "output", "refused"),
    [(2, "the unit is masked", True), (0, "the unit is masked", False), (2, "no network", False)],
)
def test_what_has_to_be_refused_stops_the_run_that_meets_it(returncode: int, output: str, refused: bool) -> None:
    one = injection("systemd_shutdown", 50.0, run=1)
    one.case = replace(one.case, refused="is masked")
    met = course(one)
    met.attempts[0] = replace(met.attempts[0], returncode=returncode, output=output)
    met.attempts.append(replace(met.attempts[0], returncode=0, output=""))
    faults = line_of(one, met, NOTHING, acknowledged((51.0, 55.0))).faults
    assert any("did not refuse it" in fault for fault in faults) != refused


def test_a_migration_that_went_back_is_migrated_when_it_is_run_again() -> None:
    one = injection("transfer", 50.0)
    one.case = replace(one.case, rollback=True, ends=SAFE)
    assert line_of(one, course(one, returncode=1), NOTHING, acknowledged((51.0, 55.0))).failed
    assert not line_of(one, course(one), NOTHING, acknowledged((51.0, 55.0))).failed


def test_a_slow_machine_may_take_longer_and_a_fast_one_no_less() -> None:
    one = injection("transfer", 50.0)
    one.case = replace(one.case, pause_within=3.9, safe_within=4.5)
    assert line_of(one, course(one), NOTHING, acknowledged((51.0, 55.0))).failed
    assert not line_of(one, course(one), NOTHING, acknowledged((51.0, 55.0)), factor=1.5).failed
    assert pace.allowance(pace.REFERENCE / 2) == 1.0
    assert pace.allowance(pace.REFERENCE * 2) == 2.0
    assert pace.scaled(Limits(write_pause=15, read_gap=5, recovery=20), 2.0) == Limits(
        write_pause=30, read_gap=10, recovery=40
    )


def test_a_flipped_bit_leaves_a_sound_database_with_another_row(tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE nodes (data TEXT)")
        database.execute("INSERT INTO nodes VALUES (?)", (f'{{"note": "{strike.ROW.decode()}"}}',))
    assert flip(path)
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert strike.ROW.decode() not in database.execute("SELECT data FROM nodes").fetchone()[0]
    assert not flip(path), "there is no second row to flip"
    assert not flip(tmp_path / "missing")


def course(*injections: Injection, returncode: int = 0) -> Course:
    chain = Chain("test", tuple(injection.case for injection in injections))
    return Course(
        chain, Path(), list(injections), [Attempt("playbooks/migrate.yml", 0.0, 200.0, returncode, False, False, "")]
    )


def injection(phase: str, struck: float, **more: object) -> Injection:
    return Injection(Case(phase, "pod-killed"), struck, "task", recovered=struck + 2, moved_on=struck + 1, **more)  # type: ignore[arg-type]


def acknowledged(*gaps: tuple[float, float]) -> list[float]:
    """A write every 0.1 s, but in the gaps."""
    times = [number / 10 for number in range(2000)]
    return [time for time in times if not any(start < time < end for start, end in gaps)]


NOTHING: dict[str, list[Any]] = {"findings": [], "allowed_failed_reads": [], "allowed_stale_reads": []}


def test_safe_again_at_the_first_write_after_the_gap() -> None:
    first, second = injection("transfer", 50.0), injection("cutover", 100.0)
    line = line_of(first, course(first, second), NOTHING, acknowledged((51.0, 55.0), (101.0, 109.0)))
    assert (line.outcome, line.safety, line.pause, line.faults) == ("migrated", 5.0, 4.0, [])


def test_safety_comes_with_the_play_where_writes_never_paused() -> None:
    one = injection("transfer", 50.0)
    assert line_of(one, course(one), NOTHING, acknowledged()).safety == 1.0


def test_a_stuck_play_and_stopped_writes_are_failures() -> None:
    one = injection("transfer", 50.0)
    one.moved_on = None
    line = line_of(one, course(one), NOTHING, acknowledged((40.0, 1000.0)))
    assert line.failed
    assert {fault.split()[0] for fault in line.faults} == {"no", "the"}


def test_a_case_that_must_migrate_may_not_end_in_the_old_world() -> None:
    one = injection("transfer", 50.0)
    assert line_of(one, course(one, returncode=2), NOTHING, acknowledged()).failed


def test_a_failed_read_counts_for_one_fault_a_lost_write_for_all() -> None:
    first, second = injection("transfer", 50.0), injection("cutover", 100.0)
    read = {"kind": "failed_read", "route": "pi-2", "at": "1970-01-01T00:01:45Z", "text": "refused"}
    verdict = {**NOTHING, "findings": [read]}
    assert not line_of(first, course(first, second), verdict, acknowledged()).failed
    assert line_of(second, course(first, second), verdict, acknowledged()).failed
    lost = {
        **NOTHING,
        "findings": [{"kind": "lost_write", "route": "pi-2", "at": "1970-01-01T00:16:00Z", "text": "gone"}],
    }
    assert line_of(first, course(first, second), lost, acknowledged()).failed


def test_the_matrix_says_what_failed_and_why() -> None:
    one = injection("transfer", 50.0, wrong="it could not be repaired")
    line = line_of(one, course(one), NOTHING, acknowledged())
    line.outcome = "FAILED"
    shown = matrix([line])
    assert "transfer" in shown
    assert "it could not be repaired" in shown
    assert "1 cases, 1 failed" in shown


class FakePis:
    """Three Pis of which pi-3 is struck while the clients of pi-2 are routed there."""

    def __init__(self) -> None:
        self.nodes = [Node(number) for number in (1, 2, 3)]

    rolling = False

    def follower(self, of: str | None = None) -> Node:
        return self.nodes[2]

    def led_to(self, node: Node) -> list[str]:
        return ["pi-2"]

    def wait_caught_up(self, node: Node, of: str | None = None, timeout: float = 60) -> float:
        return time.time() + 2


def test_old_reads_from_a_cut_off_pi_are_excused_until_it_catches_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strike.network, "partition", lambda node: None)
    monkeypatch.setattr(strike.network, "heal", lambda node: None)
    one = Injection(Case("port_migration", "partition"), 0.0, "task")
    strike.partition(FakePis(), one, None)  # type: ignore[arg-type]
    assert one.wrong == ""
    old = {(each["route"], each["from"] == one.struck) for each in one.allowances if each["stale"]}
    assert old == {("pi-3", True), ("service@pi-3", True), ("pi-2", True), ("service", False)}
    assert one.recovered is not None
    assert all(one.struck <= each["from"] <= each["to"] <= one.recovered for each in one.allowances)


def test_reads_may_fail_only_in_a_rollback_from_standard_ports() -> None:
    ports, transfer = injection("port_migration", 50.0, run=1), injection("transfer", 20.0, run=1)
    back = course(transfer, ports)
    assert way_back(back, FakePis()) == []  # type: ignore[arg-type]
    back.attempts[0].went_back = True
    excused = way_back(back, FakePis())  # type: ignore[arg-type]
    assert {(route["route"], route["from"], route["to"]) for route in excused} == {
        (route, 50.0, 200.0) for route in ("pi-1", "pi-2", "pi-3", "service")
    }
    # Nor Pi by Pi, where reads go on.
    back.attempts[0].together = False
    assert way_back(back, FakePis()) == []  # type: ignore[arg-type]


def test_a_rollback_that_faults_befall_has_to_be_finished() -> None:
    one = injection("rollback", 50.0)
    unfinished = course(one)
    assert any("was not finished" in fault for fault in line_of(one, unfinished, NOTHING, acknowledged()).faults)
    unfinished.attempts[0].playbook = "playbooks/rollback.yml"
    assert line_of(one, unfinished, NOTHING, acknowledged()).outcome == "rolled back"


def test_a_run_that_ends_without_a_message_is_a_failure() -> None:
    one = injection("port_migration", 50.0)
    silent = course(one, returncode=2)
    assert any(
        "without the migration status" in fault for fault in line_of(one, silent, NOTHING, acknowledged()).faults
    )
    silent.attempts[0].message = "The migration is paused: phase port_migration stopped"
    assert not any(
        "without the migration status" in fault for fault in line_of(one, silent, NOTHING, acknowledged()).faults
    )


def write(outcome: str, at: float, error: str = "") -> Operation:
    return Operation("write-1", "pi-1", "", "update", "nodes", at, at, outcome, error=error)


def election(error: str, *, until: float = 53.0) -> History:
    """A write every 0.1 s, and from 51.0 on refusals with this error."""
    header = {"run": "test", "routes": [], "wall": 0.0, "monotonic": 0.0}
    return History([header], [write("ok", at) for at in acknowledged((51.0, until))] + [write("unknown", 51.2, error)])


def test_without_a_leader_the_others_may_lag_but_have_to_answer() -> None:
    one = injection("validate", 50.0)
    excused = headless(course(one), FakePis(), election("answer: status 503 node is not the leader"))  # type: ignore[arg-type]
    assert {each["route"] for each in excused} == {"pi-1", "pi-2", "pi-3", "service"}
    assert {(each["from"], each["to"], each["stale"], each["failed"]) for each in excused} == {
        (51.0, 54.0, True, False)
    }


@pytest.mark.parametrize(
    ("error", "until", "struck"),
    [
        ("answer: status 503 this node is read-only", 53.0, 50.0),  # a fence: its leader leads on
        ("connect: ConnectionRefusedError", 53.0, 50.0),  # a Pi that is away
        ("answer: status 503 node is not the leader", 51.4, 50.0),  # too short to matter
        ("answer: status 503 node is not the leader", 53.0, 70.0),  # before any fault
    ],
)
def test_no_route_may_lag_for_another_reason(error: str, until: float, struck: float) -> None:
    assert headless(course(injection("validate", struck)), FakePis(), election(error, until=until)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("case", [case for case in table.CASES if case.at != START], ids=lambda case: case.name)
def test_the_task_a_fault_waits_for_exists(case: Case) -> None:
    assert any(case.at in task for task in task_names())


def test_the_runner_knows_the_plays_and_the_beginning_of_a_phase() -> None:
    plays = "".join(path.read_text() for path in Path(__file__).parents[2].glob("playbooks/**/*.yml"))
    assert {word for word in PLAYS if re.search(rf'name: "?(\(\d/\d\) )?{word}', plays)} == set(PLAYS)
    assert any(name.startswith(BEGINS) for name in task_names())
    (include,) = yaml.safe_load((Path(__file__).parents[2] / "roles/run/tasks/phase.yml").read_text())
    assert include["name"].startswith(BEGINS)


def test_a_case_that_comes_later_waits_for_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one does not strike in the run that the first has struck, though that comes to its task as well."""
    full, killed = Case("prepare", "disk-full", at="Snapshot"), Case("prepare", "play-killed", at="Copy")
    chain = Chain("two", (killed, full), later=((full.name, killed.name),))
    runner = Runner(FakePis(), chain, tmp_path, print)  # type: ignore[arg-type]
    struck: list[tuple[str, int]] = []

    def strike_at_once(case: Case, task: str) -> None:
        run = len(runner.course.attempts) + 1
        struck.append((case.name, run))
        runner.course.injections.append(Injection(case, 0.0, task, run=run))

    monkeypatch.setattr(runner, "_strike", strike_at_once)
    monkeypatch.setattr("threading.Thread.start", lambda thread: thread.run())
    for _run in range(2):
        for line in ("PLAY [(1/6) PREPARE: backups] *", "TASK [Copy] *", "TASK [Snapshot] *"):
            runner._line(line)
        runner.course.attempts.append(Attempt("migrate.yml", 0.0, 1.0, 1, False, False, ""))
    assert struck == [("prepare/play-killed", 1), ("prepare/disk-full", 2)]


def test_a_random_kill_strikes_a_phase_that_is_shorter_at_its_end(tmp_path: Path) -> None:
    case = Case("cleanup", "random-kill", after=100.0)
    runner = Runner(FakePis(), Chain("one", (case,)), tmp_path, print)  # type: ignore[arg-type]
    runner.task = "pi_controller.raft_migration.cluster : Journal | Record cleanup as done"
    assert runner._comes(case)
    runner.task = "pi_controller.raft_migration.cluster : Journal | Record cutover as done"
    runner.ended.set()
    assert not runner._comes(case)


def test_what_comes_later_is_in_the_chain() -> None:
    for chain in table.chosen_chains():
        names = [case.name for case in chain.cases]
        assert all(names.index(first) < names.index(second) for second, first in chain.later)
    # A kill ends its run for certain.
    assert all(first.endswith("/play-killed") for _second, first in table.LATER)
    pairs = {pair for chain in table.chosen_chains() for pair in chain.later}
    assert pairs == set(table.LATER)


def test_a_killed_run_is_continued_while_a_fault_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have left the Pi half-way that was hit: waiting for that one to come back would wait for the run that is to come."""
    case = Case("systemd_shutdown", "pod-killed")
    runner = Runner(FakePis(), Chain("one", (case,)), tmp_path, print)  # type: ignore[arg-type]
    lasting = Injection(case, 0.0, "task")
    runner.course.injections.append(lasting)
    runner.killed = True
    monkeypatch.setattr(lasting.over, "wait", lambda *_seconds: pytest.fail("it waits"))
    runner._repair()
    assert lasting.wrong == ""

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The suite's parts for a migration Pi by Pi, without a lab: which cases share one, whom a fault strikes and when, and what it may cost."""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.e2e.rehearsal import PHASES, STRATEGIES
from tests.faults import moments, strike, table, verdict
from tests.faults.__main__ import main, matrix
from tests.faults.case import ELECTED, PARALLEL, ROLLBACK, ROLLING, Case, Chain, chained
from tests.faults.chain import Attempt, Course, Runner
from tests.faults.pis import BACKUPS, EITHER, POD_DATA, UNIT_DATA, Pis
from tests.faults.strike import Injection
from tests.faults.verdict import Line
from tests.lab import faults, machines
from tests.lab.shell import LabError
from tests.lab.state import Node

ALL = set(STRATEGIES[ROLLING])
# In which phases a fault has no moment; the table says why.
NO_MOMENT = {"pod-killed": {"transfer", "validate"}, "api-down": {"transfer"}, "k3s-stopped": {"transfer"}}
# Over at once, or with a run that ends.
AT_ONCE = {"play-killed", "turn-killed-late", "corrupt", "pod-killed", "old-leader-killed"}


def in_full(fault: str) -> list[Case]:
    """A corrupt copy that only a rollback answers is one case of its fault."""
    cases = [case for case in table.IN_TURNS if case.profile == "full" and case.phase != ROLLBACK]
    return [case for case in cases if case.fault.removesuffix("-back") == fault]


@pytest.mark.parametrize(
    "fault",
    ["pod-killed", "old-leader-killed", "partition", "play-killed", "corrupt", "disk-full", "api-down", "k3s-stopped", "reboot"],
)  # fmt: skip
def test_every_phase_of_rolling_meets_every_fault_it_has_a_moment_for(fault: str) -> None:
    assert {case.phase for case in in_full(fault)} == ALL - NO_MOMENT.get(fault, set())


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ("play-killed", {"before-stop", "between", "gate-shut", "after", "settled"}),
        ("reboot", {"before-stop", "unit-stopped", "data-renamed", "gate-shut", "after"}),
        ("partition", {"before-stop", "between", "gate-shut"}),
        ("control-cut-off", {"unit-stopped"}),
    ],
)
def test_faults_strike_several_moments_of_a_turn(fault: str, wanted: set[str]) -> None:
    assert {case.moment for case in in_full(fault) if case.phase == "cutover"} == wanted


def test_the_old_leader_loses_power_on_both_sides_of_the_commit() -> None:
    cases = {case.moment: case for case in table.CASES if case.fault == "reboot" and case.on == "old-leader"}
    assert set(cases) == {"fenced", "opened"} < set(moments.MOMENTS)


def time_of(case: Case) -> tuple[str, str, int]:
    """Phase, moment where that is after all turns, and turn."""
    return case.phase, case.moment if case.moment in ("after", "settled") else "", case.nth


def test_one_pi_at_a_time_is_struck_in_a_migration() -> None:
    for chain in chained(table.IN_TURNS):
        for case, other in itertools.combinations(chain.cases, 2):
            if time_of(case) == time_of(other):
                assert {case.fault, other.fault} & AT_ONCE, f"{chain.name}: {case.name} and {other.name}"


def names_in(role_file: str) -> list[str]:
    lines = (
        (Path(__file__).parents[2] / "roles/rolling_cutover/tasks" / role_file).read_text().partition("\n  rescue:")[0]
    )
    return re.findall(r'- name: "(.+)"', lines)


def struck_in_turns(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, folder: Path, stops: Callable[[Case], bool]
) -> list[tuple[int, int, str]]:
    """Run, turn and case, in the order of a cutover of three Pis in which every kill ends the run, and what `stops` a turn the turns.

    Ansible goes on to name the tasks of all turns, which are skipped.
    """
    struck: list[Case] = []
    found: list[tuple[int, int, str]] = []
    monkeypatch.setattr(
        "tests.faults.chain.threading.Thread",
        lambda target, args, daemon: SimpleNamespace(start=lambda: struck.append(args[0])),
    )
    runner = Runner(None, chain, folder, print)  # type: ignore[arg-type]
    turn, run = 0, 1
    while turn < 4:
        runner._line("PLAY [(3/6) CUTOVER: x] *")
        for name in names_in("handover.yml") if turn < 3 else [table.OVER["at"], *names_in("service.yml")]:
            known = len(struck)
            runner._line(f"TASK [{name}] *")
            found += [(run, turn, case.name) for case in struck[known:]]
            here = struck[known:]
            if any(stops(case) and not case.fault.startswith("play-killed") for case in here):
                runner._line("fatal: [pi-2]: UNREACHABLE! => {}")
                known = len(struck)
                for skipped in [*names_in("handover.yml"), *names_in("handover.yml"), *names_in("service.yml")]:
                    runner._line(f"TASK [{skipped}] *")
                found += [(run, turn, case.name) for case in struck[known:]]
            if any(case.fault.startswith("play-killed") or stops(case) for case in here):
                run += 1
                break
        else:
            turn += 1
    assert [case.name for case in runner.pending if case.phase == "cutover"] == [], chain.name
    return found


@pytest.mark.parametrize("stops", [lambda case: False, lambda case: True], ids=["they go on", "they stop"])
def test_every_moment_comes_whether_or_not_faults_stop_a_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stops: Callable[[Case], bool]
) -> None:
    """And no two of them in one turn of one run."""
    for chain in [*chained(table.IN_TURNS), *table.chosen_chains()]:
        if chain.strategy == ROLLING and not chain.goes_back:
            found = struck_in_turns(chain, monkeypatch, tmp_path, stops)
            # A corrupt copy takes no Pi away.
            turns = [(run, turn) for run, turn, name in found if "/corrupt" not in name]
            assert len(turns) == len(set(turns)), f"{chain.name}: {found}"


def test_a_case_counts_the_times_at_which_another_one_strikes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain("one", (table.turn("partition", "between", 1), table.turn("disk-full", "between", 2)))
    found = struck_in_turns(chain, monkeypatch, tmp_path, lambda case: False)
    assert [(turn, name.partition("cutover/")[2]) for _run, turn, name in found] == [
        (0, "partition-between"),
        (1, "disk-full-between"),
    ]


def test_each_case_of_a_turn_has_its_moment_when_it_is_run_alone() -> None:
    """With three Pis a task of a turn comes three times; a case that waits for a fourth would need another one's fault."""
    assert {case.nth for case in table.IN_TURNS if case.at in table.TURN.values()} == {1, 2, 3}


def test_rolling_takes_ten_migrations_none_shared_with_parallel() -> None:
    chains = chained(table.EVERYTHING)
    assert all(len({case.strategy for case in chain.cases}) == 1 for chain in chains)
    assert len([chain for chain in chains if chain.strategy == ROLLING]) == 10
    assert len({chain.name for chain in chains}) == len(chains)


def test_no_write_waits_for_the_control_node_in_rolling() -> None:
    for case in table.IN_TURNS:
        assert case.pause_within <= ELECTED < strike.CUTOVER_TIMEOUT
    without_election = [case for case in table.IN_TURNS if case.fault in table.NO_ELECTION and case.profile == "full"]
    assert {case.pause_within for case in without_election} == {table.HANDED_OVER}
    limits = verdict.LIMITS[ROLLING], verdict.LIMITS[PARALLEL]
    assert all(limit < vars(limits[1])[name] for name, limit in vars(limits[0]).items())


def test_a_cut_off_control_node_may_cost_the_lifetime_of_the_fence() -> None:
    cut_off = next(case for case in table.IN_PARALLEL if case.fault == "control-cut-off")
    assert strike.CUTOVER_TIMEOUT < cut_off.pause_within < cut_off.heal, "it would be over by itself"
    assert verdict.limits_of(Chain("one", (cut_off,))).write_pause == cut_off.pause_within
    calm = Chain("one", (Case("cutover", "reboot"),))
    assert verdict.limits_of(calm) == verdict.LIMITS[PARALLEL]
    turn = next(case for case in table.IN_TURNS if case.fault == "control-cut-off")
    assert verdict.limits_of(Chain("one", (turn,))) == verdict.LIMITS[ROLLING]


def test_a_name_says_strategy_phase_fault_and_moment() -> None:
    assert Case("cutover", "reboot").name == "cutover/reboot"
    case = table.turn("reboot", "gate-shut", 1, profile="upstream")
    assert case.name == "rolling/cutover/reboot-gate-shut@upstream"


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[str]]:
    assert main(["--list", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {name: cases.split(", ") for name, cases in (line.split(": ", 1) for line in lines)}


def test_strategy_chooses_its_cases_alone(capsys: pytest.CaptureFixture[str]) -> None:
    rolling = [name for names in listed(capsys, "--strategy", "rolling").values() for name in names]
    assert sorted(rolling) == sorted(case.name for case in table.IN_TURNS)
    parallel = [name for names in listed(capsys, "--strategy", "parallel").values() for name in names]
    everything = [name for names in listed(capsys).values() for name in names]
    assert sorted(everything) == sorted([*rolling, *parallel])


def test_chosen_has_one_migration_of_rolling_with_five_faults(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = listed(capsys, "--chosen", "--strategy", "rolling")
    assert list(chosen) == ["chosen-rolling"]
    assert len(chosen["chosen-rolling"]) == 5
    assert len(listed(capsys, "--chosen")) == 2


def test_cases_of_both_strategies_are_not_run_in_one_migration(capsys: pytest.CaptureFixture[str]) -> None:
    both = listed(
        capsys, "--only", "cutover/reboot", "--only", "rolling/cutover/reboot-after", "--only", "rolling/cleanup/reboot"
    )
    assert sorted(map(len, both.values())) == [1, 2]


def test_each_strategy_has_a_matrix_of_its_own() -> None:
    lines = [
        Line(Case("cutover", "reboot"), "migrated"),
        Line(table.rolling("cutover", "reboot", **table.OVER), "FAILED", faults=["it is off"]),
    ]
    parallel, rolling = matrix(lines).split("strategy rolling\n")
    assert "1 cases, 0 failed" in parallel
    assert "reboot-after" in rolling
    assert "1 cases, 1 failed" in rolling
    assert "strategy parallel" not in matrix(lines[1:])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_gets_the_strategy_of_its_chain(tmp_path: Path, strategy: str) -> None:
    runner = Runner(None, Chain("one", (Case("cutover", "reboot", strategy=strategy),)), tmp_path, print)  # type: ignore[arg-type]
    (_option, given) = runner.arguments
    assert json.loads(given)["migration"]["strategy"] == strategy


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_end_to_expect_is_that_of_the_strategy(monkeypatch: pytest.MonkeyPatch, strategy: str) -> None:
    asked: list[str] = []
    for name in STRATEGIES:
        monkeypatch.setitem(
            verdict.ASSERT_MIGRATED, name, functools.partial(lambda name, _names: asked.append(name), name)
        )
    chain = Chain("one", (Case("cutover", "reboot", strategy=strategy),))
    done = Course(chain, Path(), [], [Attempt("playbooks/migrate.yml", 0.0, 1.0, 0, False, False, "")])
    monkeypatch.setattr(verdict, "restarts", lambda: [])
    assert verdict.standing(done, SimpleNamespace(nodes=[])) == []  # type: ignore[arg-type]
    assert asked == [strategy]


def test_no_rollback_of_rolling_may_fail_a_read() -> None:
    case = Case("port_migration", "reboot", strategy=ROLLING)
    injection = Injection(case, 1.0, "task", run=1)
    course = Course(Chain("one", (case,)), Path(), [injection], [Attempt("", 0.0, 9.0, 0, False, True, "")])
    pis = SimpleNamespace(nodes=[Node(1)])
    assert verdict.way_back(course, pis) == []  # type: ignore[arg-type]
    course.chain = Chain("one", (replace(case, strategy=PARALLEL),))
    assert verdict.way_back(course, pis) != []  # type: ignore[arg-type]


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pis:
    """Three Pis in a migration Pi by Pi, of which pi-1 leads, none has had its turn, and none runs."""
    monkeypatch.setattr(machines, "root", lambda node: tmp_path / node.name)
    monkeypatch.setattr(machines, "running", lambda node: False)
    pis = Pis(SimpleNamespace(nodes=[Node(number) for number in (1, 2, 3)], profile="full"), None, ROLLING)  # type: ignore[arg-type]
    for node in pis.nodes:
        (tmp_path / node.name / BACKUPS).mkdir(parents=True)
        (tmp_path / node.name / UNIT_DATA).mkdir(parents=True)
    statuses = {node.name: {"is_leader": node.number == 1} for node in pis.nodes}
    monkeypatch.setattr(
        pis, "ask", lambda node, port, *_more, **_options: statuses[node.name] if port == 8080 else None
    )
    return pis


def note(pis: Pis, node: Node, phase: str, **facts: str) -> None:
    file = pis.backups(node, "journal.json")
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"phases": {}}
    known["phases"][phase] = {"state": "started", "facts": facts}
    file.write_text(json.dumps(known))


def test_pods_and_units_are_one_cluster_from_the_beginning(three: Pis) -> None:
    assert three.serving() == EITHER
    assert three.leader() == three.nodes[0]
    three.strategy = PARALLEL
    assert three.serving() == faults.UNIT


def test_whose_turn_it_is_there_and_back(three: Pis) -> None:
    pi_1, pi_2, pi_3 = three.nodes
    with pytest.raises(LabError, match="whose turn"):
        three.in_turn()
    note(three, pi_2, "cutover", turn="done")
    note(three, pi_3, "cutover", turn="started")
    assert three.in_turn() == pi_3
    note(three, pi_1, ROLLBACK, way="turns", turn="waiting")
    note(three, pi_2, ROLLBACK, way="turns", turn="started")
    assert three.in_turn() == pi_2


def test_a_fault_of_another_pi_leaves_the_one_in_its_turn_alone(three: Pis) -> None:
    note(three, three.nodes[2], "cutover", turn="started")
    injection = Injection(table.turn("partition", "between", 2, on="other"), 0.0, "task")
    assert strike._host(three, injection) == three.nodes[1]
    injection = Injection(table.turn("partition", "before-stop", 1), 0.0, "task")
    assert strike._host(three, injection) == three.nodes[2]


def test_the_neighbour_of_the_first_turn_is_not_the_server(three: Pis) -> None:
    """Whichever Pi leads."""
    for leader in three.nodes:
        first = next(node for node in three.nodes if node != leader)
        note(three, first, "cutover", turn="started")
        injection = Injection(table.turn("pi-dead", "gate-shut", 1, on="neighbour"), 0.0, "task")
        struck = strike._host(three, injection)
        assert struck == three.nodes[first.number % 3]
        assert not struck.is_server
        note(three, first, "cutover", turn="waiting")


@pytest.mark.parametrize("routed", [True, False])
def test_clients_left_with_a_dead_neighbour_are_a_failure(
    three: Pis, monkeypatch: pytest.MonkeyPatch, routed: bool
) -> None:
    """Also where the play is in order again once that Pi is back."""
    note(three, three.nodes[1], "cutover", turn="started")
    done: list[str] = []
    for module, name in (
        (strike.network, "partition"),
        (strike.network, "heal"),
        (machines, "power_off"),
        (strike.world, "reboot"),
    ):
        monkeypatch.setattr(module, name, lambda *_args, name=name: done.append(name))
    monkeypatch.setattr(strike, "_recover", lambda *_args, **_more: done.append("recovered"))
    injection = Injection(table.turn("pi-dead", "gate-shut", 1, on="neighbour"), 0.0, "task")
    strike.pi_dead(three, injection, SimpleNamespace())  # type: ignore[arg-type]
    assert injection.host == "pi-3"
    monkeypatch.setattr(three, "led_to", lambda _node: ["pi-2"] if routed else [])
    injection.repair()  # type: ignore[misc]
    assert injection.wrong == ("the clients of pi-2 are still routed to pi-3, which is dead" if routed else "")
    assert done == ["partition", "power_off", "heal", "reboot", "recovered"]


@pytest.mark.parametrize(("handed_over", "owner"), [(False, faults.UNIT), (True, faults.POD)])
def test_the_leader_is_killed_where_its_data_is(
    three: Pis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handed_over: bool, owner: str
) -> None:
    """A pod on trial beside the unit is not it."""
    killed: list[tuple[str, str | None]] = []
    monkeypatch.setattr(faults, "processes", lambda node, name="", owner=None: [1])
    monkeypatch.setattr(faults, "kill", lambda node, name, signal="KILL", owner=None: killed.append((node.name, owner)))
    monkeypatch.setattr(three, "wait_caught_up", lambda node, of=None, timeout=60: 1.0)
    if handed_over:
        (tmp_path / "pi-1" / UNIT_DATA).rename(tmp_path / "pi-1" / POD_DATA)
    injection = Injection(table.rolling("transfer", "old-leader-killed", on="leader"), 0.0, "task")
    strike.old_leader_killed(three, injection, None)  # type: ignore[arg-type]
    assert killed == [("pi-1", owner)]
    assert {allowance["route"] for allowance in injection.allowances} == {"pi-1", "service"}


@pytest.mark.parametrize(("handed_over", "excused"), [(False, set()), (True, {"pi-3", "service"})])
def test_a_pod_on_trial_excuses_no_read(
    three: Pis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handed_over: bool, excused: set[str]
) -> None:
    monkeypatch.setattr(faults, "kill", lambda *_arguments, **_options: [1])
    waited: list[str | None] = []

    def wait_caught_up(node: Node, of: str | None = None, timeout: float = 60) -> float:
        waited.append(of)
        return 1.0

    monkeypatch.setattr(three, "wait_caught_up", wait_caught_up)
    if handed_over:
        (tmp_path / "pi-3" / UNIT_DATA).rename(tmp_path / "pi-3" / POD_DATA)
    injection = Injection(table.rolling("prepare", "pod-killed"), 0.0, "task")
    strike.pod_killed(three, injection, None)  # type: ignore[arg-type]
    assert {allowance["route"] for allowance in injection.allowances} == excused
    assert waited == [None], "a trial pod belongs to no cluster that it could catch up with"


@pytest.mark.parametrize("phase", ["validate", "cutover", "cleanup"])
def test_what_is_kept_is_corrupted_where_no_phase_takes_a_copy(three: Pis, phase: str) -> None:
    """In cutover `parallel` takes a snapshot, and Pi by Pi there is none to wait for."""
    copy = three.backups(three.nodes[2], "prepare/pi-controller.db")
    copy.parent.mkdir()
    copy.write_bytes(b"x" + strike.ROW)
    injection = Injection(table.rolling(phase, "corrupt"), 0.0, "task")
    strike.corrupt(three, injection, None)  # type: ignore[arg-type]
    assert (injection.note, injection.wrong) == ("1 copies", "")
    assert strike.ROW not in copy.read_bytes()


def test_what_a_killed_run_has_left_is_not_what_is_corrupted(three: Pis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cutover that goes on after a kill takes a snapshot of its own, and reads no other one."""
    parallel = replace(three, strategy=PARALLEL)
    monkeypatch.setattr(parallel, "leader", lambda of=None, timeout=20: parallel.nodes[0])
    left = parallel.backups(parallel.nodes[0], "cutover/snapshot/state.bin")
    taken = left.with_name(".state.bin.part")
    left.parent.mkdir(parents=True)
    left.write_bytes(strike.ROW)
    time.sleep(0.2)
    began = time.time() - 0.1
    # As soon as it is looked for again, the run has begun to write its own.
    monkeypatch.setattr(time, "sleep", lambda _seconds: taken.exists() or taken.write_bytes(strike.ROW))
    injection = Injection(Case("cutover", "corrupt", on="leader"), began, "task")
    strike.corrupt(parallel, injection, SimpleNamespace(began=began))  # type: ignore[arg-type]
    assert injection.wrong == ""
    assert strike.ROW in left.read_bytes()
    assert strike.ROW not in taken.read_bytes()


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_unit_is_started_after_a_full_disk_only_with_its_data(
    three: Pis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handed_over: bool
) -> None:
    """A unit that is started without its folder makes an empty one, in which it is another member."""
    executed: list[str] = []
    monkeypatch.setattr(machines, "execute", lambda node, argv, **_options: executed.append(" ".join(argv)))
    monkeypatch.setattr(faults, "fill", lambda *_arguments: 1)
    monkeypatch.setattr(faults, "unfill", lambda _node: None)
    for wait in ("wait_caught_up", "wait_service"):
        monkeypatch.setattr(three, wait, lambda *_arguments, **_options: 1.0)
    if handed_over:
        (tmp_path / "pi-3" / UNIT_DATA).rename(tmp_path / "pi-3" / POD_DATA)
    strike.disk_full(three, Injection(table.rolling("transfer", "disk-full"), 0.0, "task"), None)  # type: ignore[arg-type]
    assert any("systemctl start" in command for command in executed) is not handed_over


def test_the_power_goes_when_the_moment_within_the_task_has_come(three: Pis, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    note(three, three.nodes[1], "cutover", turn="started")
    monkeypatch.setattr(
        strike, "await_moment", lambda pis, node, moment, ended: order.append(f"{moment} on {node.name}")
    )
    monkeypatch.setattr(machines, "power_off", lambda node: order.append("off"))
    monkeypatch.setattr(strike.world, "reboot", lambda *_arguments: order.append("on"))
    for wait in ("wait_caught_up", "wait_service"):
        monkeypatch.setattr(three, wait, lambda *_arguments, **_options: 1.0)
    injection = Injection(table.turn("reboot", "data-renamed", 1), 0.0, "task")
    strike.reboot(three, injection, SimpleNamespace(ended=threading.Event()))  # type: ignore[arg-type]
    assert order == ["data-renamed on pi-2", "off", "on"]
    assert injection.note == "data: the unit's; unit: not masked"


def test_the_unit_has_stopped_when_its_process_is_gone(three: Pis, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setattr(faults, "processes", lambda node, owner: [unit.pid] if owner == faults.UNIT else [os.getpid()])
    has_come = moments.MOMENTS["unit-stopped"](three, three.nodes[0])
    assert not has_come()
    unit.communicate(b"\n")
    assert has_come()


def test_the_data_is_renamed_when_the_pods_folder_is_there(three: Pis, tmp_path: Path) -> None:
    has_come = moments.MOMENTS["data-renamed"](three, three.nodes[0])
    assert not has_come()
    (tmp_path / "pi-1" / UNIT_DATA).rename(tmp_path / "pi-1" / POD_DATA)
    assert has_come()
    assert not moments.MOMENTS["data-renamed"](three, three.nodes[0])(), "an earlier run has renamed it"


def test_the_fence_holds_when_the_daemon_refuses_writes(three: Pis, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [{"enabled": False}, None, {"enabled": True}]
    monkeypatch.setattr(three, "ask", lambda *_arguments: answers.pop(0))
    has_come = moments.MOMENTS["fenced"](three, three.nodes[0])
    assert not has_come()
    assert has_come()


def test_the_pods_are_opened_when_a_journal_says_so(three: Pis) -> None:
    three.strategy = PARALLEL
    has_come = moments.MOMENTS["opened"](three, three.nodes[0])
    assert not has_come()
    note(three, three.nodes[1], "cutover", opening="true")
    assert has_come()
    assert not moments.MOMENTS["opened"](three, three.nodes[0])()


def test_a_pi_that_has_lost_its_gate_is_excused_until_the_next_run(three: Pis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run does not wait for that: it is what brings the gate back."""
    injection = Injection(Case("cutover", "reboot", moment="opened", on="server"), 0.0, "task")
    monkeypatch.setattr(strike, "await_moment", lambda *_arguments: None)
    monkeypatch.setattr(machines, "power_off", lambda node: None)
    monkeypatch.setattr(strike.world, "reboot", lambda *_arguments: None)
    for wait in ("wait_caught_up", "wait_service"):
        monkeypatch.setattr(three, wait, lambda *_arguments, **_options: 1.0)
    monkeypatch.setattr(three, "wait_gate", lambda node: 5e9 if injection.over.is_set() else 1.0)
    strike.reboot(three, injection, SimpleNamespace(ended=threading.Event()))  # type: ignore[arg-type]
    assert [each["route"] for each in injection.allowances if each["to"] == 5e9 and not each["stale"]] == [
        "pi-1",
        "service@pi-1",
    ]
    assert {each["route"] for each in injection.allowances if each["stale"]} == {"pi-1", "service"}
    assert max(each["to"] for each in injection.allowances if each["stale"]) == 1.0


def test_a_moment_that_does_not_come_is_an_error(three: Pis) -> None:
    moments.await_moment(three, three.nodes[0], "gate-shut")  # the beginning of a task
    with pytest.raises(LabError, match=r"pi-1: the moment 'data-renamed' did not come within 0\.01 s"):
        moments.await_moment(three, three.nodes[0], "data-renamed", timeout=0.01)


def test_a_case_whose_moment_did_not_come_strikes_the_next_run(three: Pis, tmp_path: Path) -> None:
    """As the old leader's Pi that is to lose power at the opening, where another one has been lost before it."""
    case = table.turn("reboot", "data-renamed", 1)
    note(three, three.nodes[0], "cutover", turn="started")
    runner = Runner(three, Chain("one", (case,)), tmp_path, print)
    runner.pending.clear()
    runner.ended.set()
    runner._strike(case, "Handover | Hand the unit's data over to the pod")
    assert runner.pending == [case]
    assert runner.course.injections == []


def test_a_moment_is_the_beginning_of_a_task_of_a_turn_or_within_one() -> None:
    handover = (Path(__file__).parents[2] / "roles/rolling_cutover/tasks/handover.yml").read_text()
    for moment, task in table.TURN.items():
        assert f'- name: "{task}' in handover, moment
    within = {moment for moment in table.TURN if table.TURN[moment] == table.SCHEDULED}
    assert within == set(moments.MOMENTS) - {"fenced", "opened"}
    assert set(STRATEGIES[ROLLING]) < set(PHASES)

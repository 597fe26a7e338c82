# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a chain came to: the witness's verdict, the hosts as they stand, and the figures of each case.

*Time to safety* is counted from the moment a fault struck to the later of two moments: the first acknowledged write after the last
stretch of more than a second without one that the fault caused (none, if there was no such stretch), and the moment the play was
where it should be: past the task that was under way, stopped with its message, or, killed, in that phase again by its next run.
The *write pause* is the longest time between two acknowledged writes from the strike to the next one (or ten seconds after it was over).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tests.e2e import hosts as on
from tests.e2e import pace, rehearsal, test_migration, test_rolling
from tests.e2e.test_migration import restarts
from tests.lab import faults, machines
from tests.lab.shell import LabError
from tests.witness.evidence import Limits
from tests.witness.history import OK, WRITES, History, load

from .case import MIGRATED, PARALLEL, ROLLING, Case, Chain
from .chain import Course
from .pis import Pis
from .strike import Injection

PAUSE_COUNTS = 1.0
# What of a stretch no fault explains. Pi by Pi neither writes nor reads ever wait for the control node, so an election is the longest.
LIMITS = {PARALLEL: rehearsal.FAULTS, ROLLING: Limits(write_pause=15, read_gap=10, recovery=30)}
ASSERT_MIGRATED = {PARALLEL: test_migration.assert_migrated, ROLLING: test_rolling.assert_migrated}
# After these no container was ever started a second time: a run that goes on does not do again what was done.
NO_RESTART = {PARALLEL: {"play-killed", "random-kill"}, ROLLING: {"play-killed", "corrupt", "control-cut-off"}}
LAGS = 1.0  # seconds by which followers may lag while faults strike; in calm runs the witness gives them less
AFTERMATH = 5.0
UNLED = 0.5  # seconds; a shorter time without a leader keeps the others within the witness's second
UNLED_SAYS = "not the leader"  # Raft's own word where no other node leads; a fence refuses with another
# What a run that did not reach its end says last: where it has left things, or that it did not begin.
OUTCOME = re.compile(
    r"migration is paused|rolled back|rollback stopped|rollback is in progress|nothing (was|has been) changed",
    re.IGNORECASE,
)


@dataclass
class Line:
    """One line of the matrix."""

    case: Case
    outcome: str
    safety: float | None = None
    pause: float | None = None
    runs: int = 0
    allowed: int = 0
    host: str = ""
    faults: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.faults)


def judge(course: Course, witness: rehearsal.Witness, pis: Pis, factor: float) -> list[Line]:
    """`factor` is how many times its limits everything may take on this machine."""
    allowances = course.folder / "allowances.json"
    history = load([witness.history])
    explained = (
        [allowance for injection in course.injections for allowance in injection.allowances]
        + headless(course, pis, history)
        + way_back(course, pis)
    )
    allowances.write_text(json.dumps(explained, indent=1))
    lags = rehearsal.UPSTREAM_LAGS if course.chain.profile == "upstream" else ["--staleness", str(LAGS * factor)]
    verdict, summary = witness.judge(
        pace.scaled(limits_of(course.chain), factor), "--allowances", str(allowances), *rehearsal.FAULTS_UNKNOWN, *lags
    )
    (course.folder / "summary.txt").write_text(summary)
    acknowledged = acknowledgements(history)
    state = standing(course, pis)
    lines = [line_of(injection, course, verdict, acknowledged, factor) for injection in course.injections]
    struck = {injection.case for injection in course.injections}
    lines += [
        Line(case, "not struck", faults=["its moment never came: the task has another name, or the phase was over"])
        for case in course.chain.cases
        if case not in struck
    ]
    for line in lines:
        line.faults += state
        line.outcome = "FAILED" if line.failed else line.outcome
    return lines


def limits_of(chain: Chain) -> Limits:
    """The witness's: those of the strategy, and where the control node is cut off in the write pause the time until its end."""
    limits = LIMITS[chain.strategy]
    lasting = [case.pause_within for case in chain.cases if case.fault == "control-cut-off"]
    return replace(limits, write_pause=max(limits.write_pause, *lasting)) if lasting else limits


def headless(course: Course, pis: Pis, history: History) -> list[dict[str, Any]]:
    """Followers do not learn what was committed last while there is no leader: what they show may be old, but they answer.

    By a fault's doing there was none in a stretch between two acknowledged writes in which a Pi had no leader to send a client to:
    it was struck, or a Pi that came back with a higher term has cost it its office. The next one has to reach the others with what
    it has: the second that the witness gives every follower.
    """
    acknowledged = acknowledgements(history)
    refused = [
        history.wall(operation.end)
        for operation in history.operations
        if operation.op in WRITES and UNLED_SAYS in operation.error
    ]
    explained = []
    for injection in course.injections:
        for a, b in stretches(injection, course, acknowledged):
            if b - a > UNLED and any(a < at < b for at in refused):
                window = {
                    "from": max(a, injection.struck),
                    "to": b + 1,
                    "stale": True,
                    "failed": False,
                    "why": f"{injection.case.name}: no leader",
                }
                explained += [{"route": route, **window} for route in (*(node.name for node in pis.nodes), "service")]
    return explained


def stretches(injection: Injection, course: Course, acknowledged: list[float]) -> list[tuple[float, float]]:
    """From one acknowledged write to the next, as long as a fault may have to do with it."""
    until = ended(injection, course)
    over = max(injection.recovered or injection.struck, injection.moved_on or injection.struck)
    return [
        (a, b)
        for a, b in zip(acknowledged, acknowledged[1:], strict=False)
        if b > injection.struck and a < min(until, over + 2 * AFTERMATH)
    ]


def ended(injection: Injection, course: Course) -> float:
    """When the next fault struck."""
    return min((other.struck for other in course.injections if other.struck > injection.struck), default=float("inf"))


def way_back(course: Course, pis: Pis) -> list[dict[str, Any]]:
    """Where only some pods are on the standard ports, all stop before a unit starts: in a rollback from there reads wait, too.

    In place there are no other ports, and no such rollback.
    """
    return [
        {"route": route, "from": injection.struck, "to": attempt.ended, "why": f"{injection.case.name}: the rollback"}
        for number, attempt in enumerate(course.attempts, 1)
        if attempt.went_back and attempt.together and course.chain.strategy == PARALLEL
        for injection in course.injections
        if injection.run == number and injection.case.phase in ("port_migration", "cleanup")
        for route in (*(node.name for node in pis.nodes), "service")
    ]


def line_of(
    injection: Injection, course: Course, verdict: dict, acknowledged: list[float], factor: float = 1.0
) -> Line:
    until = ended(injection, course)
    gaps = stretches(injection, course, acknowledged)
    caused = [
        b
        for a, b in gaps
        if b - a > PAUSE_COUNTS and a < min(until, (injection.recovered or injection.struck) + AFTERMATH)
    ]
    writes_again = max(caused, default=injection.struck)
    line = Line(injection.case, "", host=injection.host)
    line.pause = round(max((b - a for a, b in gaps), default=0.0), 1)
    if injection.moved_on is not None:
        line.safety = round(max(writes_again, injection.moved_on) - injection.struck, 1)
    after = [attempt for attempt in course.attempts if attempt.ended > injection.struck and attempt.began < until]
    line.runs = len(after)
    back = any(attempt.went_back for attempt in after)
    line.outcome = ("rolled back, " if back else "") + ("migrated" if course.done else "not migrated")
    if course.chain.goes_back:
        line.outcome = "rolled back" if course.back else "not rolled back"
        line.faults += [] if course.back else ["the rollback was not finished"]
    line.allowed = sum(
        len([finding for finding in verdict[kind] if injection.struck - 1 <= moment(finding["at"]) < until])
        for kind in ("allowed_failed_reads", "allowed_stale_reads")
    )
    if injection.wrong:
        line.faults.append(injection.wrong)
    if not acknowledged or acknowledged[-1] < injection.struck:
        line.faults.append("no write was acknowledged after it")
    if injection.moved_on is None:
        line.faults.append("the play never got on")
    safe_within, pause_within = injection.case.safe_within * factor, injection.case.pause_within * factor
    if line.safety is not None and line.safety > safe_within:
        line.faults.append(f"safe after {line.safety} s, wanted at most {safe_within:g} s")
    if line.pause > pause_within:
        line.faults.append(f"write pause of {line.pause} s, wanted at most {pause_within:g} s")
    line.faults += [
        f"run {course.attempts.index(attempt) + 1} ended without the migration status: {attempt.message[:300]}"
        for attempt in after
        if attempt.returncode and not attempt.killed and not OUTCOME.search(attempt.message)
    ]
    if injection.case.refused:
        met = course.attempts[max(injection.run, 1) - 1]
        if met.returncode == 0 or not re.search(injection.case.refused, met.output):
            line.faults.append(f"run {max(injection.run, 1)} did not refuse it with /{injection.case.refused}/")
    if course.chain.rollback and not course.chain.goes_back and not course.done:
        line.faults.append("was not migrated when it was run again")
    if injection.case.ends == MIGRATED and (back or not course.done):
        line.faults.append(f"ended as '{line.outcome}', wanted: migrated without a rollback")
    for finding in verdict["findings"]:
        at = moment(finding["at"]) if finding["at"] and finding["at"] != "never" else None
        first = min(other.struck for other in course.injections)
        if (
            at is None
            or finding["kind"].startswith("lost")
            or injection.struck - 1 <= at < until
            or (at < first and injection.struck == first)
        ):
            line.faults.append(f"{finding['kind']} {finding['route']} {finding['at']}: {finding['text'][:200]}")
    return line


def moment(clock: str) -> float:
    return datetime.fromisoformat(clock.replace("Z", "+00:00")).timestamp()


def acknowledgements(history: History) -> list[float]:
    """When each acknowledged write was answered, epoch seconds."""
    return sorted(
        history.wall(operation.end)
        for operation in history.operations
        if operation.op in WRITES and operation.outcome == OK
    )


def standing(course: Course, pis: Pis) -> list[str]:
    """What is wrong with the hosts as they are at the end."""
    names = [node.name for node in pis.nodes]
    try:
        if course.done:
            ASSERT_MIGRATED[course.chain.strategy](names)
            for node in pis.nodes:
                left = [
                    path.name for path in (machines.root(node) / "etc/systemd/system").glob("pi-controller-migration*")
                ]
                assert left == [], f"{node.name}: {left} would put the gate back at the next boot"
            if {injection.case.fault for injection in course.injections} <= NO_RESTART[course.chain.strategy]:
                assert restarts() == [0] * len(names), f"restarts of the pods: {restarts()}"
            for injection in course.injections:
                if injection.case.fault == "hand-edited-unit":
                    kept = pis.backups(pis.lab.node(injection.host), "pi-controller.service").read_text()
                    assert "Nice=-1" in kept, f"{injection.host}: the owner's own unit file was not kept"
        else:
            assert_old_world(names, pis)
    except (AssertionError, LabError, OSError) as error:
        return [f"the hosts at the end: {str(error).splitlines()[0][:300] if str(error) else type(error).__name__}"]
    return []


def assert_old_world(names: list[str], pis: Pis) -> None:
    """The units serve, all of them in one cluster, and nothing leads past them."""
    for node in pis.nodes:
        pi = on.host(node.name)
        assert on.unit_state(pi) == ("enabled", "active"), f"{node.name}: {on.unit_state(pi)}"
        assert on.gate_rules(pi) == [], f"{node.name}: {on.gate_rules(pi)}"
        status = pis.status(node, faults.UNIT)
        assert status is not None, f"{node.name}: the unit does not answer"
        assert len(status["members"]) == len(names), f"{node.name}: {status['members']}"
        behind = pis.behind(node, faults.UNIT)
        assert behind is None, behind
    assert not pis.pods_serve(), "the migration stopped after the cutover: neither migrated nor back"

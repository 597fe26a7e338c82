# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a chain: one migration under the witness's eyes, struck by each case when its moment comes, run again until it is done."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e import control, rehearsal
from tests.lab.shell import LabError

from .case import ORDER, ROLLBACK, ROLLING, START, Case, Chain
from .moments import RunEndedError
from .pis import Pis
from .strike import Injection, strike

PLAYS = {"PREPARE": "prepare", "TRANSFER": "transfer", "VALIDATE": "validate", "CUTOVER": "cutover", "SHUTDOWN": "systemd_shutdown",
         "PORTS": "port_migration", "CLEANUP": "cleanup", "ROLLBACK": ROLLBACK}  # fmt: skip
BEGINS = "Run the phase "
HANGS = 420.0  # seconds; a run that takes longer than this will not end
MIGRATE, BACK = "playbooks/migrate.yml", "playbooks/rollback.yml"


@dataclass
class Attempt:
    """One run of a playbook."""

    playbook: str
    began: float
    ended: float
    returncode: int
    killed: bool
    went_back: bool
    message: str
    together: bool = True  # a rollback that stops all pods before a unit starts
    output: str = ""


@dataclass
class Course:
    """What came of a chain's runs."""

    chain: Chain
    folder: Path
    injections: list[Injection] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def done(self) -> bool:
        last = self.attempts[-1]
        return last.playbook == MIGRATE and last.returncode == 0

    @property
    def back(self) -> bool:
        """Whether the rollback is done that the chain is about."""
        return self.chain.goes_back and self.attempts[-1].playbook == BACK and self.attempts[-1].returncode == 0


class Runner:
    """The runs of one migration. Faults get it as their `Migration`."""

    def __init__(self, pis: Pis, chain: Chain, folder: Path, say: Callable[[str], None]) -> None:
        self.pis, self.folder, self.say = pis, folder, say
        self.course = Course(chain, folder)
        self.pending = list(chain.cases)
        self.extra: list[str] = []
        self.phase = ""
        self.task = ""
        self.failed = False  # a task of this phase, in this run
        self.play: rehearsal.Play | None = None
        self.killed = False
        self.began = time.time()
        self.ended = threading.Event()
        self.seen: dict[Case, int] = {}
        self.frozen: set[int] = set()
        safety = {"auto_rollback_on_error": chain.rollback, "require_confirmation": False}
        self.arguments = rehearsal.strategy_arguments(chain.strategy, safety=safety)

    def run(self) -> Course:
        for case in [case for case in self.pending if case.at == START]:
            self._strike(case, "before the play")
        limit = len(self.course.chain.cases) + 3
        if self.course.chain.goes_back:
            return self._go_back(limit)
        playbook = MIGRATE
        for _ in range(limit):
            attempt = self._attempt(playbook)
            self._repair()
            if playbook == MIGRATE and attempt.returncode == 0:
                break
            # Its own message says which way to go on.
            begun_back = "rollback is in progress" in attempt.message and playbook == MIGRATE
            playbook = BACK if begun_back or (playbook == BACK and attempt.returncode) else MIGRATE
        return self.course

    def _go_back(self, limit: int) -> Course:
        """Migrated without a fault; then a rollback, run again until it is done."""
        if self._attempt(MIGRATE).returncode == 0:
            for _ in range(limit):
                attempt = self._attempt(BACK)
                self._repair()
                if attempt.returncode == 0:
                    break
        return self.course

    def _attempt(self, playbook: str) -> Attempt:
        number = len(self.course.attempts) + 1
        self.phase, self.killed, extra, self.extra = "", False, self.extra, []
        self.ended.clear()
        self.began = began = time.time()
        self.play = rehearsal.Play(
            playbook, *self.arguments, *extra, log=self.folder / f"run-{number}.log", on_line=self._line
        )
        try:
            run = self.play.wait(HANGS)
        except subprocess.TimeoutExpired:
            self.say(f"run {number} hangs in {self.task!r} and is killed")
            self._hung()
            self.play.kill()
            run = self.play.wait(10)
        except BaseException:
            self.play.kill()
            raise
        finally:
            self.ended.set()
        now = time.time()
        if not self.killed:
            self._moved_on(now)
        here = [injection for injection in self.course.injections if injection.run == number]
        if run.returncode and not self.killed and here:
            here[-1].moved_on = now  # it is what stopped the run, and only now the run has come to rest
        errors = re.findall(r'"msg": "(.*?)"[,}\n]', run.output)
        went_back = "TASK [pi_controller.raft_migration.rollback : " in run.output
        attempt = Attempt(
            playbook,
            began,
            now,
            run.returncode,
            self.killed,
            went_back,
            errors[-1] if errors else "",
            together="TASK [pi_controller.raft_migration.rollback : Turn" not in run.output,
            output=run.output,
        )
        self.course.attempts.append(attempt)
        how = "killed" if self.killed else "done" if run.returncode == 0 else f"stopped: {attempt.message[:300]}"
        self.say(f"run {number} of {playbook}: {run.seconds:.0f} s, {how}")
        return attempt

    def _repair(self) -> None:
        """What an operator does before running it again: wait until the fault is over, or end it."""
        for injection in self.course.injections:
            if injection.repair:
                try:
                    injection.repair()
                except (LabError, TimeoutError) as error:
                    injection.wrong = f"could not be repaired: {error}"
                injection.repair = None
        # A run that was killed may have left a Pi half-way that an earlier fault had hit: only the next run brings it back.
        for injection in [] if self.killed else self.course.injections:
            if not injection.over.wait(180):
                injection.wrong = injection.wrong or "the fault was not over after 180 s"

    def _line(self, line: str) -> None:
        self.failed = self.failed or line.startswith("fatal: [")
        found = rehearsal.BEGINS.match(line)
        if not found:
            return
        if found[1] == "PLAY":
            # A rollback is a phase only where the chain is about it.
            word = re.match(r"(?:\(\d/\d\)" + (" |" if self.course.chain.goes_back else " ") + ")([A-Z]+)", found[2])
            self.phase = PLAYS.get(word[1], "") if word else ""
            self.failed = False
            return
        self.task = found[2]
        self._moved_on(time.time(), self.phase)
        here = [
            case
            for case in self.pending
            if case.phase == self.phase
            and (case.at or BEGINS) in self.task
            and self._may_strike(case)
            # Once a turn has failed no other begins, but Ansible names their tasks all the same.
            and not (self.failed and (case.strategy, case.phase) == (ROLLING, "cutover"))
        ]
        for case in here:
            self.seen[case] = self.seen.get(case, 0) + 1
        # One at a time: two faults on one task are two cases only when the second finds the phase again.
        for case in [case for case in here if self.seen[case] >= case.nth][:1]:
            self.pending.remove(case)
            threading.Thread(target=self._strike, args=(case, self.task), daemon=True).start()

    def _may_strike(self, case: Case) -> bool:
        """Whether the one that it has to come after has struck a run that is over."""
        first = dict(self.course.chain.later).get(case.name)
        over = len(self.course.attempts)
        return first is None or any(
            injection.case.name == first and injection.run <= over for injection in self.course.injections
        )

    def _strike(self, case: Case, task: str) -> None:
        if case.after and not self._comes(case):
            self._strike_later(case)
            return
        if case in self.pending:
            self.pending.remove(case)
        task = self.task if case.after else task
        injection = Injection(case, time.time(), task, run=len(self.course.attempts) + 1, hold=self.held)
        self.course.injections.append(injection)
        try:
            strike(self.pis, injection, self)
        except RunEndedError:
            injection.over.set()
            self.course.injections = [other for other in self.course.injections if other is not injection]
            self._strike_later(case)
            return
        more = (f" ({injection.note})" if injection.note else "") + (f": {injection.wrong}" if injection.wrong else "")
        self.say(f"{case.name} struck {injection.host or 'the play'} during {injection.task!r}{more}")

    def _comes(self, case: Case) -> bool:
        """Wait for its moment, or for the end of its phase where that is earlier. False where the run ended before."""
        until = time.monotonic() + case.after
        while time.monotonic() < until and f"Record {case.phase} as done" not in self.task:
            if self.ended.wait(0.01):
                return False
        return True

    def _strike_later(self, case: Case) -> None:
        self.say(f"{case.name}: the run ended before its moment came")
        self.pending.append(case)

    def _hung(self) -> None:
        for injection in self.course.injections[-1:]:
            injection.wrong = injection.wrong or f"a run hung in {self.task!r}"

    def _moved_on(self, now: float, phase: str | None = None) -> None:
        """The play got past the task that was under way, has stopped, or (after a kill) is in that phase again."""
        for injection in self.course.injections:
            again = (
                phase is None
                or injection.run == len(self.course.attempts) + 1
                or (phase and ORDER.index(phase) >= ORDER.index(injection.case.phase))
            )
            if injection.moved_on is None and again and not self.killed:
                injection.moved_on = now

    def kill(self) -> None:
        assert self.play is not None
        self.killed = True
        self.play.kill()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The run under way is frozen, if there is one."""
        running = self.play is not None and self.play.process.poll() is None
        stopped = control.freeze(self.play.process.pid) if self.play and running else set()
        try:
            yield
        finally:
            control.thaw(stopped)

    def freeze(self) -> None:
        assert self.play is not None
        self.frozen = control.freeze(self.play.process.pid)

    def thaw(self) -> None:
        control.thaw(self.frozen)
        self.frozen = set()

    def second_operator(self) -> tuple[int, str]:
        """Someone else starts the same playbook meanwhile, from a place of their own: only the lock in Kubernetes keeps them out."""
        elsewhere = ["-e", f"raft_migration_control_dir={self.folder}/second-operator"]
        run = rehearsal.Play(MIGRATE, *self.arguments, *elsewhere, log=self.folder / "second-operator.log").wait(120)
        refused = re.findall(r'"msg": "(.*?)"[,}\n]', run.output)
        return run.returncode, (refused[-1] if refused else "")[:160]

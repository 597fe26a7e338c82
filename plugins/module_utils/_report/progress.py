# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A running migration as the terminal shows it: what is known, the lines it makes, and the events worth a line of their own.

Pure: times come with the events, and nothing is read or printed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core import words
from .._core.commands import STATUS
from .._core.journal import PARALLEL, ROLLBACK, STRATEGIES
from .outcome import CLUSTERS, Outcome, as_lines, current_state, state_of
from .status import phase_of

MARKS = {"done": "✓", "started": "▸", "failed": "✗", "rolled_back": "↩", "pending": "·"}
# A cluster that was not seen for so long is not shown as if it were there now.
STALE = 5.0
# Seconds without a line after which one says what is waited for: a silent terminal looks like a program that hangs.
PATIENCE = 8.0


@dataclass
class Event:
    """One line for the log. `kind` decides its colour: info, good, bad, alert, text."""

    kind: str
    text: str
    at: float


@dataclass
class Task:
    name: str
    since: float
    hosts: set[str] = field(default_factory=set)


@dataclass
class Progress:
    """Takes events in and gives lines out."""

    began: float
    phases: dict[str, dict[str, str]] = field(default_factory=dict)
    times: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    limit: float | None = None
    # The phases of the strategy: as configured, or as a journal has them where one has begun.
    order: tuple[str, ...] = STRATEGIES[PARALLEL]
    clusters: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    task: Task | None = None
    status: Mapping[str, Any] | None = None
    last_line: float = 0.0
    failures: list[str] = field(default_factory=list)
    _alerts: set[tuple[Any, ...]] = field(default_factory=set)

    # --- what happens ----------------------------------------------------------------------------

    def configured(self, config: Mapping[str, Any]) -> None:
        """The configuration of the migration."""
        self.limit = (config.get("timeouts_seconds") or {}).get("phase_timeout")
        if not self.phases:
            self.order = STRATEGIES.get(str(config.get("strategy")), self.order)

    def journal(self, host: str, states: Mapping[str, str], at: float, *, first: bool = False) -> list[Event]:
        """A Pi's journal. `first` is what was written before this run, which is no event."""
        before = self.states()
        if any(state != "pending" for state in states.values()):
            self.order = tuple(phase for phase in states if phase != ROLLBACK)
        for phase, state in states.items():
            self.phases.setdefault(phase, {})[host] = state
        events = []
        for phase, state in self.states().items():
            if first or state == before.get(phase, "pending"):
                continue
            title = words.PHASE_TITLES[phase]
            began = self.times.get(phase, (at, None))[0]
            if state == "started":
                self.times[phase] = (at, None)
                events.append(Event("info", f"{title} begins", at))
            else:
                self.times[phase] = (began, at)
                kind = "good" if state == "done" else "bad"
                events.append(Event(kind, f"{title} {state.replace('_', ' ')} after {words.seconds(at - began)}", at))
        return events

    def sample(self, sample: Mapping[str, Any]) -> list[Event]:
        """A look of the quorum watch; an event where quorum, leader or term are other than before."""
        name = sample["cluster"]
        before, self.clusters[name] = self.clusters.get(name), sample
        if before is not None and _essence(before) == _essence(sample):
            return []
        kind = "bad" if sample["quorum"] is False else "info"
        return [Event(kind, f"{CLUSTERS[name]}: {describe(sample)}", float(sample["at"]))]

    def alert(self, alert: Mapping[str, Any]) -> list[Event]:
        """A line of the watch's alerts: raised, or over."""
        key = (alert.get("kind"), alert.get("cluster"), alert.get("began"), alert.get("ended") is None)
        if key in self._alerts:
            return []
        self._alerts.add(key)
        if alert.get("ended") is None:
            return [Event("alert", f"ALERT: {alert['message']}", float(alert["at"]))]
        lasted = words.seconds(float(alert["ended"]) - float(alert["began"]))
        return [Event("good", f"over after {lasted}: {alert['message']}", float(alert["at"]))]

    def task_begins(self, name: str, at: float) -> None:
        self.task = Task(name, at)

    def waiting(self, at: float) -> list[Event]:
        """A line about the task that runs, where there has been none for a while. The caller keeps `last_line`."""
        if self.task is None or at - max(self.last_line, self.began) < PATIENCE:
            return []
        return [Event("info", f"now: {self._now(at)}", at)]

    def failed(self, host: str, task: str, message: str, at: float) -> list[Event]:
        line = f"{host}: {task}: {message}".strip()
        self.failures.append(line)
        return [Event("bad", f"FAILED {line}", at)]

    # --- what there is to show -------------------------------------------------------------------

    def states(self) -> dict[str, str]:
        shown = (*self.order, ROLLBACK) if ROLLBACK in self.phases else self.order
        found = {phase: phase_of(list(self.phases.get(phase, {}).values()) or ["pending"]) for phase in shown}
        # Each Pi records the end of a phase and the start of the next in one entry, one Pi before the other.
        for earlier, later in zip(self.order, self.order[1:]):
            if found[later] == "started" and found[earlier] != "done":
                found[later] = "pending"
        return found

    def panel(self, at: float, *, over: bool = False) -> list[tuple[str, str]]:
        """(kind, line) of the current state; of a run that is over only what became of the phases."""
        if not self.phases:
            return [("info", f"  {self._now(at)}")] if self.task else []
        lines = [("title", f"pi-controller migration  {words.seconds(at - self.began)}")]
        kinds = {"done": "good", "failed": "bad", "started": "active", "rolled_back": "bad", "pending": "dim"}
        for phase, state in self.states().items():
            lines.append(
                (
                    kinds[state],
                    f"  {MARKS[state]} {words.PHASE_TITLES[phase]:<18} {self._took(phase, state, at)}".rstrip(),
                )
            )
        if over:
            return lines
        lines.append(("dim", ""))
        for name, title in CLUSTERS.items():
            sample = self.clusters.get(name)
            if sample is None or at - float(sample["at"]) > STALE:
                lines.append(("dim", f"  {title:<8} not watched now"))
            else:
                lines.append(("bad" if sample["quorum"] is False else "info", f"  {title:<8} {describe(sample)}"))
        if self.task:
            lines += [("dim", ""), ("info", f"  {self._now(at)}")]
        return lines

    def _took(self, phase: str, state: str, at: float) -> str:
        if phase not in self.times:
            # Done by an earlier run, or not begun.
            return "" if state == "pending" else "earlier" if state == "done" else state.replace("_", " ")
        began, ended = self.times[phase]
        took = words.seconds((ended if ended is not None else at) - began)
        if state == "started":
            return f"{took} of {words.seconds(self.limit)}" if self.limit else took
        return took if state == "done" else f"{state.replace('_', ' ')} after {took}"

    def _now(self, at: float) -> str:
        if self.task is None:
            raise AssertionError("nothing runs now")
        who = f" on {', '.join(sorted(self.task.hosts))}" if self.task.hosts else ""
        return f"{self.task.name}{who}, for {words.seconds(max(0.0, round(at - self.task.since, 1)))}"

    def closing(self) -> list[tuple[str, str]]:
        """After a failure: the current state, and how to continue or to roll back."""
        if not self.failures:
            return []
        if self.status is None:
            # It ended before its last play, as when no Pi answers any more; then nothing has looked.
            return as_lines(
                Outcome(
                    command=STATUS, goal="To see the current state", why="and the commands to continue or to roll back"
                )
            )
        return as_lines(Outcome(state=current_state(state_of(self.status)), **self.status["next"]))


def _essence(sample: Mapping[str, Any]) -> tuple[Any, ...]:
    return sample["quorum"], sample.get("leader") or sample.get("leader_address"), sample.get("term")


def describe(sample: Mapping[str, Any]) -> str:
    """`quorum, 3 of 3 answer, leader pi-1, term 2`; or why it is unknown."""
    if sample["quorum"] is None:
        return str(sample.get("why") or "cannot be seen from here")
    leader = sample.get("leader") or sample.get("leader_address")
    quorum = "quorum" if sample["quorum"] else "NO QUORUM"
    led_by = f"leader {leader}" if leader else "no leader"
    term = f", term {sample['term']}" if sample.get("term") is not None else ""
    return f"{quorum}, {sample['answering']} of {sample['voters']} answer, {led_by}{term}"

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge: pure, from a history and the final state to a verdict. The reasoning is in witness_subjects.

A read may return any version that witness_subjects does not call overwritten by what was known `staleness` seconds before the read
began. The final state is a read that may not lag at all.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from . import witness_figures
from .witness_history import NAME_PREFIX, OK, READS, SERVICE, UNKNOWN, WRITES, History, Operation
from .witness_subjects import Key, Subject, Version

LOST_WRITE = "lost_write"
LOST_DELETE = "lost_delete"
PHANTOM = "phantom"
STALE_READ = "stale_read"
FAILED_READ = "failed_read"
NO_EVIDENCE = "no_evidence"
WITNESS_BROKE = "witness_broke"
OVER_LIMIT = "over_limit"


@dataclass(frozen=True)
class Finding:
    """One fault, in words and with what it takes to look it up in the history."""

    kind: str
    text: str
    route: str = ""
    client: str = ""
    at: str = ""


@dataclass
class Verdict:
    """Acquitted (`ok`) when nothing was found."""

    ok: bool
    findings: list[Finding]
    allowed_failed_reads: list[Finding]
    figures: dict[str, Any]
    allowed_stale_reads: list[Finding] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def kinds(self) -> set[str]:
        return {finding.kind for finding in self.findings}


@dataclass(frozen=True)
class Allowance:
    """Reads through this route may fail if they ran at any time within the window (monotonic times).

    The route is a name, or for one way to it `name@namespace`. A fault that silences a host explains reads that got no answer,
    but none that got a wrong one: those need `answered`. It may explain that a host lags while it is cut off: that needs `stale`.
    Without `failed` it explains the lag alone, as of followers whose leader has died: they have to answer all the same.
    """

    route: str
    start: float
    end: float
    answered: bool = True
    stale: bool = False
    failed: bool = True

    def covers(self, operation: Operation) -> bool:
        through = operation.route == self.route or operation.client.startswith(f"read-{self.route}-")
        return through and operation.end >= self.start and operation.start <= self.end


@dataclass(frozen=True)
class Limits:
    """Longest stretches that are still a pass; None is no limit."""

    write_pause: float | None = None
    read_gap: float | None = None


def judge(history: History, final_state: Sequence[Operation] | None, *, staleness: float = 1.0, allowances: Sequence[Allowance] = (),
          limits: Limits = Limits(), ignore_foreign: bool = False) -> Verdict:
    """Judge a history. `final_state` holds the last list reads of every table through every route; None leaves that out."""
    history = replace(history, operations=sorted(history.operations, key=lambda operation: operation.start))
    case = _Case(history, staleness, ignore_foreign, allowances)
    case.note_what_was_seen()
    for operation in history.operations:
        case.check_read(operation)
    failed, allowed = _failed_reads(history, allowances)
    case.findings += failed
    for operation in final_state or ():
        case.check_final(operation)
    measured = witness_figures.figures(history)
    measured["rows_of_other_witnesses_ignored"] = len(case.strangers)
    # Within `staleness` these are a follower's lag and no fault.
    measured["older_values_seen_by_one_client_at_one_address"] = case.regressions
    case.findings += list(_missing_evidence(history, final_state))
    case.findings += [Finding(WITNESS_BROKE, f"a client of the witness broke: {crash}") for crash in history.crashes]
    case.findings += list(_over_limits(measured, limits))
    findings = _merged(case.findings)
    return Verdict(not findings, findings, allowed, measured, case.allowed_stale)


class _Case:
    """The subjects of a history, and what was found against the cluster."""

    def __init__(self, history: History, staleness: float, ignore_foreign: bool, allowances: Sequence[Allowance] = ()) -> None:
        self.history, self.staleness, self.ignore_foreign = history, staleness, ignore_foreign
        self.lags = [allowance for allowance in allowances if allowance.stale]
        self.findings: list[Finding] = []
        self.allowed_stale: list[Finding] = []
        self.strangers: set[str] = set()
        # The newest version each client has seen of each object at each Pi's own address, and how often it then saw an older one.
        self.sessions: dict[tuple[str, str], dict[Key, Version]] = {}
        self.regressions = 0
        self.prefixes = tuple(f"{NAME_PREFIX}{run}-" for run in history.runs)
        self.subjects: dict[Key, Subject] = {}
        self.by_table: dict[str, list[Subject]] = {}
        for operation in history.operations:
            if operation.op in WRITES:
                self._learn(operation)
        for subjects in self.by_table.values():
            subjects.sort(key=lambda subject: subject.gone)

    def _learn(self, operation: Operation) -> None:
        key = (operation.table, operation.object)
        subject = self.subjects.get(key)
        if subject is None:
            subject = self.subjects[key] = Subject(key)
            self.by_table.setdefault(operation.table, []).append(subject)
        value = None if operation.op == "delete" else operation.value
        version = subject.versions.setdefault(value, Version(value, operation.start))
        if operation.outcome in (OK, UNKNOWN):
            if not version.possible:
                version.start = operation.start  # earlier attempts were refused: it cannot have landed before this one
            version.possible = True
        else:
            version.refusal = operation.error or operation.outcome
        if operation.outcome == OK:
            version.acknowledged = min(version.acknowledged, operation.end)
            if operation.id is not None:
                subject.ids.add(operation.id)

    def note_what_was_seen(self) -> None:
        for operation in self.history.operations:
            for subject, value in self._observations(operation):
                version = subject.versions.get(value) if value is not None else None
                if version is not None and operation.end >= version.start:
                    version.seen = min(version.seen, operation.end)
        for subject in self.subjects.values():
            subject.index()
        self._note_deletes_seen()

    def _note_deletes_seen(self) -> None:
        """An absent row shows that an unknown delete landed, unless the read may have come from before the row was made.

        One that is allowed to lag may lag by any time.
        """
        doubtful = {subject.key: subject.versions[None] for subject in self.subjects.values()
                    if None in subject.versions and subject.versions[None].possible and subject.versions[None].known == math.inf}
        for operation in self.history.operations if doubtful else ():
            if any(allowance.covers(operation) for allowance in self.lags):
                continue
            for subject, value in self._observations(operation):
                delete = doubtful.get(subject.key) if value is None else None
                if delete is not None and operation.end >= delete.start and subject.floor(operation.start - self.staleness) is not None:
                    delete.seen = min(delete.seen, operation.end)
        for key in doubtful:
            self.subjects[key].index()

    def _observations(self, operation: Operation) -> Iterator[tuple[Subject, str | None]]:
        """What an operation showed of each subject: a value, or None for a row that was not there."""
        if operation.op in WRITES:
            # The leader's 404 to an update or a delete is a look at the table as well.
            subject = self.subjects.get((operation.table, operation.object))
            if operation.status == 404 and operation.op != "create" and subject is not None:
                yield subject, None
        elif operation.outcome == OK:
            values = operation.values or {}
            if operation.op == "read-one":
                subject = self.subjects.get((operation.table, operation.object))
                if subject is not None and operation.object in values:
                    yield subject, values[operation.object][1]
                elif subject is not None and operation.status == 404:
                    yield subject, None
            else:
                for name, row in values.items():
                    subject = self.subjects.get((operation.table, name))
                    if subject is not None:
                        yield subject, row[1]
                # Long histories are mostly rows that are gone, or not yet made: their absence needs no thought.
                subjects = self.by_table.get(operation.table, [])
                for subject in subjects[bisect.bisect_left(subjects, operation.start, key=lambda subject: subject.gone):]:
                    if subject.born <= operation.end and subject.key[1] not in values:
                        yield subject, None

    def check_read(self, operation: Operation) -> None:
        if operation.op in READS and operation.outcome == OK:
            self._check_rows(operation)
        session = self.sessions.setdefault((operation.client, operation.route), {}) if operation.route != SERVICE else {}
        stale: list[str] = []
        regressed = ""
        for subject, value in self._observations(operation):
            if self._is_phantom(subject, value):
                continue
            floor = subject.floor(operation.start - self.staleness)
            before = session.get(subject.key)
            if before is not None and subject.overwritten(value, before):
                regressed = f"; this client had seen {_shown(before.value)} itself at this very address"
                self.regressions += 1
            if floor is not None and subject.overwritten(value, floor):
                stale.append(f"{subject.key[1]} as {_shown(value)}, but {_shown(floor.value)} was known "
                             f"{operation.start - floor.known:.2f} s before the read began")
            version = subject.versions.get(value)
            if version is not None and (before is None or version.start > before.start):
                session[subject.key] = version
        if stale:
            more = f" (and {len(stale) - 1} more objects)" if len(stale) > 1 else ""
            self._find(STALE_READ, operation, f"{operation.op} of {operation.table} showed {stale[0]}{more}{regressed}")
            if any(allowance.covers(operation) for allowance in self.lags):
                self.allowed_stale.append(self.findings.pop())

    def check_final(self, operation: Operation) -> None:
        if operation.outcome != OK:
            self._find(FAILED_READ, operation, f"final read of {operation.table} failed: {operation.error}")
            return
        self._check_rows(operation)
        for subject, value in self._observations(operation):
            floor = subject.floor(math.inf)
            if floor is None or self._is_phantom(subject, value) or not subject.overwritten(value, floor):
                continue
            if floor.acknowledged < math.inf:
                how = f"acknowledged at {self.history.clock(floor.acknowledged)}"
            else:
                how = f"seen by a read at {self.history.clock(floor.seen)}"
            kind = LOST_DELETE if floor.value is None else LOST_WRITE
            self._find(kind, operation, f"{'/'.join(subject.key)} ends as {_shown(value)}, but {_shown(floor.value)} was {how}")

    def _check_rows(self, operation: Operation) -> None:
        """Rows that should not be as they are, whatever the time."""
        for name in operation.duplicates:
            self._find(PHANTOM, operation, f"{operation.table}: more than one row is named {name}")
        for name, (number, value) in (operation.values or {}).items():
            self._check_row(operation, name, number, value)
        for number, row in {} if self.ignore_foreign else operation.foreign.items():
            if row is None:
                self._find(LOST_WRITE, operation, f"{operation.table}: row {number}, there before the witness began, is gone")
            else:
                self._find(PHANTOM, operation, f"{operation.table}: row {number} is neither a witness's nor as it was before: {row}")

    def _check_row(self, operation: Operation, name: str, number: int, value: str) -> None:
        if not name.startswith(self.prefixes):
            if operation.op == "read-one":
                self._find(PHANTOM, operation, f"{operation.table}: row {operation.id} is {name}, not {operation.object}")
            else:
                self.strangers.add(name)
            return
        subject = self.subjects.get((operation.table, name))
        version = subject.versions.get(value) if subject and value is not None else None
        if subject is None or version is None:
            self._find(PHANTOM, operation, f"{operation.table}/{name} shows {_shown(value)}, which nobody wrote")
        elif not version.possible:
            self._find(PHANTOM, operation, f"{operation.table}/{name} shows {_shown(value)}, which was refused ({version.refusal})")
        elif operation.end < version.start:
            self._find(PHANTOM, operation, f"{operation.table}/{name} shows {_shown(value)} before it was written")
        elif subject.ids and number not in subject.ids:
            self._find(PHANTOM, operation, f"{operation.table}/{name} has id {number}, but was made as {min(subject.ids)}")
        elif operation.op == "read-one" and name != operation.object:
            self._find(PHANTOM, operation, f"{operation.table}: row {operation.id} is {name}, not {operation.object}")

    @staticmethod
    def _is_phantom(subject: Subject, value: str | None) -> bool:
        """Said already, as a value that should not be: not to be said again as one that is too old."""
        version = subject.versions.get(value) if value is not None else None
        return value is not None and (version is None or not version.possible)

    def _find(self, kind: str, operation: Operation, text: str) -> None:
        self.findings.append(Finding(kind, text, operation.route, operation.client, self.history.clock(operation.start)))


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """The same fault seen through several routes, or again and again, is one finding, dated by the first sight of it."""
    merged: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        key: tuple[str, ...] = (finding.kind, finding.text)
        if finding.kind not in (LOST_WRITE, LOST_DELETE, PHANTOM):
            key += (finding.route, finding.at, finding.client)
        first = merged.get(key)
        if first is None:
            merged[key] = finding
        elif finding.route and finding.route not in first.route.split(", "):
            merged[key] = replace(first, route=f"{first.route}, {finding.route}")
    return list(merged.values())


def _failed_reads(history: History, allowances: Sequence[Allowance]) -> tuple[list[Finding], list[Finding]]:
    failed: list[Finding] = []
    allowed: list[Finding] = []
    for operation in history.operations:
        if operation.op in READS and operation.outcome != OK:
            text = (f"{operation.op} of {operation.table} at {operation.target} failed after "
                    f"{operation.end - operation.start:.2f} s: {operation.error}")
            finding = Finding(FAILED_READ, text, operation.route, operation.client, history.clock(operation.start))
            within = any(one.failed and one.covers(operation) and (one.answered or operation.status is None) for one in allowances)
            (allowed if within else failed).append(finding)
    return failed, allowed


def _missing_evidence(history: History, final_state: Sequence[Operation] | None) -> Iterator[Finding]:
    """A witness that saw nothing proves nothing."""
    if not any(operation.op in WRITES and operation.outcome == OK for operation in history.operations):
        yield Finding(NO_EVIDENCE, "no write was acknowledged")
    if not history.routes:
        yield Finding(NO_EVIDENCE, "the history names no routes")
    seen = {operation.route for operation in history.operations if operation.op in READS and operation.outcome == OK}
    for route in history.routes:
        if route not in seen:
            yield Finding(NO_EVIDENCE, f"no read succeeded through {route}", route)
    for client in dict.fromkeys(client for header in history.headers for client in header.get("clients", ())):
        if not any(operation.client == client and operation.outcome == OK for operation in history.operations):
            yield Finding(NO_EVIDENCE, f"{client} never succeeded at anything", client=client)
    if final_state is not None:
        tables = {operation.table for operation in history.operations}
        routes = {operation.route for operation in final_state}
        for table in sorted(tables):
            for route in sorted(routes) or [""]:
                if not any(operation.table == table and operation.route == route for operation in final_state):
                    yield Finding(NO_EVIDENCE, f"no final read of {table}" + (f" through {route}" if route else ""), route)


def _over_limits(measured: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    pause = measured["write_pause"]
    if limits.write_pause is not None and pause["seconds"] > limits.write_pause:
        yield Finding(OVER_LIMIT, f"write pause of {pause['seconds']} s, at most {limits.write_pause} s wanted", at=pause["from"])
    for route, figures in measured["reads"]["routes"].items():
        gap = figures["longest_gap"]
        if limits.read_gap is not None and gap["seconds"] > limits.read_gap:
            yield Finding(OVER_LIMIT, f"{gap['seconds']} s without a read, at most {limits.read_gap} s wanted", route, at=gap["from"])


def _shown(value: str | None) -> str:
    return "absent" if value is None else repr(value)

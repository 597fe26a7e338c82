# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge: pure, from a history and the final state to a verdict. What a version is, and when overwritten, is in
subjects.

Two rules bind a read. It may be old, as a follower's may, but by no more than `staleness`: what was known that long
before it began must be in it. And it is a prefix of the log: whoever shows a write that began after another one was
known must show that one, too, however soon. A list is one look, and a connection that is kept open stays with one
daemon, whose state only moves on. The final state is a read that may not lag at all.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from . import evidence, figures
from .evidence import Allowance, Demands, Limits, Phase
from .finding import (
    ACQUITTED,
    CONVICTED,
    DUPLICATE_ID,
    EVIDENCE_KINDS,
    FAILED_READ,
    LOST_DELETE,
    LOST_UPDATE,
    LOST_WRITE,
    NO_EVIDENCE,
    OVER_LIMIT,
    PHANTOM,
    REFUSED,
    STALE_READ,
    WITNESS_BROKE,
    Finding,
)
from .history import NAME_PREFIX, OK, READS, SERVICE, UNKNOWN, WRITES, History, Operation
from .subjects import Key, Subject, Version

# The names of this module's own interface, some of which live elsewhere.
__all__ = [
    "DUPLICATE_ID",
    "FAILED_READ",
    "LOST_DELETE",
    "LOST_UPDATE",
    "LOST_WRITE",
    "NO_EVIDENCE",
    "OVER_LIMIT",
    "PHANTOM",
    "STALE_READ",
    "WITNESS_BROKE",
    "Allowance",
    "Demands",
    "Finding",
    "Limits",
    "Phase",
    "Verdict",
    "judge",
]

# Calm runs of profile `full` measure p99 0.07 s and at most 0.16 s.
STALENESS = 0.3
DEMANDS = Demands()


@dataclass
class Verdict:
    """Acquitted (`ok`) when nothing was found, refused when all that was found is a lack of evidence, convicted
    otherwise.
    """

    outcome: str
    findings: list[Finding]
    allowed_failed_reads: list[Finding]
    figures: dict[str, Any]
    allowed_stale_reads: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.outcome == ACQUITTED

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}

    def kinds(self) -> set[str]:
        return {finding.kind for finding in self.findings}


def judge(
    history: History,
    final_state: Sequence[Operation] | None,
    *,
    limits: Limits,
    staleness: float = STALENESS,
    allowances: Sequence[Allowance] = (),
    demands: Demands = DEMANDS,
    ignore_foreign: bool = False,
) -> Verdict:
    """Judge a history.

    `final_state` holds the last list reads of every table through every route; without one (None) there is no
    acquittal. `staleness` is in seconds. Where each Pi keeps its data to itself, each is judged by itself, and the verdict is the
    worst of theirs.
    """
    rules: dict[str, Any] = {"limits": limits, "staleness": staleness, "allowances": allowances, "demands": demands,
                             "ignore_foreign": ignore_foreign}  # fmt: skip
    if history.apart:
        return _judge_apart(history, final_state, rules)
    history = replace(history, operations=sorted(history.operations, key=lambda operation: operation.start))
    case = _Case(history, final_state or (), staleness, ignore_foreign, allowances)
    for operation in history.operations:
        case.check_read(operation)
    failed, allowed = _failed_reads(history, allowances)
    case.findings += failed
    for operation in final_state or ():
        case.check_final(operation)
    measured = figures.figures(history)
    measured["rows_of_other_witnesses_ignored"] = len(case.strangers)
    # Through new connections, and within `staleness`, these are a follower's lag and no fault.
    measured["older_values_seen_by_one_client_at_one_address"] = case.regressions
    case.findings += evidence.missing(history, final_state, demands, allowances)
    case.findings += evidence.over_limits(history, limits, allowances)
    measured["limits"] = asdict(limits)
    findings = _merged(case.findings)
    kinds = {finding.kind for finding in findings}
    outcome = CONVICTED if kinds - EVIDENCE_KINDS else REFUSED if kinds else ACQUITTED
    return Verdict(outcome, findings, allowed, measured, case.allowed_stale)


def _judge_apart(history: History, final_state: Sequence[Operation] | None, rules: dict[str, Any]) -> Verdict:
    verdicts = {
        pi: judge(
            history.of_pi(pi),
            None if final_state is None else [read for read in final_state if read.route == pi],
            **rules,
        )
        for pi in history.routes
    }
    measured = figures.figures(history)
    for total in ("rows_of_other_witnesses_ignored", "older_values_seen_by_one_client_at_one_address"):
        measured[total] = sum(verdict.figures[total] for verdict in verdicts.values())
    measured["limits"] = asdict(rules["limits"])
    measured["pis"] = {pi: verdict.outcome for pi, verdict in verdicts.items()}
    outcome = next((worst for worst in (CONVICTED, REFUSED) if worst in measured["pis"].values()), ACQUITTED)
    findings, failed, stale = (
        [finding for verdict in verdicts.values() for finding in getattr(verdict, kind)]
        for kind in ("findings", "allowed_failed_reads", "allowed_stale_reads")
    )
    return Verdict(outcome, findings, failed, measured, stale)


def row_findings(history: History, final_state: Sequence[Operation], staleness: float = STALENESS) -> list[Finding]:
    """What the rows alone say against the cluster, without evidence, limits and figures."""
    case = _Case(history, final_state, staleness, False, ())
    for operation in history.operations:
        case.check_read(operation)
    for operation in final_state:
        case.check_final(operation)
    return case.findings


@dataclass
class _Shown:
    """What was shown: whoever has a write has all that was known before it began, and never again less than it."""

    since: float = -math.inf  # when the newest of these writes began
    what: str = ""
    version: Version | None = None
    rows: dict[Key, Version] = field(default_factory=dict)  # the newest version of each object

    def show(self, operation: Operation, subject: Subject, version: Version) -> None:
        if version.start > operation.end:
            return  # shown before it was written, which is reported as that
        if self.since < version.start:
            self.since, self.what, self.version = version.start, "/".join(subject.key), version
        before = self.rows.get(subject.key)
        if before is None or before.start < version.start:
            self.rows[subject.key] = version

    def certainly_made(self, subject: Subject) -> bool:
        """Whether this object was there for whoever showed this: what is absent now is deleted."""
        return subject.unborn.overwritten < self.since or subject.key in self.rows

    def after(self, subject: Subject, version: Version) -> Version | None:
        """The version shown that must have come after this one, if there is any."""
        newest = self.rows.get(subject.key)
        return newest if newest is not None and version.known < newest.start else None


class _Case:
    """The subjects of a history, and what was found against the cluster."""

    def __init__(
        self,
        history: History,
        final_state: Sequence[Operation],
        staleness: float,
        ignore_foreign: bool,
        allowances: Sequence[Allowance],
    ) -> None:
        self.history, self.staleness, self.ignore_foreign = history, staleness, ignore_foreign
        self.lags = [allowance for allowance in allowances if allowance.stale]
        self.findings: list[Finding] = []
        self.allowed_stale: list[Finding] = []
        self.strangers: set[str] = set()
        # What each kept connection has shown, and each client at each Pi's own address, over all its connections.
        self.connections: dict[tuple[int, str, str, str], _Shown] = {}
        self.sessions: dict[tuple[str, str], _Shown] = {}
        self.regressions = 0
        self.prefixes = tuple(f"{NAME_PREFIX}{run}-" for run in history.runs)
        self.subjects: dict[Key, Subject] = {}
        self.owners: dict[tuple[str, int], Subject] = {}  # ids go up and are never used twice
        self.by_table: dict[str, list[Subject]] = {}
        for operation in history.operations:
            if operation.op in WRITES:
                self._learn(operation)
        self._note_what_was_seen((*history.operations, *final_state))
        # For lists: whose absence needs a thought, and which deletes an absence may show.
        self.gone: dict[str, list[float]] = {}
        self.deletes: dict[str, tuple[list[float], list[Subject]]] = {}
        self._sort()
        self._note_deletes_seen()

    def _learn(self, operation: Operation) -> None:
        key = (operation.table, operation.object)
        subject = self.subjects.get(key)
        if subject is None:
            subject = self.subjects[key] = Subject(key)
            self.by_table.setdefault(operation.table, []).append(subject)
        value = None if operation.op == "delete" else operation.value
        version = subject.versions.get(value)
        if version is None:
            version = subject.versions[value] = Version(value, operation.start, line=operation.line)
        if operation.outcome in (OK, UNKNOWN):
            if not version.possible:
                version.start = operation.start  # earlier attempts were refused: it cannot have landed before this one
            version.possible = True
        else:
            version.refusal = operation.error or operation.outcome
        if operation.outcome == OK:
            if operation.end < version.acknowledged:
                version.acknowledged, version.line = operation.end, operation.line
            if operation.id is not None:
                self._own(subject, operation.id, operation)

    def _own(self, subject: Subject, number: int, operation: Operation) -> None:
        """The id of an object, as a write to it was acknowledged or a read has shown it."""
        if subject.id is None:
            subject.id = number
        elif subject.id != number:
            key = "/".join(subject.key)
            self._find(PHANTOM, operation, f"{key} has id {number}, but was made as {subject.id}; ids never change")
            return
        owner = self.owners.setdefault((operation.table, number), subject)
        if owner is not subject:
            self._find(
                DUPLICATE_ID,
                operation,
                f"{'/'.join(subject.key)} has id {number}, which is the id of {owner.key[1]}; ids are unique, "
                "and two clusters that both take writes give them out twice",
            )

    def _note_what_was_seen(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            if operation.outcome != OK or not operation.values:
                continue
            for name, (_, value) in operation.values.items():
                subject = self.subjects.get((operation.table, name))
                version = subject.versions.get(value) if subject is not None and value is not None else None
                if version is not None and operation.end < version.seen and operation.end >= version.start:
                    version.seen = operation.end
        for subject in self.subjects.values():
            subject.index()

    def _sort(self) -> None:
        for table, subjects in self.by_table.items():
            subjects.sort(key=lambda subject: subject.gone)
            self.gone[table] = [subject.gone for subject in subjects]
            deleted = sorted(
                (subject for subject in subjects if subject.delete is not None),
                key=lambda subject: subject.versions[None].start,
            )
            self.deletes[table] = [subject.versions[None].start for subject in deleted], deleted

    def _note_deletes_seen(self) -> None:
        """An absent row shows that an unknown delete landed, unless the read may have come from before the row was
        made.

        One that is allowed to lag may lag by any time.
        """
        doubtful = {
            subject.key: subject.delete
            for subject in self.subjects.values()
            if subject.delete is not None and subject.delete.acknowledged == math.inf
        }
        for operation in self.history.operations if doubtful else ():
            if (
                operation.op not in READS
                or operation.outcome != OK
                or any(allowance.covers(operation) for allowance in self.lags)
            ):
                continue
            horizon = operation.start - self.staleness
            keys = (
                [(operation.table, operation.object)]
                if operation.op == "read-one"
                else [key for key in doubtful if key[0] == operation.table]
            )
            for key in keys:
                delete = doubtful.get(key)
                if (
                    delete is not None
                    and key[1] not in (operation.values or {})
                    and operation.end >= delete.start
                    and self.subjects[key].unborn.overwritten < horizon
                ):
                    delete.seen = min(delete.seen, operation.end)
        for key in doubtful:
            self.subjects[key].index()
        if doubtful:
            self._sort()

    # --- reads

    def check_read(self, operation: Operation) -> None:
        """A read against both rules; a 404 to a write is a look at the leader's table and may be as old as a read."""
        horizon = operation.start - self.staleness
        if operation.op in WRITES:
            subject = self.subjects[(operation.table, operation.object)]
            if operation.status == 404 and operation.op != "create":
                self._check_rows_seen(operation, [(subject, subject.absent(operation.end, horizon))], _Shown(), horizon)
            return
        # Also of a read that failed: the reads after it may come over its connection.
        connection = self._connection(operation)
        if operation.outcome == OK:
            self._check_rows(operation)
            seen, bound = self._observe(operation, horizon, connection)
            self._check_rows_seen(operation, seen, connection, bound)
            self._count_regressions(operation, seen)

    def _connection(self, operation: Operation) -> _Shown:
        """What the connection of this read has shown; a fresh one, and one whose predecessor was closed, has shown
        nothing.
        """
        key = (operation.run, operation.client, operation.route, operation.target)
        if operation.connection != "reused" or key not in self.connections:
            self.connections[key] = _Shown()
        return self.connections[key]

    def _observe(
        self, operation: Operation, horizon: float, connection: _Shown
    ) -> tuple[list[tuple[Subject, Version]], float]:
        """The version of each subject that a read showed; of those that were not in a list, the ones that should have
        been.

        What was known before `horizon` had to be in it. Notes in `connection` what was shown, and returns as well the
        moment before which everything known had to be in it as long as it is not older than allowed.
        """
        values = operation.values or {}
        if operation.op == "read-one":
            subject = self.subjects.get((operation.table, operation.object))
            if subject is None or (operation.object not in values and operation.status not in (404, None)):
                return [], horizon
            if operation.object in values:
                version = self._version(subject, values[operation.object][1])
            else:
                version = subject.absent(
                    operation.end, math.inf if subject.key in connection.rows else max(horizon, connection.since)
                )
            if version is None:
                return [], horizon
            if version.value is not None or (version is not subject.unborn and connection.certainly_made(subject)):
                connection.show(operation, subject, version)
            return [(subject, version)], horizon
        seen: list[tuple[Subject, Version]] = []
        table = operation.table
        for name, row in values.items():
            subject = self.subjects.get((table, name))
            version = self._version(subject, row[1]) if subject is not None else None
            if subject is not None and version is not None:
                seen.append((subject, version))
                connection.show(operation, subject, version)
        # An absence that only a delete explains, not a look from before the create, shows that delete.
        starts, deleted = self.deletes.get(table, ([], []))
        for position in range(
            bisect.bisect_right(starts, operation.end), bisect.bisect_right(starts, connection.since), -1
        ):
            subject = deleted[position - 1]
            if subject.key[1] not in values and connection.certainly_made(subject):
                delete = subject.versions[None]
                seen.append((subject, delete))
                connection.show(operation, subject, delete)
        bound = max(horizon, connection.since)
        if not any(allowance.covers(operation) for allowance in self.lags):
            # It may be no older than it is allowed to be, so it shows the deletes of what was there before that, too.
            for position in range(bisect.bisect_right(starts, operation.end), bisect.bisect_right(starts, bound), -1):
                subject = deleted[position - 1]
                if subject.key[1] not in values and subject.unborn.overwritten < horizon:
                    bound = starts[position - 1]
                    break
        # Long histories are mostly rows that are gone, or not yet made: their absence needs no thought.
        for subject in self.by_table.get(table, [])[bisect.bisect_right(self.gone.get(table, []), operation.end) :]:
            if subject.key[1] not in values and (subject.unborn.overwritten < bound or subject.key in connection.rows):
                seen.append(
                    (subject, subject.absent(operation.end, math.inf if subject.key in connection.rows else bound))
                )
        return seen, bound

    @staticmethod
    def _version(subject: Subject, value: str | None) -> Version | None:
        """None for a value that should not be: reported as that, and not once more as one that is too old."""
        version = subject.versions.get(value) if value is not None else None
        return version if version is not None and version.possible else None

    def _check_rows_seen(
        self, operation: Operation, seen: Sequence[tuple[Subject, Version]], connection: _Shown, bound: float
    ) -> None:
        back = [(pair, newest) for pair in seen if (newest := connection.after(*pair)) is not None]
        lost = [pair for pair in seen if pair[1].overwritten < connection.since]
        stale = [pair for pair in seen if connection.since <= pair[1].overwritten < bound]
        if lost:
            assert connection.version is not None
            text = (
                f"{_where(operation)} showed {self._what(lost[0], connection.since)}, before {connection.what} as "
                f"{_shown(connection.version.value)} was begun at {self.history.clock(connection.since)}"
                f"{_line(connection.version)}, which was shown with it or before on this connection; wanted the earlier "
                f"write, or a newer one, with the later one{_more(lost)}"
            )
            self._find(LOST_UPDATE, operation, text, about=_about(lost[0][0], lost[0][0].newest(connection.since)))
        elif back:
            (subject, version), newest = back[0]
            text = (
                f"{_where(operation)} showed {'/'.join(subject.key)} as {_shown(version.value)}, after "
                f"{_shown(newest.value)}, begun at {self.history.clock(newest.start)}{_line(newest)}, was shown on this "
                f"connection; wanted that one or a newer one{_more(back)}"
            )
            self._find(LOST_UPDATE, operation, text, about=_about(subject, newest))
        if stale:
            age = operation.start - stale[0][1].overwritten
            wanted = f"wanted that one or a newer one after {self.staleness:g} s"
            if age <= self.staleness:
                began = self.history.clock(bound)
                wanted = f"wanted that one or a newer one in a list without a row whose delete began at {began}"
            what = self._what(stale[0], bound)
            text = f"{_where(operation)} showed {what}, {age:.2f} s before the read began; {wanted}{_more(stale)}"
            finding = self._finding(STALE_READ, operation, text)
            (
                self.allowed_stale if any(allowance.covers(operation) for allowance in self.lags) else self.findings
            ).append(finding)

    def _what(self, pair: tuple[Subject, Version], horizon: float) -> str:
        """Seen, and wanted: `nodes/witness-1 as 'a1', but 'a2' was acknowledged at 12:00:00.000 (line 7)`."""
        subject, version = pair
        newer = subject.newest(horizon)
        assert newer is not None
        how = "acknowledged" if newer.acknowledged <= newer.known else "seen by a read"
        wanted = f"{_shown(newer.value)} was {how} at {self.history.clock(newer.known)}{_line(newer)}"
        return f"{'/'.join(subject.key)} as {_shown(version.value)}, but {wanted}"

    def _count_regressions(self, operation: Operation, seen: Sequence[tuple[Subject, Version]]) -> None:
        if operation.route == SERVICE:
            return
        session = self.sessions.setdefault((operation.client, operation.route), _Shown())
        for subject, version in seen:
            # An absence that a delete may explain is no older value.
            if version.value is not None:
                session.show(operation, subject, version)
            self.regressions += session.after(subject, version) is not None

    def check_final(self, operation: Operation) -> None:
        """The final state may not lag at all."""
        if operation.outcome != OK:
            self._find(FAILED_READ, operation, f"final read of {operation.table} failed: {operation.error}")
            return
        self._check_rows(operation)
        for subject, version in self._observe(operation, math.inf, _Shown())[0]:
            newest = subject.newest(math.inf)
            if version.overwritten < math.inf and newest is not None:
                what = self._what((subject, version), math.inf).replace(" as ", " ends as ", 1)
                self._find(LOST_DELETE if newest.value is None else LOST_WRITE, operation, what)

    # --- rows that should not be as they are, whatever the time

    def _check_rows(self, operation: Operation) -> None:
        for name in operation.duplicates:
            self._find(PHANTOM, operation, f"{operation.table}: more than one row is named {name}")
        for name, (number, value) in (operation.values or {}).items():
            self._check_row(operation, name, number, value)
        for key, row in {} if self.ignore_foreign else operation.foreign.items():
            if row is None:
                self._find(
                    LOST_WRITE, operation, f"{operation.table}: row {key}, there before the witness began, is gone"
                )
            else:
                self._find(
                    PHANTOM,
                    operation,
                    f"{operation.table}: row {key} is neither a witness's nor as it was before: {row}",
                )

    def _check_row(self, operation: Operation, name: str, number: int, value: str) -> None:
        subject = self.subjects.get((operation.table, name))
        if subject is None and not name.startswith(self.prefixes):
            if operation.op == "read-one":
                self._find(
                    PHANTOM, operation, f"{operation.table}: row {operation.id} is {name}, not {operation.object}"
                )
            else:
                self.strangers.add(name)
            return
        version = subject.versions.get(value) if subject is not None and value is not None else None
        if subject is None or version is None:
            self._find(PHANTOM, operation, f"{operation.table}/{name} shows {_shown(value)}, which no client wrote")
        elif not version.possible:
            self._find(
                PHANTOM,
                operation,
                f"{operation.table}/{name} shows {_shown(value)}, which was refused ({version.refusal})",
            )
        elif operation.end < version.start:
            self._find(PHANTOM, operation, f"{operation.table}/{name} shows {_shown(value)} before it was written")
        elif operation.op == "read-one" and name != operation.object:
            self._find(PHANTOM, operation, f"{operation.table}: row {operation.id} is {name}, not {operation.object}")
        elif subject.id is not None and subject.id != number:
            self._find(
                PHANTOM,
                operation,
                f"{operation.table}/{name} has id {number}, but was made as {subject.id}; ids never change",
            )
        elif self.owners.get((operation.table, number)) is not subject:
            self._own(subject, number, operation)

    def _find(self, kind: str, operation: Operation, text: str, about: str = "") -> None:
        self.findings.append(replace(self._finding(kind, operation, text), about=about))

    def _finding(self, kind: str, operation: Operation, text: str) -> Finding:
        return Finding(kind, text, operation.route, operation.client, self.history.clock(operation.start))


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """The same fault seen through several routes, or again and again, is one finding, dated by the first sight of it."""
    merged: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        key: tuple[str, ...] = (finding.kind, finding.about or finding.text)
        if finding.kind not in (LOST_WRITE, LOST_DELETE, LOST_UPDATE, PHANTOM, DUPLICATE_ID):
            key += (finding.route, finding.at, finding.client)
        first = merged.get(key)
        if first is None:
            merged[key] = finding
            continue
        route = first.route
        if finding.route and finding.route not in route.split(", "):
            route = f"{route}, {finding.route}"
        merged[key] = replace(first, route=route, times=first.times + 1)
    return list(merged.values())


def _failed_reads(history: History, allowances: Sequence[Allowance]) -> tuple[list[Finding], list[Finding]]:
    failed: list[Finding] = []
    allowed: list[Finding] = []
    for operation in history.operations:
        if operation.op in READS and operation.outcome != OK:
            text = (
                f"{operation.op} of {operation.table} at {operation.target} failed after "
                f"{operation.end - operation.start:.2f} s: {operation.error}"
            )
            finding = Finding(FAILED_READ, text, operation.route, operation.client, history.clock(operation.start))
            within = any(
                allowance.failed and allowance.covers(operation) and (allowance.answered or operation.status is None)
                for allowance in allowances
            )
            (allowed if within else failed).append(finding)
    return failed, allowed


def _where(operation: Operation) -> str:
    return f"{operation.op} of {operation.table}" + (f" (line {operation.line})" if operation.line else "")


def _about(subject: Subject, version: Version | None) -> str:
    return f"{'/'.join(subject.key)} {version.value if version else None!r}"


def _shown(value: str | None) -> str:
    return "absent" if value is None else repr(value)


def _line(version: Version) -> str:
    return f" (line {version.line})" if version.line else ""


def _more(pairs: Sequence[Any]) -> str:
    return f" (and {len(pairs) - 1} more objects)" if len(pairs) > 1 else ""

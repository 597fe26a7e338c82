# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness's record: one JSON line for each thing that happened, readable after any kind of death.

Kinds of line: `header` (who, when, which routes, what the tables held before), `invoke` (a write is about to be
sent), `operation` (an attempt with its outcome), `crash` (a client of the witness broke) and `end`. Writes are
announced before they are sent: a witness killed in between leaves a write of unknown outcome, not one that no
client seems to have made.

All times are CLOCK_MONOTONIC seconds, which every process of one boot shares; the header ties them to the wall clock.
"""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import json
import math
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

FORMAT = 1
TABLES = ("nodes", "gpio")
NAME_PREFIX = "witness-"
SERVICE = "service"
# Columns that the published daemon writes by itself, by table.
WRITTEN_BY_THE_DAEMON = {"nodes": frozenset({"last_seen", "status", "updated_at"})}

# Outcomes. A redirected write was refused by a follower that named the leader: not applied, and not a failure either.
OK, FAIL, UNKNOWN, REDIRECTED = "ok", "fail", "unknown", "redirected"
READS = ("read-one", "read-list")
WRITES = ("create", "update", "delete")
# An empty `values` is an answer too: nothing was there.
ALWAYS_WRITTEN = ("status", "error", "connection", "values")


@dataclass
class Operation:
    """One attempt at one read or write, as the client saw it."""

    client: str
    route: str
    target: str
    op: str
    table: str
    start: float
    end: float
    outcome: str
    object: str = ""  # the name written to or asked for; empty for lists
    id: int | None = None
    value: str | None = None
    seq: int | None = None
    attempt: int = 1
    status: int | None = None
    error: str = ""
    connection: str = "fresh"
    retried: bool = False  # an idle connection turned out to be closed and the read was sent once more
    via: str = ""  # the route whose follower sent us here
    late: float = 0.0  # how far behind its timetable the witness itself was
    number: int | None = None  # ties an operation to its invoke line
    values: dict[str, list[Any]] | None = None  # reads: name -> [id, value] of every witness row in the answer
    duplicates: list[str] = field(default_factory=list)
    foreign: dict[str, str | None] = field(
        default_factory=dict
    )  # rows not of any witness that differ from the baseline
    line: int = field(default=0, compare=False)  # of the history it was read from
    run: int = field(default=0, compare=False)  # which of the histories that are judged together

    def to_json(self) -> dict[str, Any]:
        """The operation without the fields that say nothing; the ones a human greps for always stay."""
        line: dict[str, Any] = {}
        for item in dataclasses.fields(self):
            if item.name in ("line", "run"):
                continue
            value = getattr(self, item.name)
            required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
            if required or item.name in ALWAYS_WRITTEN or value not in (item.default, [], {}):
                line[item.name] = round(value, 6) if isinstance(value, float) else value
        return line


@dataclass
class History:
    """Everything one or several witnesses of one boot wrote down."""

    headers: list[dict[str, Any]]
    operations: list[Operation]
    crashes: list[str] = field(default_factory=list)
    ended: bool = True
    stuck: list[str] = field(default_factory=list)  # clients that were still busy at the end
    # The way to the cluster that a client keeps to: reads through it, and whose writes begin there. From the headers
    # and the routes.
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def span(self) -> tuple[float, float]:
        """From the first attempt to the last answer (monotonic times)."""
        ends = [operation.end for operation in self.operations if math.isfinite(operation.end)]
        return min((operation.start for operation in self.operations), default=0.0), max(ends, default=0.0)

    @property
    def apart(self) -> bool:
        """Whether each route name is a Pi that keeps its data to itself."""
        return any(header.get("apart") for header in self.headers)

    def of_pi(self, name: str) -> History:
        """What was recorded of one Pi that keeps its data to itself."""
        headers = []
        for header in self.headers:
            routes = [route for route in header["routes"] if route["name"] == name]
            labels = {_label(route) for route in routes}
            writers = {client: label for client, label in header.get("writers", {}).items() if label in labels}
            own = {*writers, *(client for label in labels for client in _readers(label))}
            clients = [client for client in header.get("clients", ()) if client in own]
            baseline = header.get("baseline", {}).get(name, {})
            headers.append(
                {
                    **header,
                    "apart": False,
                    "routes": routes,
                    "writers": writers,
                    "clients": clients,
                    "baseline": baseline,
                }
            )
        named = {client for header in headers for client in header["clients"]}
        operations = [operation for operation in self.operations if operation.route == name]
        stuck = [client for client in self.stuck if client in named]
        return History(headers, operations, self.crashes, self.ended, stuck)

    @property
    def runs(self) -> set[str]:
        return {header["run"] for header in self.headers}

    @property
    def routes(self) -> list[str]:
        """Route names in the order they were given."""
        return list(dict.fromkeys(route["name"] for header in self.headers for route in header["routes"]))

    @property
    def clients(self) -> list[str]:
        """Every client that the headers name, or else that did anything."""
        named = dict.fromkeys(client for header in self.headers for client in header.get("clients", ()))
        return list(named or dict.fromkeys(operation.client for operation in self.operations))

    @property
    def writers(self) -> dict[str, str]:
        """The route of each writer that keeps to one."""
        return {client: label for header in self.headers for client, label in header.get("writers", {}).items()}

    def label(self, operation: Operation) -> str:
        """The way to the cluster that an operation took, as `name` or `name@namespace`; a redirected write's is the
        one it was first sent to.
        """
        if not self.labels:
            self.labels.update(self.writers)
            for header in self.headers:
                for route in header["routes"]:
                    self.labels |= dict.fromkeys(_readers(_label(route)), _label(route))
        return self.labels.get(operation.client) or operation.via or operation.route

    @property
    def baseline(self) -> dict[str, dict[str, str]]:
        return self.headers[0].get("baseline", {}) if self.headers else {}

    def wall(self, moment: float) -> float:
        """Wall clock (epoch seconds) of a monotonic time."""
        base = self.headers[0] if self.headers else {"wall": 0.0, "monotonic": 0.0}
        return base["wall"] + moment - base["monotonic"]

    def monotonic(self, wall: float) -> float:
        return wall - self.wall(0.0)

    def clock(self, moment: float) -> str:
        """A monotonic time as people read it."""
        if not math.isfinite(moment):
            return "never"
        stamp = datetime.fromtimestamp(self.wall(moment), timezone.utc)
        return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _label(route: dict[str, Any]) -> str:
    return f"{route['name']}@{route['netns']}" if route.get("netns") else route["name"]


def _readers(label: str) -> tuple[str, str]:
    return f"read-{label}-fresh", f"read-{label}-kept"


class Recorder:
    """Appends lines, each with one write(2): after a SIGKILL all that was recorded is in the file."""

    def __init__(self, path: Path) -> None:
        # O_EXCL: two runs in one file would be judged as one.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def line(self, kind: str, content: dict[str, Any]) -> None:
        data = (json.dumps({"kind": kind, **content}, separators=(",", ":")) + "\n").encode()
        with self._lock:
            while data:
                data = data[os.write(self._file, data) :]

    def header(self, run: str, routes: list[dict[str, Any]], baseline: dict[str, Any], **more: Any) -> None:
        self.line(
            "header",
            {
                "format": FORMAT,
                "run": run,
                "boot": boot_id(),
                "wall": time.time(),
                "monotonic": time.monotonic(),
                "routes": routes,
                "baseline": baseline,
                **more,
            },
        )

    def invoke(self, operation: Operation) -> int:
        """Announce a write; the number returned goes into the operation that completes it."""
        with self._lock:
            operation.number = next(self._numbers)
        self.line("invoke", operation.to_json())
        return operation.number

    def operation(self, operation: Operation) -> None:
        self.line("operation", operation.to_json())

    def close(self) -> None:
        os.close(self._file)


def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def load(paths: Iterable[Path]) -> History:
    """Read histories. A half-written last line is what a kill leaves and is dropped; any other bad line is an error."""
    history = History([], [])
    for run, path in enumerate(paths):
        pending: dict[int, dict[str, Any]] = {}
        run_header, ended = False, False
        for number, (line, complete) in enumerate(_lines(path), 1):
            try:
                content = json.loads(line)
            except ValueError as error:
                if not complete:
                    break
                raise ValueError(f"{path}:{number}: not a line of a witness history ({error})") from error
            kind = content.pop("kind", "")
            if kind == "header":
                run_header = True
                history.headers.append(content)
            elif kind == "invoke":
                pending[content["number"]] = {**content, "line": number}
            elif kind == "operation":
                pending.pop(content.get("number", 0), None)
                history.operations.append(Operation(**content, line=number, run=run))
            elif kind == "crash":
                history.crashes.append(f"{content['client']}: {content['error']}")
            elif kind == "end":
                ended = True
                history.stuck += content.get("stuck", [])
        if not run_header:
            raise ValueError(f"{path}: no header line, so this is no witness history")
        for content in pending.values():
            content.update(outcome=UNKNOWN, end=math.inf, error="the witness ended before the answer came")
            history.operations.append(Operation(**content, run=run))
        history.ended = history.ended and ended
    boots = {header["boot"] for header in history.headers}
    if len(boots) > 1:
        raise ValueError(f"histories of {len(boots)} boots have no clock in common: judge them one by one")
    history.operations.sort(key=lambda operation: operation.start)
    return history


def _lines(path: Path) -> Iterable[tuple[str, bool]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            yield line, line.endswith("\n")


def describe(
    rows: list[dict[str, Any]], baseline: dict[str, str] | None, volatile: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The fields of an Operation that say what a list answer held.

    Rows of other owners are compared with `baseline` (id -> row), but for the columns in `volatile`, and only differences are
    kept; None compares nothing.
    """
    values: dict[str, list[Any]] = {}
    duplicates: list[str] = []
    others: dict[str, str] = {}
    for row in rows:
        name = str(row.get("name"))
        if not name.startswith(NAME_PREFIX):
            others[str(row.get("id"))] = canonical({key: value for key, value in row.items() if key not in volatile})
        elif name in values:
            duplicates.append(name)
        else:
            values[name] = [row.get("id"), row.get("value")]
    foreign: dict[str, str | None] = {}
    if baseline is not None:
        foreign.update((key, None) for key in baseline if key not in others)
        foreign.update((key, row) for key, row in others.items() if baseline.get(key) != row)
    return {"values": values, "duplicates": duplicates, "foreign": foreign}


def canonical(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, separators=(",", ":"))

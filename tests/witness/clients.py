# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness's clients: readers and writers, one thread each, on a timetable.

Every route has a writer and two readers that keep to it, one of them over new connections. Each has a grid of moments
of its own and acts on those alone, retries too: whatever holds all of them up, they are spread as before when it is
over. Around the cutover they act on every moment of the grid, else on every few.

A writer owns its objects and does one thing at a time, so the versions of an object have one order: the order they
were issued in. An object whose last write has an unknown outcome is never written again; a new one takes its place.
Otherwise a write that lands late would be indistinguishable from a lost one, and the judge would have to acquit both.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .history import (
    FAIL,
    NAME_PREFIX,
    OK,
    READS,
    REDIRECTED,
    TABLES,
    UNKNOWN,
    WRITTEN_BY_THE_DAEMON,
    Operation,
    Recorder,
    describe,
)
from .http import HttpClient, Reply, Route, lab_address

OBJECTS_AT_START = 3  # of each writer, in each table
OBJECTS_AT_MOST = 5
CREATE_SHARE, DELETE_SHARE = 0.05, 0.05  # the rest of the writes are updates
REDIRECTS_IN_A_ROW = 3
AFTER_REFUSAL = 10.0  # seconds to be fast for
RETRYABLE_NOTHING_SENT = "connect: "


@dataclass(frozen=True)
class Settings:
    read_timeout: float = 2.0
    write_timeout: float = 5.0
    connect_timeout: float = 1.5
    rest_port: int = 8080
    token: str = ""
    # Each Pi keeps its data to itself, and its daemon writes some columns by itself.
    apart: bool = False


class Registry:
    """What there is to read: objects that writers have had acknowledged, and a few that were deleted lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[str, dict[str, int]] = {table: {} for table in TABLES}
        self._gone: dict[str, deque[tuple[str, int]]] = {table: deque(maxlen=4) for table in TABLES}

    def add(self, table: str, name: str, number: int) -> None:
        with self._lock:
            self._live[table][name] = number

    def remove(self, table: str, name: str) -> None:
        with self._lock:
            self._gone[table].append((name, self._live[table].pop(name)))

    def pick(self, table: str, choice: random.Random) -> tuple[str, int] | None:
        with self._lock:
            live = list(self._live[table].items())
            gone = list(self._gone[table])
        return choice.choice(gone) if gone and choice.random() < 0.1 else choice.choice(live) if live else None


class Tempo:
    """How often clients act, per route and second: calm, and fast for as long as somewhere around the cutover."""

    def __init__(self, writes_per_second: float, reads_per_second: float, fast_per_second: float) -> None:
        self.fast_interval = 1 / fast_per_second  # seconds between two writes, or two reads, through one route
        self.writes_every = max(1, round(fast_per_second / writes_per_second))  # so many moments of the grid, when calm
        self.reads_every = max(1, round(fast_per_second / reads_per_second))
        self._fast_until = 0.0

    @property
    def fast(self) -> bool:
        return time.monotonic() < self._fast_until

    def hurry(self, seconds: float) -> None:
        """Be fast for this long from now on, at least."""
        self._fast_until = max(self._fast_until, time.monotonic() + seconds)


@dataclass
class Shared:
    """What all clients of one witness have in common."""

    run: str
    routes: list[Route]
    recorder: Recorder
    settings: Settings
    baseline: dict[str, dict[str, str]]
    first_success: Callable[[str], None]
    crashed: Callable[[str, BaseException], None]
    tempo: Tempo
    registry: Registry = field(default_factory=Registry)
    stop: threading.Event = field(default_factory=threading.Event)
    epoch: float = field(default_factory=time.monotonic)  # where all grids begin


class Client(threading.Thread):
    """A thread that acts on moments of a grid: every `interval` seconds when fast, on every `every`th of these when
    calm.

    `place` (0 to 1) is where its grid lies among those of its kind, fast or calm.
    """

    def __init__(self, name: str, shared: Shared, keep_alive: bool, interval: float, every: int, place: float) -> None:
        super().__init__(name=name, daemon=True)
        self.shared, self.interval, self.every = shared, interval, every
        self.origin = shared.epoch + place * interval
        self.calm_step = int(place * every) % every  # which of the moments are its own when calm
        self.http = HttpClient(keep_alive, shared.settings.connect_timeout, shared.settings.token)
        self.random = random.Random(f"{shared.run} {name}")
        self.late = 0.0
        self._warm = False

    def run(self) -> None:
        try:
            while self.wait_turn():
                self.turn()
        except BaseException as error:  # noqa: BLE001 - whatever it was, a witness with a silent client proves nothing
            self.shared.crashed(self.name, error)
        finally:
            self.http.close()

    def wait_turn(self) -> bool:
        """Wait for the next moment of the grid; False when the witness stops. A slow answer costs moments, never the
        grid.
        """
        due = self.next_moment(time.monotonic())
        stopped = self.shared.stop.wait(max(0.0, due - time.monotonic()))
        self.late = time.monotonic() - due
        return not stopped

    def next_moment(self, now: float) -> float:
        number = math.floor((now - self.origin) / self.interval) + 1
        if not self.shared.tempo.fast:
            number += (self.calm_step - number) % self.every
        return self.origin + number * self.interval

    def turn(self) -> None:
        raise NotImplementedError

    def succeeded(self) -> None:
        if not self._warm:
            self._warm = True
            self.shared.first_success(self.name)


class Reader(Client):
    """Reads one row and the list in turn, of both tables in turn, through one route."""

    def __init__(self, first_turn: int, route: Route, shared: Shared, keep_alive: bool, place: float) -> None:
        # Two readers share a route.
        super().__init__(
            f"read-{route.label}-{'kept' if keep_alive else 'fresh'}",
            shared,
            keep_alive,
            2 * shared.tempo.fast_interval,
            shared.tempo.reads_every,
            place,
        )
        self.route = route
        # Not all at once: a table's lists are spread over the time in which an object keeps its value.
        turns = [(op, table) for table in TABLES for op in READS]
        self.turns = itertools.cycle(turns[first_turn % len(turns) :] + turns[: first_turn % len(turns)])

    def turn(self) -> None:
        op, table = next(self.turns)
        wanted = self.shared.registry.pick(table, self.random) if op == "read-one" else None
        operation = read(
            self.http,
            self.route,
            table,
            wanted,
            self.shared.baseline.get(table),
            self.shared.settings,
            self.name,
        )
        operation.late = self.late if self.late > 0.01 else 0.0
        self.shared.recorder.operation(operation)
        if operation.outcome == OK:
            self.succeeded()


def read(
    http: HttpClient,
    route: Route,
    table: str,
    wanted: tuple[str, int] | None,
    baseline: dict[str, str] | None,
    settings: Settings,
    client: str,
) -> Operation:
    """One read: of a row, or of the whole table when none is wanted."""
    path = f"/api/v1/{table}" + (f"/{wanted[1]}" if wanted else "")
    start = time.monotonic()
    volatile = WRITTEN_BY_THE_DAEMON.get(table, frozenset()) if settings.apart else frozenset()
    reply = http.exchange(route, "GET", path, None, settings.read_timeout, may_retry=True)
    operation = Operation(
        client,
        route.name,
        route.target,
        READS[0] if wanted else READS[1],
        table,
        start,
        time.monotonic(),
        FAIL,
        object=wanted[0] if wanted else "",
        id=wanted[1] if wanted else None,
        status=reply.status,
        error=reply.error,
        connection=reply.connection,
        retried=reply.retried,
    )
    if wanted and reply.status == 404:
        operation.outcome, operation.values = OK, {}
    elif reply.status == 200:
        try:
            answer = json.loads(reply.body)
            found = describe([answer], {}) if wanted else describe(answer[table], baseline, volatile)
            operation.outcome = OK
            operation.values, operation.duplicates, operation.foreign = (
                found["values"],
                found["duplicates"],
                found["foreign"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            operation.error = (
                f"answer: 200 with a body that is not what was asked for ({type(error).__name__}: {error})"
            )
    else:
        operation.error = operation.error or f"answer: status {reply.status}"
    return operation


@dataclass
class Owned:
    """An object of a writer."""

    table: str
    name: str
    number: int


class Writer(Client):
    """Creates, updates and deletes its own objects through one route, following followers to their leader.

    It takes the object that it has not written to for longest, so that a lost update stays visible for as long as can
    be.
    """

    def __init__(self, number: int, route: Route, shared: Shared, keep_alive: bool, place: float) -> None:
        super().__init__(
            f"write-{route.label}", shared, keep_alive, shared.tempo.fast_interval, shared.tempo.writes_every, place
        )
        self.route, self.short = route, f"w{number}"  # the short name is in every row of every list
        self.own_routes = {other.target: other.name for other in shared.routes if not other.netns}
        self.tables = itertools.cycle(TABLES)
        self.owned: dict[str, list[Owned]] = {table: [] for table in TABLES}  # the one written to first, first
        self.seq = 0
        self.objects = 0

    def turn(self) -> None:
        table = next(self.tables)
        owned = self.owned[table]
        dice = self.random.random()
        if len(owned) < OBJECTS_AT_START or (dice < CREATE_SHARE and len(owned) < OBJECTS_AT_MOST):
            self._create(table)
            return
        item = owned.pop(0)
        op = "delete" if dice > 1 - DELETE_SHARE and len(owned) >= OBJECTS_AT_START else "update"
        outcome, _ = self._write(op, table, item.name, item.number)
        if outcome == OK and op == "delete":
            self.shared.registry.remove(table, item.name)
        elif outcome == OK:
            owned.append(item)
        # Else it is never written again, but readers go on asking for it.

    def _create(self, table: str) -> None:
        self.objects += 1
        name = f"{NAME_PREFIX}{self.shared.run}-{self.short}-{self.objects}"
        outcome, number = self._write("create", table, name, None)
        if outcome == OK and number is not None:
            self.owned[table].append(Owned(table, name, number))
            self.shared.registry.add(table, name, number)

    def _write(self, op: str, table: str, name: str, number: int | None) -> tuple[str, int | None]:
        """Attempt until acknowledged, refused for good, unknown, or stopped; every attempt goes into the history."""
        self.seq += 1
        value = None if op == "delete" else f"{self.short}-{self.seq}"
        route, via, redirects = self.route, "", 0
        for attempt in itertools.count(1):
            operation, leader, created = self._attempt(
                Operation(
                    self.name,
                    self._route_name(route, via),
                    route.target,
                    op,
                    table,
                    0.0,
                    0.0,
                    UNKNOWN,
                    object=name,
                    id=number,
                    value=value,
                    seq=self.seq,
                    attempt=attempt,
                    via=via,
                    late=self.late if attempt == 1 and self.late > 0.01 else 0.0,
                ),
                route,
            )
            if operation.outcome == OK:
                self.succeeded()
                return OK, created
            if operation.outcome == UNKNOWN:
                return UNKNOWN, None
            if operation.outcome == REDIRECTED and redirects < REDIRECTS_IN_A_ROW:
                # As a client would: from its own host to the leader's own address.
                route, via, redirects = (
                    Route(route.name, leader, self.shared.settings.rest_port, route.netns),
                    via or route.name,
                    redirects + 1,
                )
                continue
            if operation.outcome == FAIL and not _worth_retrying(operation):
                return FAIL, None
            if operation.status is not None:
                self.shared.tempo.hurry(
                    AFTER_REFUSAL
                )  # a fence, or no leader: how long it lasts, and what comes after it, matters most
            if not self.wait_turn():
                return "stopped", None
            route, via, redirects = self.route, "", 0
        raise AssertionError("unreachable")

    def _route_name(self, route: Route, via: str) -> str:
        return self.own_routes.get(route.target, f"leader-{route.target}") if via else route.name

    def _attempt(self, operation: Operation, route: Route) -> tuple[Operation, str, int | None]:
        """Send one write once; returns it with its outcome, the leader a follower named, and the id of a new row."""
        method = {"create": "POST", "update": "PUT", "delete": "DELETE"}[operation.op]
        path = f"/api/v1/{operation.table}" + ("" if operation.id is None else f"/{operation.id}")
        body = (
            None
            if operation.op == "delete"
            else json.dumps({"name": operation.object, "value": operation.value}).encode()
        )
        operation.start = operation.end = time.monotonic()
        self.shared.recorder.invoke(operation)
        # A write is never sent twice unseen: the outcome of the first is unknown.
        reply = self.http.exchange(route, method, path, body, self.shared.settings.write_timeout, may_retry=False)
        operation.end = time.monotonic()
        operation.status, operation.connection = reply.status, reply.connection
        operation.outcome, operation.error, leader, created = judge_write(operation.op, reply)
        if created is not None:
            operation.id = created
        self.shared.recorder.operation(operation)
        return operation, leader, created


def judge_write(op: str, reply: Reply) -> tuple[str, str, str, int | None]:
    """(outcome, error, leader named, id of a new row) of an answer to a write."""
    if reply.status is None:
        return (UNKNOWN if reply.sent else FAIL), reply.error, "", None
    try:
        answer = json.loads(reply.body) if reply.body else {}
    except ValueError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    if 200 <= reply.status < 300:
        if op != "create":
            return OK, "", "", None
        if isinstance(answer.get("id"), int):
            return OK, "", "", answer["id"]
        return UNKNOWN, f"answer: {reply.status} without the new row's id", "", None
    error = f"answer: status {reply.status} {answer.get('error', '')}".rstrip()
    if reply.status == 403 and "leader" in answer:
        host = str(answer["leader"]).rpartition(":")[0].strip("[]")
        try:
            return REDIRECTED, "", lab_address(host), None
        except ValueError:
            return FAIL, f"{error} (leader {answer['leader']!r})", "", None
    if 400 <= reply.status < 500 or (reply.status == 503 and reply.retry_after):
        return FAIL, error, "", None
    return UNKNOWN, error, "", None


def _worth_retrying(operation: Operation) -> bool:
    """Refused for now (a fence, no listener, a follower without a leader), not for good."""
    return operation.status in (403, 503) or operation.error.startswith(RETRYABLE_NOTHING_SENT)


def clients(shared: Shared, first: int = 1) -> list[Client]:
    """Every reader and writer: a reader over new connections, one that keeps them, and a writer for each route.

    The writers are numbered from `first` on, and no two of one witness may have one number.
    """
    count = len(shared.routes)
    result: list[Client] = []
    for index, route in enumerate(shared.routes):
        # The two readers of a route take turns, and so do the routes.
        result += [
            Reader(
                index + 2 * keep_alive,
                route.of_client(1 + keep_alive),
                shared,
                keep_alive,
                (index / count + 0.5 * keep_alive) % 1,
            )
            for keep_alive in (False, True)
        ]
    return result + [
        Writer(index + first, route.of_client(3), shared, index % 2 == 1, (index + 0.5) / count)
        for index, route in enumerate(shared.routes)
    ]

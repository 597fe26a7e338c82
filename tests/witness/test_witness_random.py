# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge acquits any correct history and convicts it as soon as one fault is put in; both from random seeds."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

import pytest

from . import judge as court
from .history import FAIL, OK, REDIRECTED, TABLES, UNKNOWN, History, Operation

ROUTES = ("service", "pi-1", "pi-2", "pi-3")
LAG = 0.95  # of the followers; the judge allows 1.0
LENGTH = 40.0


class Universe:
    """A linearised system in virtual time: every write takes effect at one moment, every read shows one moment not
    too long past.
    """

    def __init__(self, seed: int, careful: bool) -> None:
        self.random = random.Random(seed)
        self.careful = careful  # writers leave an object alone after an unknown outcome, as the witness's do
        self.effects: list[tuple[float, str, str, str, int, str | None]] = []  # moment, op, table, name, id, value
        self.operations: list[Operation] = []
        self.ids = 0
        for index in range(3):
            self._writer(f"write-{index}")
        self.effects.sort()
        for route in ROUTES:
            for mode in ("fresh", "kept"):
                self._reader(f"read-{route}-{mode}", route)

    def state(self, table: str, moment: float) -> dict[str, list[object]]:
        rows: dict[str, list[object]] = {}
        for when, op, where, name, number, value in self.effects:
            if when > moment:
                break
            if where == table:
                if op == "delete":
                    rows.pop(name, None)
                elif op == "create" or name in rows:
                    rows[name] = [number, value]
        return rows

    def history(self) -> History:
        header = {
            "run": "r",
            "boot": "b",
            "wall": 0.0,
            "monotonic": 0.0,
            "baseline": {},
            "routes": [{"name": route, "host": "127.0.0.1", "port": 1, "netns": ""} for route in ROUTES],
        }
        return History([header], self.operations)

    def final(self) -> list[Operation]:
        return [
            Operation("", route, "", "read-list", table, 1000.0, 1000.0, OK, values=self.state(table, 1000.0))
            for route in ROUTES
            for table in TABLES
        ]

    def _writer(self, client: str) -> None:
        dice, now, seq, made = self.random, self.random.random(), 0, 0
        owned: list[tuple[str, str, int]] = []
        while now < LENGTH:
            seq += 1
            if len(owned) < 3:
                made += 1
                self.ids += 1
                op, item = "create", (dice.choice(TABLES), f"witness-r-{client}-{made}", self.ids)
            else:
                op, item = ("delete" if dice.random() < 0.15 else "update"), dice.choice(owned)
            value = None if op == "delete" else f"{client}-{seq}"
            for attempt in range(1, 9):
                outcome = dice.choices((OK, FAIL, REDIRECTED, UNKNOWN), (80, 8, 8, 4))[0]
                start, now = now, now + dice.uniform(0.01, 0.3)
                if outcome == OK:
                    self.effects.append((dice.uniform(start, now), op, *item, value))
                elif outcome == UNKNOWN and dice.random() < 0.5:
                    self.effects.append(
                        (start + dice.expovariate(0.3), op, *item, value)
                    )  # perhaps long after the client gave up
                self.operations.append(
                    Operation(
                        client,
                        "pi-1",
                        "",
                        op,
                        item[0],
                        start,
                        now,
                        outcome,
                        object=item[1],
                        value=value,
                        seq=seq,
                        id=item[2] if outcome == OK or op != "create" else None,
                        attempt=attempt,
                    )
                )
                now += dice.expovariate(4)
                if outcome in (OK, UNKNOWN):
                    break
            if op == "create" and outcome == OK:
                owned.append(item)
            elif op == "delete" or (outcome == UNKNOWN and self.careful):
                owned = [other for other in owned if other != item]

    def _reader(self, client: str, route: str) -> None:
        now = self.random.random()
        while now < LENGTH:
            start, now = now, now + self.random.uniform(0.001, 0.2)
            table = self.random.choice(TABLES)
            rows = self.state(table, self.random.uniform(start, now) - self.random.uniform(0, LAG))
            known = [
                operation
                for operation in self.operations
                if operation.op == "create"
                and operation.outcome == OK
                and operation.table == table
                and operation.end < start
            ]
            wanted = self.random.choice(known) if known and self.random.random() < 0.5 else None
            read = Operation(client, route, "", "read-list", table, start, now, OK, status=200, values=rows)
            if wanted is not None:
                read.op, read.object, read.id = "read-one", wanted.object, wanted.id
                read.values = {name: row for name, row in (read.values or {}).items() if name == wanted.object}
                read.status = 200 if read.values else 404
            self.operations.append(read)
            now += self.random.expovariate(1)


def judged(history: History, final: list[Operation], staleness: float = 1.0) -> court.Verdict:
    limits = court.Limits(write_pause=1000, read_gap=1000, recovery=1000)
    return court.judge(
        history, final, staleness=staleness, limits=limits, demands=court.Demands(hole=1000, unknown_share=0.2)
    )


Fault = Callable[[random.Random, History, list[Operation]], str]


def old_values(history: History, table: str, name: str, before: float) -> list[str]:
    """Values that were certainly gone by then: acknowledged, and followed by another acknowledged one more than a
    second before.
    """
    writes = [
        operation
        for operation in history.operations
        if operation.object == name
        and operation.table == table
        and operation.op in ("create", "update", "delete")
        and operation.outcome == OK
    ]
    writes.sort(key=lambda operation: operation.start)
    return [
        write.value
        for write, after in zip(writes, writes[1:], strict=False)
        if write.value and after.end < before - 1.01
    ]


def candidates(history: History, operations: list[Operation]) -> list[tuple[Operation, str, list[str]]]:
    found = []
    for read in operations:
        if read.op == "read-list":
            for name in read.values or {}:
                old = old_values(history, read.table, name, read.start)
                if old:
                    found.append((read, name, old))
    return found


def lose_a_write(dice: random.Random, history: History, final: list[Operation]) -> str:
    read, name, old = dice.choice(candidates(history, final))
    assert read.values is not None
    read.values = {**read.values, name: [read.values[name][0], dice.choice(old)]}
    return court.LOST_WRITE


def lose_a_row(dice: random.Random, history: History, final: list[Operation]) -> str:
    certain = {
        operation.object for operation in history.operations if operation.op == "create" and operation.outcome == OK
    }
    certain -= {
        operation.object
        for operation in history.operations
        if operation.op == "delete" and operation.outcome == UNKNOWN
    }
    read, name = dice.choice([(read, name) for read in final for name in read.values or {} if name in certain])
    read.values = {key: row for key, row in (read.values or {}).items() if key != name}
    return court.LOST_WRITE


def undo_a_delete(dice: random.Random, history: History, final: list[Operation]) -> str:
    deletes = [operation for operation in history.operations if operation.op == "delete" and operation.outcome == OK]
    delete = dice.choice([delete for delete in deletes if old_values(history, delete.table, delete.object, 1000.0)])
    read = dice.choice([read for read in final if read.table == delete.table])
    read.values = {
        **(read.values or {}),
        delete.object: [delete.id, old_values(history, delete.table, delete.object, 1000.0)[-1]],
    }
    return court.LOST_DELETE


def serve_a_stale_value(dice: random.Random, history: History, final: list[Operation]) -> str:
    read, name, old = dice.choice(candidates(history, history.operations))
    assert read.values is not None
    read.values = {**read.values, name: [read.values[name][0], dice.choice(old)]}
    return court.STALE_READ


def invent_a_value(dice: random.Random, history: History, final: list[Operation]) -> str:
    read = dice.choice([read for read in history.operations if read.values])
    assert read.values is not None
    name = dice.choice(list(read.values))
    read.values = {**read.values, name: [read.values[name][0], "unwritten-1"]}
    return court.PHANTOM


def apply_a_refused_write(dice: random.Random, history: History, final: list[Operation]) -> str:
    """A value of which every attempt was refused shows up: turn an acknowledged last value into a refused one."""
    last = dice.choice([(read, name) for read in final for name in read.values or {}])
    value = (last[0].values or {})[last[1]][1]
    number = (last[0].values or {})[last[1]][0]
    history.operations.append(
        Operation(
            "write-0",
            "pi-1",
            "",
            "update",
            last[0].table,
            41.0,
            41.1,
            FAIL,
            object=last[1],
            id=number,
            value=f"{value}-refused",
            status=503,
            error="fence",
        )
    )
    last[0].values = {**(last[0].values or {}), last[1]: [number, f"{value}-refused"]}
    return court.PHANTOM


def fail_a_read(dice: random.Random, history: History, final: list[Operation]) -> str:
    read = dice.choice([read for read in history.operations if read.op.startswith("read")])
    read.outcome, read.values, read.error = FAIL, None, "reset"
    return court.FAILED_READ


def double_a_row(dice: random.Random, history: History, final: list[Operation]) -> str:
    read = dice.choice([read for read in history.operations if read.op == "read-list" and read.values])
    read.duplicates = [dice.choice(list(read.values or {}))]
    return court.PHANTOM


@pytest.mark.parametrize("careful", [True, False], ids=["as-the-witness-writes", "writing-on-after-unknown"])
def test_correct_histories_are_acquitted(careful: bool) -> None:
    unknown = 0
    for seed in range(14):
        universe = Universe(seed, careful)
        history = universe.history()
        unknown += sum(operation.outcome == UNKNOWN for operation in history.operations)
        assert judged(history, universe.final()).findings == [], f"seed {seed}"
    assert unknown > 60  # or the hard part was not tried


def test_an_injected_fault_is_convicted_of_exactly_that() -> None:
    faults: list[Fault] = [
        lose_a_write,
        lose_a_row,
        undo_a_delete,
        serve_a_stale_value,
        invent_a_value,
        apply_a_refused_write,
        fail_a_read,
        double_a_row,
    ]
    for seed in range(100, 104):
        universe = Universe(seed, careful=True)
        for fault in faults:
            history, final = copy.deepcopy(universe.history()), copy.deepcopy(universe.final())
            kind = fault(random.Random(seed), history, final)
            # An old value in a list that has newer writes is a hole in the log, whatever its age.
            kinds = judged(history, final).kinds()
            assert kinds in ({kind}, {court.LOST_UPDATE if kind == court.STALE_READ else kind}), (
                f"seed {seed}, {fault.__name__}"
            )


def test_a_follower_that_lags_beyond_the_bound_is_convicted() -> None:
    for seed in range(200, 203):
        universe = Universe(seed, careful=True)
        assert court.STALE_READ in judged(universe.history(), universe.final(), staleness=0.3).kinds(), f"seed {seed}"

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of anomaly, put at random into a clean history that was recorded with a real cluster, is convicted;
unchanged ones are acquitted.

A history is judged a piece at a time: less than a second of it, with the rows as they were before, and the final state that its
acknowledged writes come to.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from . import detection, evidence
from . import judge as court
from .finding import ACQUITTED, CONVICTED, REFUSED
from .history import FAIL, OK, READS, TABLES, UNKNOWN, WRITES, History, Operation, load
from .program import final_state_beside, load_final

# Thousands of verdicts over what was recorded once: a minute of a processor, and no time is judged.
pytestmark = pytest.mark.patient

RECORDED = Path(__file__).parent / "histories" / "cutover.jsonl.gz"
TIMES = 1000  # of each kind
PIECES = 200
SECONDS = 0.7  # of reads in a piece
OBJECTS = 5
BEFORE = 0.8  # seconds of writes before its first read; of older ones each row's last is kept
LIMITS = court.Limits(write_pause=15, read_gap=5, recovery=20)
HOLE = 1.5  # seconds
SURE = court.STALENESS + 0.001


@dataclass
class Piece:
    """A part of a history, and its final state."""

    history: History
    final: list[Operation]
    writes: list[Operation] = field(default_factory=list)  # acknowledged

    def judged(self, **options: object) -> court.Verdict:
        return court.judge(self.history, self.final, limits=LIMITS, **options)  # type: ignore[arg-type]

    def with_operation(self, old: Operation, new: Operation) -> Piece:
        """With one operation, or one final read, replaced."""
        operations = [new if operation is old else operation for operation in self.history.operations]
        final = [new if operation is old else operation for operation in self.final]
        return replace(self, history=replace(self.history, operations=operations), final=final)

    def each_read(self, change: Callable[[Operation], Operation]) -> Piece:
        """With every answered read changed, the final ones, too."""
        operations = [
            change(operation) if operation.op in READS and operation.outcome == OK else operation
            for operation in self.history.operations
        ]
        return replace(
            self,
            history=replace(self.history, operations=operations),
            final=[change(operation) for operation in self.final],
        )


@functools.cache
def pieces() -> list[Piece]:
    """Pieces at random places of the recorded history."""
    dice = random.Random(13)
    return [piece(dice) for _ in range(PIECES)]


@functools.cache
def recorded() -> History:
    return load([RECORDED])


def piece(dice: random.Random) -> Piece:
    """A stretch of some of the clients and some of the objects: what is left out takes nothing from the order of the
    rest.
    """
    history = recorded()
    begin = dice.uniform(history.span[0] + 1, history.span[1] - SECONDS)
    end = begin + SECONDS
    readers = {client for client in history.clients if client.startswith("read-") and dice.random() < 0.4} or {
        "read-n1-kept"
    }
    last: dict[tuple[str, str], Operation] = {}
    operations: list[Operation] = []
    for operation in history.operations:
        if operation.op not in WRITES:
            if operation.client in readers and begin < operation.start and operation.end < end:
                operations.append(operation)
        elif operation.start < begin - BEFORE:
            if operation.outcome == OK:
                last[operation.table, operation.object] = operation
        elif operation.start <= end:
            operations.append(operation)
    before = [operation for operation in last.values() if operation.op != "delete"]
    objects = sorted({(operation.table, operation.object) for operation in (*before, *operations) if operation.object})
    few = set(dice.sample(objects, OBJECTS))
    names = {name for _, name in few}
    kept: list[Operation] = []
    for operation in sorted([*before, *operations], key=lambda operation: operation.start):
        if operation.op == "read-list":
            values = {name: row for name, row in (operation.values or {}).items() if name in names}
            kept.append(replace(operation, values=values))
        elif (operation.table, operation.object) in few:
            kept.append(operation)
    header = {**history.headers[0], "clients": [], "writers": {}}
    cut = replace(history, headers=[header], operations=kept, labels={})
    seen = {operation.route for operation in kept if operation.op in READS}
    header["routes"] = [route for route in history.headers[0]["routes"] if route["name"] in seen]
    writes = [operation for operation in kept if operation.op in WRITES and operation.outcome == OK]
    after = cut.span[1] + 1
    final = [
        Operation("", route, "", "read-list", table, after, after + 0.01, OK, values=rows(writes, table))
        for route in cut.routes
        for table in TABLES
    ]
    return Piece(cut, final, writes)


def rows(writes: Sequence[Operation], table: str) -> dict[str, list[object]]:
    """What a table holds after these writes."""
    found: dict[str, list[object]] = {}
    for write in writes:
        if write.table == table:
            found.pop(write.object, None)
            if write.op != "delete":
                found[write.object] = [write.id, write.value]
    return found


def lists(piece: Piece) -> list[Operation]:
    return [operation for operation in piece.history.operations if operation.op == "read-list" and operation.values]


def known_and_kept(clean: Piece, read: Operation) -> list[Operation]:
    """Writes of rows that this list shows, known long enough before, and which no client deletes."""
    deleted = {operation.object for operation in clean.history.operations if operation.op == "delete"}
    return [
        write
        for write in clean.writes
        if write.end < read.start - SURE and write.object in (read.values or {}) and write.object not in deleted
    ]


def without(read: Operation, name: str) -> Operation:
    changed = {key: row for key, row in (read.values or {}).items() if key != name}
    return replace(read, values=changed, status=404 if read.op == "read-one" else read.status)


def showing(read: Operation, name: str, value: str | None) -> Operation:
    number = (read.values or {})[name][0]
    return replace(read, values={**(read.values or {}), name: [number, value]})


def updates(piece: Piece) -> list[tuple[Operation, Operation, Operation | None]]:
    """Acknowledged updates with the write before them and the one after, of each object."""
    by_object: dict[tuple[str, str], list[Operation]] = {}
    for write in piece.writes:
        by_object.setdefault((write.table, write.object), []).append(write)
    return [
        (before, write, after)
        for writes in by_object.values()
        for before, write, after in zip(writes, writes[1:], [*writes[2:], None])
        if write.op == "update"
    ]  # noqa: B905 - the last has none after it


# Each takes a clean piece and returns it with one anomaly in it.
Anomaly = Callable[[random.Random, Piece], Piece]


def an_acknowledged_row_is_missing_from_a_list(dice: random.Random, clean: Piece) -> Piece:
    read = dice.choice(lists(clean))
    return clean.with_operation(read, without(read, dice.choice(known_and_kept(clean, read)).object))


def a_row_is_missing_everywhere_until_it_is_deleted(dice: random.Random, clean: Piece) -> Piece:
    """As after a cutover that forgot a row, whose client then deletes it."""
    read = dice.choice(lists(clean))
    write = dice.choice(known_and_kept(clean, read))
    name, moment = write.object, clean.history.span[1] + 0.1
    delete = replace(write, op="delete", value=None, start=moment, end=moment + 0.01)
    gone = clean.each_read(lambda seen: without(seen, name) if name in (seen.values or {}) else seen)
    return replace(gone, history=replace(gone.history, operations=[*gone.history.operations, delete]))


def an_update_is_never_visible(dice: random.Random, clean: Piece) -> Piece:
    """Overwritten before anything is too old; lists meanwhile show writes that came after it."""
    candidates = []
    for before, write, after in updates(clean):
        until = after.start if after else clean.history.span[1]
        for read in lists(clean):
            if (
                read.table == write.table
                and write.end < read.start
                and read.end < until
                and write.object in (read.values or {})
            ):
                shown = [row[1] for row in (read.values or {}).values()]
                if any(later.value in shown and later.start > write.end for later in clean.writes):
                    candidates.append((before, write))
                    break
    before, write = dice.choice(candidates)
    return clean.each_read(
        lambda read: (
            showing(read, write.object, before.value)
            if (read.values or {}).get(write.object, [0, None])[1] == write.value
            else read
        )
    )


def a_list_shows_an_old_value(dice: random.Random, clean: Piece) -> Piece:
    candidates = [
        (read, write.object, before.value)
        for before, write, _ in updates(clean)
        for read in lists(clean)
        if read.start > write.end + SURE and write.object in (read.values or {})
    ]
    return clean.with_operation(*_shown(dice, candidates))


def a_kept_connection_goes_back(dice: random.Random, clean: Piece) -> Piece:
    """A connection that has shown a row shows an older one, a moment later."""
    candidates = [
        (read, write.object, before.value)
        for before, write, _ in updates(clean)
        for read in lists(clean)
        if read.connection == "reused" and (read.values or {}).get(write.object, [0, None])[1] == write.value
    ]
    read, name, value = dice.choice(candidates)
    again = replace(showing(read, name, value), start=read.end + 0.0001, end=read.end + 0.0002)
    return replace(clean, history=replace(clean.history, operations=[*clean.history.operations, again]))


def a_deleted_row_comes_back(dice: random.Random, clean: Piece) -> Piece:
    write = dice.choice(
        [write for write in clean.writes if write.op != "delete" and write.object in rows(clean.writes, write.table)]
    )
    last = clean.history.span[1]
    delete = replace(write, op="delete", value=None, start=last + 0.1, end=last + 0.11)
    read = dice.choice([read for read in lists(clean) if read.table == write.table])
    value = rows(clean.writes, write.table)[write.object]
    late = replace(
        read,
        start=last + 0.5,
        end=last + 0.51,
        connection="fresh",
        values={**rows(clean.writes, write.table), write.object: value},
    )
    final = [without(seen, write.object) if seen.table == write.table else seen for seen in clean.final]
    return replace(
        clean, history=replace(clean.history, operations=[*clean.history.operations, delete, late]), final=final
    )


def a_delete_is_lost(dice: random.Random, clean: Piece) -> Piece:
    write = dice.choice(
        [write for write in clean.writes if write.op != "delete" and write.object in rows(clean.writes, write.table)]
    )
    last = clean.history.span[1]
    delete = replace(write, op="delete", value=None, start=last + 0.1, end=last + 0.11)
    return replace(clean, history=replace(clean.history, operations=[*clean.history.operations, delete]))


def a_write_is_lost_in_the_end(dice: random.Random, clean: Piece) -> Piece:
    candidates = [
        (read, write.object, before.value)
        for before, write, after in updates(clean)
        for read in clean.final
        if after is None and read.table == write.table
    ]
    return clean.with_operation(*_shown(dice, candidates))


def a_row_is_lost_in_the_end(dice: random.Random, clean: Piece) -> Piece:
    read = dice.choice([read for read in clean.final if read.values])
    return clean.with_operation(read, without(read, dice.choice(list(read.values or {}))))


def two_rows_have_one_id(dice: random.Random, clean: Piece) -> Piece:
    """A second cluster takes writes, and gives an id that the first one has given, too."""
    write = dice.choice([write for write in clean.writes if write.op != "delete"])
    moment = clean.history.span[1] + 0.1
    create = replace(write, op="create", object=f"{write.object}-too", value="new", start=moment, end=moment + 0.01)
    delete = replace(create, op="delete", value=None, start=moment + 0.1, end=moment + 0.11)
    return replace(clean, history=replace(clean.history, operations=[*clean.history.operations, create, delete]))


def an_id_changes(dice: random.Random, clean: Piece) -> Piece:
    read = dice.choice(lists(clean))
    name, (number, value) = dice.choice(list((read.values or {}).items()))
    return clean.with_operation(
        read, replace(read, values={**(read.values or {}), name: [number + dice.choice((-1, 1)) * 5000, value]})
    )


def a_value_appears_that_no_client_wrote(dice: random.Random, clean: Piece) -> Piece:
    read = dice.choice([*lists(clean), *(read for read in clean.final if read.values)])
    return clean.with_operation(read, showing(read, dice.choice(list(read.values or {})), "other"))


def a_refused_write_appears(dice: random.Random, clean: Piece) -> Piece:
    read = dice.choice([read for read in clean.final if read.values])
    name, (number, _) = dice.choice(list((read.values or {}).items()))
    moment = clean.history.span[1] + 0.1
    refused = Operation(
        "write-x",
        "n1",
        "",
        "update",
        read.table,
        moment,
        moment + 0.01,
        FAIL,
        object=name,
        id=number,
        value="refused",
        status=503,
    )
    changed = clean.with_operation(read, showing(read, name, "refused"))
    return replace(changed, history=replace(changed.history, operations=[*changed.history.operations, refused]))


def a_row_is_there_twice(dice: random.Random, clean: Piece) -> Piece:
    read = dice.choice(lists(clean))
    return clean.with_operation(read, replace(read, duplicates=[dice.choice(list(read.values or {}))]))


def a_read_fails(dice: random.Random, clean: Piece) -> Piece:
    read = dice.choice([operation for operation in clean.history.operations if operation.op in READS])
    return clean.with_operation(read, replace(read, outcome=FAIL, values=None, error="answer: reset"))


def writes_pause_on_one_route(dice: random.Random, clean: Piece) -> Piece:
    """Longer than the limit, and only there."""
    write = dice.choice(clean.writes)
    moment = clean.history.span[1]
    # The others go on, so that there is no pause of all writes.
    more = [
        replace(
            write,
            route="other",
            client="write-other",
            via="",
            attempt=1,
            op="update",
            seq=9000 + number,
            value=f"more-{number}",
            object=f"{write.object}-more",
            id=None,
            start=moment + number,
            end=moment + number + 0.01,
        )
        for number in range(1, 18)
    ]
    more[0].op, more[0].id = "create", 9_999_999
    slow = replace(
        write,
        op="update",
        client="write-slow",
        route="slow",
        via="",
        seq=8000,
        value="slow",
        start=moment + 0.5,
        end=moment + 16.5,
    )
    fast = replace(slow, seq=7999, value="slow-before", start=moment + 0.1, end=moment + 0.2)
    operations = [*clean.history.operations, *more, fast, slow]
    writes = [*clean.writes, *more, fast, slow]
    final = [
        replace(read, start=read.start + 20, end=read.end + 20, values=rows(writes, read.table)) for read in clean.final
    ]
    return Piece(replace(clean.history, operations=operations), final, writes)


# With what each is convicted of: one of these at least.
SEEN_LOST = {court.LOST_UPDATE, court.STALE_READ}
ANOMALIES: dict[Anomaly, set[str]] = {
    an_acknowledged_row_is_missing_from_a_list: SEEN_LOST,
    a_row_is_missing_everywhere_until_it_is_deleted: SEEN_LOST,
    an_update_is_never_visible: {court.LOST_UPDATE},
    a_list_shows_an_old_value: SEEN_LOST,
    a_kept_connection_goes_back: {court.LOST_UPDATE},
    a_deleted_row_comes_back: SEEN_LOST,
    a_delete_is_lost: {court.LOST_DELETE},
    a_write_is_lost_in_the_end: {court.LOST_WRITE},
    a_row_is_lost_in_the_end: {court.LOST_WRITE},
    two_rows_have_one_id: {court.DUPLICATE_ID},
    an_id_changes: {court.PHANTOM},
    a_value_appears_that_no_client_wrote: {court.PHANTOM},
    a_refused_write_appears: {court.PHANTOM},
    a_row_is_there_twice: {court.PHANTOM},
    a_read_fails: {court.FAILED_READ},
    writes_pause_on_one_route: {court.OVER_LIMIT},
}


def _shown(dice: random.Random, candidates: Sequence[tuple[Operation, str, str | None]]) -> tuple[Operation, Operation]:
    read, name, value = dice.choice(candidates)
    return read, showing(read, name, value)


def test_unchanged_pieces_are_acquitted() -> None:
    dice = random.Random(7)
    for number in range(TIMES):
        assert piece(dice).judged().findings == [], f"piece {number}"


@pytest.mark.parametrize("anomaly", ANOMALIES, ids=lambda anomaly: anomaly.__name__)
def test_an_anomaly_is_convicted(anomaly: Anomaly) -> None:
    dice = random.Random(anomaly.__name__)
    number = tries = 0
    while number < TIMES:
        tries += 1
        assert tries < 10 * TIMES, f"only {number} pieces have a place for it"
        try:
            wrong = anomaly(dice, dice.choice(pieces()))
        except IndexError:
            continue  # this piece has no place for it
        number += 1
        verdict = wrong.judged()
        assert verdict.outcome == CONVICTED, f"{number}: {verdict.findings}"
        assert verdict.kinds() & ANOMALIES[anomaly], f"{number}: {verdict.kinds()}"


# --- evidence: on the whole history, and without its rows


def lacks(history: History, final: Sequence[Operation] | None) -> list[str]:
    demands = court.Demands(hole=HOLE)
    return [finding.text for finding in evidence.missing(history, final, demands, ())]


def the_end_is_missing(
    dice: random.Random, history: History, final: list[Operation]
) -> tuple[History, list[Operation]]:
    return replace(history, ended=False, operations=history.operations[: -dice.randrange(1, 500)]), final


def a_final_read_is_missing(
    dice: random.Random, history: History, final: list[Operation]
) -> tuple[History, list[Operation]]:
    left_out = dice.choice(final)
    return history, [read for read in final if read is not left_out]


def a_client_is_silent_for_a_while(
    dice: random.Random, history: History, final: list[Operation]
) -> tuple[History, list[Operation]]:
    client = dice.choice(history.clients)
    begin = dice.uniform(history.span[0], history.span[1] - HOLE)
    kept = [
        operation
        for operation in history.operations
        if operation.client != client or operation.end < begin or operation.start > begin + HOLE
    ]
    return replace(history, operations=kept), final


def many_writes_have_an_unknown_outcome(
    dice: random.Random, history: History, final: list[Operation]
) -> tuple[History, list[Operation]]:
    share = dice.uniform(0.15, 0.9)
    return replace(
        history,
        operations=[
            replace(operation, outcome=UNKNOWN)
            if operation.outcome == OK and operation.op in WRITES and dice.random() < share
            else operation
            for operation in history.operations
        ],
    ), final


def a_route_takes_no_more_writes(
    dice: random.Random, history: History, final: list[Operation]
) -> tuple[History, list[Operation]]:
    client = dice.choice(list(history.writers))
    moment = dice.uniform(history.span[0], history.span[1] - 3)
    return replace(
        history,
        operations=[
            replace(operation, outcome=FAIL, status=503)
            if operation.client == client and operation.end > moment
            else operation
            for operation in history.operations
        ],
    ), final


@pytest.mark.parametrize(
    "lack",
    [
        the_end_is_missing,
        a_final_read_is_missing,
        a_client_is_silent_for_a_while,
        many_writes_have_an_unknown_outcome,
        a_route_takes_no_more_writes,
    ],
    ids=lambda lack: lack.__name__,
)
def test_a_lack_of_evidence_is_noticed(lack: Callable[..., tuple[History, list[Operation]]]) -> None:
    history, final = recorded(), load_final(final_state_beside(RECORDED))
    assert final is not None
    assert lacks(history, final) == []
    dice = random.Random(lack.__name__)
    for number in range(TIMES // 5):
        assert lacks(*lack(dice, history, final)), f"{number}"


def test_the_recorded_history_is_acquitted_only_with_its_end() -> None:
    history, final = recorded(), load_final(final_state_beside(RECORDED))
    verdict = court.judge(history, final, limits=LIMITS)
    assert (verdict.outcome, verdict.findings) == (ACQUITTED, [])
    assert verdict.figures["older_values_seen_by_one_client_at_one_address"] == 0
    assert court.judge(replace(history, ended=False), final, limits=LIMITS).outcome == REFUSED
    assert court.judge(history, None, limits=LIMITS).outcome == REFUSED


def test_a_window_of_a_tenth_of_a_second_is_found() -> None:
    """In which one route of six is wrong."""
    final = load_final(final_state_beside(RECORDED))
    assert final is not None
    found = detection.probabilities(recorded(), final, windows=100)
    assert all(detection.probability >= 0.95 for detection in found), detection.table(found)

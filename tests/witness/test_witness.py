# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge finds each fault in a hand-made history, and nothing else in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from . import judge as court
from .clients import judge_write
from .evidence import over_limits
from .figures import longest_gap, longest_pause
from .history import FAIL, OK, REDIRECTED, UNKNOWN, History, Operation, Recorder, load
from .http import Reply

ROUTES = ("service", "pi-1", "pi-2")
A = "witness-r-write-1-1"
FAR = court.Limits(write_pause=1000, read_gap=1000, recovery=1000)
PATIENT = court.Demands(hole=1000, unknown_share=1)


class Story:
    """A history in the making: one object, created at 1 and updated at 2, then read by everyone at 2.5."""

    def __init__(self, reads: bool = True) -> None:
        self.operations: list[Operation] = []
        self.ids: dict[str, int] = {}
        self.baseline: dict[str, dict[str, str]] = {"nodes": {}}
        self.clients: list[str] = []
        self.write("create", "v1", 1.0)
        self.write("update", "v2", 2.0)
        for route in ROUTES if reads else ():
            self.list({A: "v2"}, 2.5, route)

    def write(
        self,
        op: str,
        value: str | None,
        start: float,
        outcome: str = OK,
        name: str = A,
        end: float | None = None,
        client: str = "write-1",
        via_route: str = "pi-1",
        **more: Any,
    ) -> None:
        number = self.ids.setdefault(name, len(self.ids) + 1)
        end = start + 0.1 if end is None else end
        self.operations.append(
            Operation(
                client,
                via_route,
                "10.77.0.11:8080",
                op,
                "nodes",
                start,
                end,
                outcome,
                object=name,
                id=number if outcome == OK or op != "create" else None,
                value=value,
                **more,
            )
        )

    def one(
        self, value: str | None, start: float, route: str = "pi-2", outcome: str = OK, client: str = "", **more: Any
    ) -> Operation:
        values = {} if value is None else {A: [self.ids[A], value]}
        self.operations.append(
            Operation(
                client or f"read-{route}",
                route,
                "10.77.0.12:8080",
                "read-one",
                "nodes",
                start,
                start + 0.01,
                outcome,
                object=A,
                id=self.ids[A],
                status=200 if values else 404,
                values=values,
                **more,
            )
        )
        return self.operations[-1]

    def list(self, rows: dict[str, str], start: float, route: str = "pi-2", **more: Any) -> Operation:
        self.operations.append(self.listed(rows, start, route, **more))
        return self.operations[-1]

    def listed(self, rows: dict[str, str], start: float, route: str, **more: Any) -> Operation:
        values = {name: [self.ids.get(name, 99), value] for name, value in rows.items()}
        return Operation(
            f"read-{route}",
            route,
            "10.77.0.12:8080",
            "read-list",
            "nodes",
            start,
            start + 0.01,
            OK,
            values=values,
            **more,
        )

    def history(self) -> History:
        routes = [{"name": route, "host": "10.77.0.11", "port": 8080, "netns": ""} for route in ROUTES]
        return History(
            [
                {
                    "run": "r",
                    "boot": "b",
                    "wall": 1_700_000_000.0,
                    "monotonic": 0.0,
                    "routes": routes,
                    "baseline": self.baseline,
                    "clients": self.clients,
                }
            ],
            list(self.operations),
        )

    def final(self, rows: dict[str, str]) -> Sequence[Operation]:
        return [self.listed(rows, 1000.0, route) for route in ROUTES]

    def verdict(self, final: dict[str, str] | None = None, **options: Any) -> court.Verdict:
        return judged(self.history(), self.final({A: "v2"} if final is None else final), **options)


def judged(history: History, state: Sequence[Operation] | None, **options: Any) -> court.Verdict:
    """With a second for followers, and without the demands and limits that a story of a few operations could not
    meet.
    """
    return court.judge(history, state, **{"staleness": 1.0, "limits": FAR, "demands": PATIENT, **options})


def only(verdict: court.Verdict, kind: str, times: int = 1) -> court.Finding:
    """Exactly these findings, and no other."""
    assert [finding.kind for finding in verdict.findings] == [kind] * times
    assert not verdict.ok
    return verdict.findings[0]


def acquitted(verdict: court.Verdict) -> None:
    assert verdict.findings == []
    assert verdict.ok


def test_a_correct_history_is_acquitted() -> None:
    acquitted(Story().verdict())


# --- the final state


def test_lost_update() -> None:
    finding = only(Story().verdict({A: "v1"}), court.LOST_WRITE)
    assert "'v1'" in finding.text
    assert "'v2'" in finding.text
    assert finding.route == "service, pi-1, pi-2"


def test_lost_row() -> None:
    assert "absent" in only(Story().verdict({}), court.LOST_WRITE).text


def test_lost_on_one_pi_only() -> None:
    story = Story()
    state = [story.listed({A: "v1" if route == "pi-2" else "v2"}, 1000.0, route) for route in ROUTES]
    assert only(judged(story.history(), state), court.LOST_WRITE).route == "pi-2"


def test_lost_delete() -> None:
    story = Story()
    story.write("delete", None, 3.0)
    acquitted(story.verdict({}))
    only(story.verdict({A: "v2"}), court.LOST_DELETE)


def test_final_state_that_cannot_be_read() -> None:
    story = Story()
    state = [story.listed({A: "v2"}, 1000.0, route) for route in ROUTES]
    state[1] = replace(state[1], outcome=FAIL, values=None, error="connect: refused")
    assert only(judged(story.history(), state), court.FAILED_READ).route == "pi-1"


def test_final_state_without_one_table_or_at_all() -> None:
    story = Story()
    only(judged(story.history(), []), court.NO_EVIDENCE, times=len(ROUTES))
    assert only(judged(story.history(), None), court.NO_EVIDENCE).text.startswith("no final state")


# --- unknown outcomes


@pytest.mark.parametrize("final", ["v2", "v3"])
def test_an_unknown_update_may_land_or_not(final: str) -> None:
    story = Story()
    story.write("update", "v3", 3.0, UNKNOWN, end=8.0)
    acquitted(story.verdict({A: final}))


def test_an_unknown_update_excuses_no_older_value() -> None:
    story = Story()
    story.write("update", "v3", 3.0, UNKNOWN, end=8.0)
    only(story.verdict({A: "v1"}), court.LOST_WRITE)


@pytest.mark.parametrize("final", [{A: "v2"}, {}])
def test_an_unknown_delete_may_land_or_not(final: dict[str, str]) -> None:
    story = Story()
    story.write("delete", None, 3.0, UNKNOWN, end=8.0)
    acquitted(story.verdict(final))


@pytest.mark.parametrize("landed", [True, False])
def test_an_unknown_create_may_land_or_not(landed: bool) -> None:
    story = Story()
    story.write("create", "w1", 3.0, UNKNOWN, name="witness-r-write-1-2", end=8.0)
    acquitted(story.verdict({A: "v2", **({"witness-r-write-1-2": "w1"} if landed else {})}))


def test_an_unknown_write_may_land_late() -> None:
    story = Story()
    story.write("update", "v3", 3.0, UNKNOWN, end=8.0)
    story.one("v2", 20.0)
    story.one("v3", 25.0)
    acquitted(story.verdict({A: "v3"}))


def test_an_unknown_write_may_land_after_a_later_acknowledged_one() -> None:
    story = Story()
    story.write("update", "v3", 3.0, UNKNOWN, end=8.0)
    story.write("update", "v4", 9.0)
    acquitted(story.verdict({A: "v4"}))
    acquitted(story.verdict({A: "v3"}))


def test_an_unknown_write_that_was_seen_before_cannot_land_again() -> None:
    story = Story()
    story.write("update", "v3", 3.0, UNKNOWN, end=8.0)
    story.one("v3", 8.5)
    story.write("update", "v4", 9.0)
    only(story.verdict({A: "v3"}), court.LOST_WRITE)


def test_one_that_landed_late_brings_nothing_else_back() -> None:
    story = Story()
    story.write("update", "v3", 3.0, UNKNOWN, end=4.0)
    story.write("update", "v4", 5.0)
    story.write("update", "v5", 9.0)
    story.one("v3", 12.0)
    acquitted(story.verdict({A: "v3"}))
    acquitted(story.verdict({A: "v5"}))  # v5 may have been applied before v3 landed, or v3 was read just before
    story.one("v4", 14.0)
    only(story.verdict({A: "v5"}), court.STALE_READ)


def test_a_refused_attempt_does_not_date_the_write() -> None:
    story = Story()
    story.write("update", "v3", 3.0, UNKNOWN, end=3.5)
    story.write("update", "v4", 4.0, FAIL, status=503)
    story.one("v3", 4.5)
    story.write("update", "v4", 5.0)
    only(story.verdict({A: "v3"}), court.LOST_WRITE)


def test_an_unknown_write_once_seen_must_not_vanish() -> None:
    story = Story()
    story.write("update", "v3", 3.0, UNKNOWN, end=8.0)
    story.one("v3", 10.0)
    assert "seen by a read" in only(story.verdict({A: "v2"}), court.LOST_WRITE).text


def test_an_unknown_delete_once_seen_must_not_vanish() -> None:
    story = Story()
    story.write("delete", None, 3.0, UNKNOWN, end=8.0)
    story.list({}, 10.0)
    only(story.verdict({A: "v2"}), court.LOST_DELETE)


def test_what_a_lagging_pi_does_not_show_yet_is_no_sign_of_a_delete() -> None:
    story = Story()
    story.write("delete", None, 3.0, UNKNOWN, end=8.0)
    story.list({}, 10.0)
    lag = court.Allowance("pi-2", 9.0, 11.0, stale=True)
    acquitted(story.verdict({A: "v2"}, allowances=[lag]))
    story.list({}, 12.0)
    only(story.verdict({A: "v2"}, allowances=[lag]), court.LOST_DELETE)


def test_a_write_the_killed_witness_never_finished_is_unknown() -> None:
    story = Story()
    story.write("update", "v3", 3.0, UNKNOWN, end=math.inf)
    acquitted(story.verdict({A: "v2"}))
    acquitted(story.verdict({A: "v3"}))


def test_a_write_refused_and_then_acknowledged() -> None:
    story = Story()
    story.write("update", "v3", 3.0, FAIL, status=503, error="fence")
    story.write("update", "v3", 3.2, REDIRECTED, status=403)
    story.write("update", "v3", 3.4, OK)
    acquitted(story.verdict({A: "v3"}))
    only(story.verdict({A: "v2"}), court.LOST_WRITE)


# --- phantoms


def test_phantom_value_in_the_final_state() -> None:
    assert "no client wrote" in only(Story().verdict({A: "other"}), court.PHANTOM).text


def test_phantom_value_in_a_read() -> None:
    story = Story()
    story.one("other", 3.0)
    story.one("other", 3.1)
    only(story.verdict(), court.PHANTOM)


def test_phantom_row() -> None:
    only(Story().verdict({A: "v2", "witness-r-write-9-9": "x"}), court.PHANTOM)


@pytest.mark.parametrize("outcome", [FAIL, REDIRECTED])
def test_a_refused_write_must_not_appear(outcome: str) -> None:
    story = Story()
    story.write("update", "v3", 3.0, outcome, status=503, error="fence")
    acquitted(story.verdict({A: "v2"}))
    assert "refused" in only(story.verdict({A: "v3"}), court.PHANTOM).text


def test_a_phantom_makes_no_other_read_stale() -> None:
    story = Story()
    story.write("update", "v3", 3.0, FAIL, status=503, error="fence")
    story.one("v3", 3.5)
    story.one("v2", 6.0)
    only(story.verdict(), court.PHANTOM)


def test_a_value_seen_before_it_was_written() -> None:
    story = Story()
    story.one("v3", 2.6)
    story.one("v2", 3.8)
    story.write("update", "v3", 4.0)
    assert "before it was written" in only(story.verdict({A: "v3"}), court.PHANTOM).text


def test_a_row_applied_twice() -> None:
    story = Story()
    story.list({A: "v2"}, 3.0, duplicates=[A])
    assert "more than one row" in only(story.verdict(), court.PHANTOM).text


def test_a_row_with_another_id() -> None:
    story = Story()
    story.list({A: "v2"}, 3.0).values = {A: [77, "v2"]}
    assert "id 77" in only(story.verdict(), court.PHANTOM).text


def test_a_row_that_is_not_the_one_asked_for() -> None:
    story = Story()
    story.write("create", "w1", 2.6, name="witness-r-write-1-2")
    read = story.one("v2", 3.0)
    read.values = {"witness-r-write-1-2": [2, "w1"]}
    only(story.verdict({A: "v2", "witness-r-write-1-2": "w1"}), court.PHANTOM)


def test_rows_of_other_owners_must_stay_as_they_are() -> None:
    story = Story()
    story.list({A: "v2"}, 3.0, foreign={"5": None})
    only(story.verdict(), court.LOST_WRITE)
    story.operations[-1].foreign = {"5": '{"id":5,"name":"changed"}'}
    only(story.verdict(), court.PHANTOM)
    acquitted(story.verdict(ignore_foreign=True))


def test_rows_of_another_witness_are_not_judged() -> None:
    story = Story()
    story.list({A: "v2", "witness-elsewhere-write-1-1": "x"}, 3.0)
    verdict = story.verdict()
    acquitted(verdict)
    assert verdict.figures["rows_of_other_witnesses_ignored"] == 1


# --- reads that go back in time


def test_stale_value() -> None:
    story = Story()
    story.one("v1", 4.0)
    finding = only(story.verdict(), court.STALE_READ)
    assert "1.90 s" in finding.text
    assert finding.route == "pi-2"


def test_a_follower_may_lag_within_the_bound() -> None:
    story = Story()
    story.one("v1", 2.9, route="pi-1")
    verdict = story.verdict()
    acquitted(verdict)
    assert verdict.figures["older_values_seen_by_one_client_at_one_address"] == 1
    only(story.verdict(staleness=0.5), court.STALE_READ)


def test_stale_against_an_earlier_read() -> None:
    story = Story()
    story.write("update", "v3", 3.0, UNKNOWN, end=8.0)
    story.one("v3", 4.0, route="pi-1")
    story.one("v2", 5.5, route="service")
    assert "'v3' was seen by a read" in only(story.verdict({A: "v3"}), court.STALE_READ).text


def test_a_row_that_is_not_there_yet_or_no_longer() -> None:
    story = Story()
    story.one(None, 4.0)
    story.list({}, 4.5)
    only(story.verdict(), court.STALE_READ, times=2)


def test_a_deleted_row_seen_again() -> None:
    story = Story()
    story.write("delete", None, 3.0)
    story.list({A: "v2"}, 3.5)
    acquitted(story.verdict({}))
    story.list({A: "v2"}, 4.5)
    only(story.verdict({}), court.STALE_READ)


def test_a_404_to_a_write_is_a_row_that_is_not_there() -> None:
    story = Story()
    story.write("update", "v3", 4.0, FAIL, status=404, error="no such row")
    only(story.verdict(), court.STALE_READ)


# --- a prefix of the log


B = "witness-r-write-1-2"


def two_objects() -> Story:
    """A and B, both updated: A at 3, and B once that was acknowledged."""
    story = Story()
    story.write("create", "w1", 2.2, name=B)
    story.write("update", "v3", 3.0)
    story.write("update", "w2", 3.2, name=B)
    return story


BOTH = {A: "v3", B: "w2"}


def test_a_list_with_a_later_write_has_the_earlier_one() -> None:
    story = two_objects()
    story.list({A: "v2", B: "w1"}, 3.3)
    acquitted(story.verdict(BOTH))
    story.list({A: "v2", B: "w2"}, 3.31)
    finding = only(story.verdict(BOTH), court.LOST_UPDATE)
    for part in (
        "'v2'",
        "'v3' was acknowledged at 2023-11-14T22:13:23.100Z",
        f"{B} as 'w2' was begun at 2023-11-14T22:13:23.200Z",
    ):
        assert part in finding.text


def test_a_list_with_a_later_row_has_the_earlier_one() -> None:
    story = Story()
    story.write("create", "w1", 2.6, name=B)
    story.write("create", "x1", 2.8, name="witness-r-write-1-3")
    final = {A: "v2", B: "w1", "witness-r-write-1-3": "x1"}
    story.list({A: "v2"}, 2.9)
    acquitted(story.verdict(final))
    story.list({A: "v2", "witness-r-write-1-3": "x1"}, 2.92)
    only(story.verdict(final), court.LOST_UPDATE)


def test_a_later_delete_is_shown_by_an_absent_row() -> None:
    story = Story()
    story.write("create", "w1", 2.2, name=B)
    story.write("update", "v3", 4.0)
    story.write("delete", None, 4.2, name=B)
    story.list({A: "v2", B: "w1"}, 4.4)
    acquitted(story.verdict({A: "v3"}))
    # B is gone, or this look is from before B: the one is a hole in the log, and the other is too old.
    story.list({A: "v2"}, 4.5)
    assert "without a row whose delete began at" in only(story.verdict({A: "v3"}), court.STALE_READ).text
    lag = court.Allowance("pi-2", 0.0, 100.0, stale=True)
    acquitted(story.verdict({A: "v3"}, allowances=[lag]))
    # A connection that has shown B knows.
    story.list({A: "v2", B: "w1"}, 4.6, connection="reused")
    story.list({A: "v2"}, 4.7, connection="reused")
    assert court.LOST_UPDATE in story.verdict({A: "v3"}, allowances=[lag]).kinds()


def test_writes_that_overlap_have_no_order() -> None:
    story = Story()
    story.write("create", "w1", 2.2, name=B)
    story.write("update", "v3", 3.0, end=3.3)
    story.write("update", "w2", 3.2, name=B, client="write-2")
    story.list({A: "v2", B: "w2"}, 3.5)
    acquitted(story.verdict(BOTH))


@pytest.mark.parametrize(("connection", "kinds"), [("reused", {court.LOST_UPDATE}), ("fresh", set())])
def test_a_kept_connection_never_goes_back(connection: str, kinds: set[str]) -> None:
    story = two_objects()
    story.list(BOTH, 3.35, connection=connection)
    story.one("v2", 3.4, connection=connection)
    assert story.verdict(BOTH).kinds() == kinds


def test_a_kept_connection_never_reads_older_state() -> None:
    story = Story()
    story.one("v2", 2.6, connection="reused")
    story.one("v1", 2.7, connection="fresh")
    acquitted(story.verdict())
    story.one("v2", 2.8, connection="reused")
    story.one("v1", 2.9, connection="reused")
    assert "after 'v2'" in only(story.verdict(), court.LOST_UPDATE).text


def test_a_read_that_failed_may_have_begun_a_connection() -> None:
    """To another daemon of the Service, which may be a little behind the one before."""
    story = Story()
    story.one("v2", 2.6, connection="reused")
    story.one(None, 2.7, outcome=FAIL, connection="fresh", error="status 503")
    story.one("v1", 2.8, connection="reused")
    lag = [court.Allowance("pi-2", 2.0, 3.0, stale=True), court.Allowance("pi-2", 2.0, 3.0)]
    assert court.LOST_UPDATE not in story.verdict(allowances=lag).kinds()


def test_two_witnesses_have_connections_of_their_own() -> None:
    """Their clients have the same names, and the Service brings each to a daemon of its choice."""
    story = Story()
    story.one("v2", 2.6, connection="reused")
    story.operations.append(replace(story.one("v1", 2.7, connection="reused"), run=1))
    del story.operations[-2]
    lag = court.Allowance("pi-2", 2.0, 3.0, stale=True)
    assert court.LOST_UPDATE not in story.verdict(allowances=[lag]).kinds()


def test_a_kept_connection_has_what_was_before_what_it_has_shown() -> None:
    story = two_objects()
    story.operations.append(replace(story.one("v2", 3.35, connection="reused"), object=B, id=2, values={B: [2, "w2"]}))
    story.operations.remove(story.operations[-2])
    acquitted(story.verdict(BOTH))
    story.one("v2", 3.4, connection="reused")
    only(story.verdict(BOTH), court.LOST_UPDATE)


def test_an_allowance_to_lag_does_not_excuse_a_hole_in_the_log() -> None:
    story = two_objects()
    lag = court.Allowance("pi-2", 0.0, 100.0, stale=True)
    story.list({A: "v2", B: "w1"}, 50.0)
    acquitted(story.verdict(BOTH, allowances=[lag]))
    story.list({A: "v2", B: "w2"}, 60.0)
    only(story.verdict(BOTH, allowances=[lag]), court.LOST_UPDATE)


# --- rows that are absent


@pytest.mark.parametrize("route", ROUTES)
def test_a_later_delete_does_not_excuse_an_absent_row(route: str) -> None:
    story = Story()
    story.list({}, 4.0, route)
    story.one(None, 5.0, route)
    story.write("delete", None, 30.0)
    assert story.verdict({}).kinds() == {court.STALE_READ}


def test_a_concurrent_delete_excuses_an_absent_row() -> None:
    story = Story()
    story.write("delete", None, 4.005, end=9.0)
    story.list({}, 4.0)  # it ended at 4.01
    acquitted(story.verdict({}))


def test_a_row_that_is_not_yet_there_is_no_older_value() -> None:
    story = Story()
    for start in (0.5, 0.6, 1.02):
        story.list({}, start, "pi-1", connection="reused")
    story.list({A: "v2"}, 2.6, "pi-1", connection="reused")
    story.write("delete", None, 3.0)
    story.list({}, 3.2, "pi-1", connection="reused")
    verdict = story.verdict({})
    acquitted(verdict)
    assert verdict.figures["older_values_seen_by_one_client_at_one_address"] == 0


# --- ids


def test_two_creates_with_one_id() -> None:
    story = Story()
    story.ids[B] = story.ids[A]
    story.write("create", "w1", 3.0, name=B)
    story.write("delete", None, 3.5, name=B)
    assert court.DUPLICATE_ID in story.verdict().kinds()


def test_an_id_that_was_used_before() -> None:
    story = Story()
    story.write("delete", None, 3.0)
    story.ids[B] = story.ids[A]
    story.write("create", "w1", 5.0, name=B)
    assert "ids are unique" in only(story.verdict({B: "w1"}), court.DUPLICATE_ID).text


def test_an_id_that_changes_though_no_client_was_given_it() -> None:
    story = Story()
    story.write("create", "w1", 3.0, UNKNOWN, name=B, end=3.1)
    story.list({A: "v2", B: "w1"}, 4.0)
    story.ids[B] = 55
    assert "ids never change" in only(story.verdict({A: "v2", B: "w1"}), court.PHANTOM).text


# --- failed reads


def test_failed_read_and_where_it_is_allowed() -> None:
    story = Story()
    story.one(None, 3.0, route="pi-1", outcome=FAIL, error="connect: refused")
    finding = only(story.verdict(), court.FAILED_READ)
    assert finding.route == "pi-1"
    assert finding.at == "2023-11-14T22:13:23.000Z"
    verdict = story.verdict(allowances=[court.Allowance("pi-1", 3.005, 4.0)])
    acquitted(verdict)
    assert len(verdict.allowed_failed_reads) == 1
    only(story.verdict(allowances=[court.Allowance("pi-2", 2.0, 4.0)]), court.FAILED_READ)
    only(story.verdict(allowances=[court.Allowance("pi-1", 3.5, 4.0)]), court.FAILED_READ)


def test_an_allowance_does_not_excuse_a_stale_read() -> None:
    story = Story()
    story.one("v1", 4.0, route="pi-1")
    only(story.verdict(allowances=[court.Allowance("pi-1", 0, 100)]), court.STALE_READ)


# --- a witness that saw nothing


def test_a_silenced_host_explains_no_answer_but_no_wrong_one() -> None:
    silenced = [court.Allowance("pi-1", 3.0, 4.0, answered=False)]
    story = Story()
    story.operations.append(
        replace(story.one(None, 3.2, "pi-1", FAIL), status=None, error="connect: TimeoutError: timed out")
    )
    story.operations.remove(story.operations[-2])
    assert len(story.verdict(allowances=silenced).allowed_failed_reads) == 1
    story.operations.append(replace(story.operations[-1], status=500))
    only(story.verdict(allowances=silenced), court.FAILED_READ)


def test_a_host_may_lag_only_while_explained_on_its_own_route() -> None:
    story = Story()
    story.list({A: "v1"}, 5.0, "service")
    story.operations[-1].client = "read-service@pi-1-fresh"
    lag = court.Allowance("service@pi-1", 4.0, 6.0, stale=True)
    verdict = story.verdict(allowances=[lag])
    acquitted(verdict)
    assert len(verdict.allowed_stale_reads) == 1
    only(story.verdict(allowances=[replace(lag, route="service@pi-2")]), court.STALE_READ)
    only(story.verdict(allowances=[replace(lag, start=5.5)]), court.STALE_READ)
    acquitted(story.verdict(allowances=[replace(lag, failed=False)]))


def test_what_explains_a_lag_alone_explains_no_failure() -> None:
    story = Story()
    story.one(None, 3.2, "pi-1", FAIL)
    lag = court.Allowance("pi-1", 3.0, 4.0, stale=True)
    acquitted(story.verdict(allowances=[lag]))
    only(story.verdict(allowances=[replace(lag, failed=False)]), court.FAILED_READ)


def test_empty_history() -> None:
    story = Story(reads=False)
    story.operations.clear()
    only(judged(story.history(), []), court.NO_EVIDENCE, times=1 + len(ROUTES))


def test_no_acknowledged_write() -> None:
    story = Story(reads=False)
    story.operations = [replace(operation, outcome=FAIL, status=503) for operation in story.operations]
    for route in ROUTES:
        story.list({}, 3.0, route)
    texts = [finding.text for finding in story.verdict({}).findings]
    assert texts == ["no write was acknowledged", "write-1 never succeeded at anything"]


def test_no_read_on_one_route() -> None:
    story = Story()
    story.operations = [operation for operation in story.operations if operation.route != "service"]
    assert only(story.verdict(), court.NO_EVIDENCE).route == "service"


def test_a_client_that_never_succeeded() -> None:
    story = Story()
    story.clients = ["write-1", "read-pi-1", "read-pi-2-kept"]
    assert only(story.verdict(), court.NO_EVIDENCE).client == "read-pi-2-kept"


def test_a_witness_with_a_broken_client() -> None:
    story = Story()
    history = replace(story.history(), crashes=["read-pi-1: RuntimeError"])
    only(judged(history, story.final({A: "v2"})), court.WITNESS_BROKE)


def test_a_history_without_its_end() -> None:
    story = Story()
    history = replace(story.history(), ended=False)
    verdict = judged(history, story.final({A: "v2"}))
    assert "no end line" in only(verdict, court.NO_EVIDENCE).text
    assert (verdict.ok, verdict.outcome) == (False, "refused")
    lost = judged(history, story.final({A: "v1"}))
    assert lost.outcome == "convicted", "what was seen counts, whatever is missing besides"


def test_a_client_that_was_still_waiting_at_the_end() -> None:
    story = Story()
    assert (
        "write-1"
        in only(judged(replace(story.history(), stuck=["write-1"]), story.final({A: "v2"})), court.NO_EVIDENCE).text
    )


def test_a_hole_in_the_operations_of_one_client() -> None:
    story = Story()
    for number in range(1, 16):
        story.one("v2", 2.5 + number, "pi-1")
        story.one("v2", 2.5 + number, "service")
        story.write("update", "v2", 2.6 + number)
    story.one("v2", 17.5, "pi-2")
    acquitted(story.verdict(demands=replace(PATIENT, hole=15.0)))
    finding = only(story.verdict(demands=replace(PATIENT, hole=14.0)), court.NO_EVIDENCE)
    assert (
        finding.text
        == "read-pi-2 did nothing for 15.0 s until 2023-11-14T22:13:37.500Z; wanted an operation every 14 s"
    )


def test_a_phase_in_which_one_client_did_nothing() -> None:
    story = Story()
    story.write("update", "v3", 9.0)
    for route in ROUTES:
        story.one("v3", 9.5, route)
    story.one("v2", 5.0, "pi-1")
    story.one("v2", 5.0, "service")
    story.write("update", "v3", 5.5, FAIL, status=503)
    phase = court.Phase("validate", 4.0, 7.0)
    finding = only(story.verdict({A: "v3"}, demands=replace(PATIENT, phases=(phase,))), court.NO_EVIDENCE)
    assert finding.client == "read-pi-2"
    assert "in the phase validate" in finding.text


def test_too_many_writes_of_unknown_outcome() -> None:
    story = Story()
    for number in range(2):
        story.write("create", f"x{number}", 3.0 + number, UNKNOWN, name=f"witness-r-write-1-{7 + number}")
    story.write("update", "v3", 6.0)
    demands = replace(PATIENT, unknown_share=0.1)
    assert "2 of 5 writes" in only(story.verdict({A: "v3"}, demands=demands), court.NO_EVIDENCE).text
    acquitted(story.verdict({A: "v3"}, demands=replace(demands, unknown_share=0.4)))


def test_a_final_state_from_before_the_end() -> None:
    story = Story()
    early = [story.listed({A: "v2"}, 2.4, route) for route in ROUTES]
    only(judged(story.history(), early), court.NO_EVIDENCE, times=len(ROUTES))
    assert only(judged(story.history(), story.final({A: "v2"})[1:]), court.NO_EVIDENCE).route == "service"


def test_a_route_that_takes_no_writes_after_the_cutover() -> None:
    story = Story()
    story.write("create", "w1", 2.6, name=B, client="write-2", via_route="pi-2")
    story.write("update", "v3", 9.0)
    final = {A: "v3", B: "w1"}
    demands = replace(PATIENT, phases=(court.Phase("cutover", 2.0, 3.0),))
    found = story.verdict(final, demands=demands).findings
    assert [(finding.kind, finding.route) for finding in found] == [(court.NO_EVIDENCE, "pi-2")]
    assert "after the cutover" in found[0].text
    # Without the phases it is a hole in the writes through that route.
    story.write("update", "v4", 12.0)
    holes = story.verdict({**final, A: "v4"}, demands=replace(PATIENT, hole=8.0)).findings
    assert {(finding.kind, finding.route, finding.client) for finding in holes if "write" in finding.text} == {
        (court.NO_EVIDENCE, "pi-2", ""),
        (court.NO_EVIDENCE, "", "write-2"),
    }


def test_a_route_that_takes_no_writes_after_the_longest_pause() -> None:
    story = Story()
    story.write("create", "w1", 2.6, name=B, client="write-2", via_route="pi-2")
    for start in (3.0, 4.0):
        story.write("update", "v3", start, FAIL, status=503)
    story.write("update", "v3", 5.0)
    story.one("v3", 8.0)
    final = {A: "v3", B: "w1"}
    finding = only(story.verdict(final), court.NO_EVIDENCE)
    assert finding.route == "pi-2"
    assert "after the longest write pause" in finding.text
    story.write("update", "w2", 8.5, name=B, client="write-2", via_route="pi-2")
    acquitted(story.verdict({**final, B: "w2"}))


def test_a_client_that_falls_silent_after_many_quick_turns() -> None:
    story = Story()
    for number in range(30):
        story.one("v2", 2.6 + number / 10, "pi-2")
    story.write("update", "v3", 12.0)
    finding = only(story.verdict({A: "v3"}, demands=replace(PATIENT, hole=15)), court.NO_EVIDENCE)
    assert (
        finding.text == "read-pi-2 did nothing for 6.6 s until 2023-11-14T22:13:32.100Z; wanted an operation every 5 s"
    )


def test_an_acknowledged_write_to_another_id() -> None:
    story = Story()
    story.ids[A] = 77
    story.write("update", "v3", 3.0)
    story.ids[A] = 1
    assert "has id 77, but was made as 1" in only(story.verdict({A: "v3"}), court.PHANTOM).text


def test_a_route_whose_writes_are_refused_to_the_end() -> None:
    story = Story()
    for start in (3.0, 4.0, 5.0, 6.0):
        story.write("update", "v3", start, FAIL, status=503)
    assert "4 attempts" in only(story.verdict(), court.NO_EVIDENCE).text


def test_a_writer_whose_route_never_took_a_write() -> None:
    story = Story()
    history = story.history()
    history.headers[0]["writers"] = {"write-1": "pi-1", "write-2": "pi-2"}
    finding = only(judged(history, story.final({A: "v2"})), court.NO_EVIDENCE)
    assert finding.text == "no write was acknowledged through pi-2: 0 attempts"


# --- gaps


def test_gaps_and_the_write_pause() -> None:
    story = Story()
    story.write("update", "v3", 10.0, FAIL, status=503, error="fence")
    story.write("update", "v3", 11.0, OK)
    story.one("v3", 12.0, route="pi-1")
    figures = story.verdict({A: "v3"}).figures
    assert figures["writes"]["longest_gap"]["seconds"] == pytest.approx(9.0)
    assert figures["write_pause"]["seconds"] == pytest.approx(1.1)  # no client asked before 10.0
    assert figures["write_pause"]["answers_within"] == {"fence": 1}
    assert figures["reads"]["routes"]["pi-1"]["longest_gap"]["seconds"] == pytest.approx(9.5)
    assert figures["recovery"]["seconds"] == pytest.approx(1.1)
    acquitted(story.verdict({A: "v3"}, limits=replace(FAR, write_pause=1.2, read_gap=9.6, recovery=1.2)))
    over = story.verdict({A: "v3"}, limits=replace(FAR, write_pause=1.0))
    only(over, court.OVER_LIMIT, times=2)  # of all writers, and through the one route
    assert (
        over.findings[1].text == "write pause through pi-1: 1.10 s until 2023-11-14T22:13:31.100Z; wanted at most 1 s"
    )
    assert only(story.verdict({A: "v3"}, limits=replace(FAR, read_gap=9.4)), court.OVER_LIMIT).route == "pi-1"
    assert only(story.verdict({A: "v3"}, limits=replace(FAR, recovery=1.0)), court.OVER_LIMIT).route == "pi-1"


@pytest.mark.parametrize("missing", ["write_pause", "read_gap", "recovery"])
def test_a_missing_limit_is_an_error(missing: str) -> None:
    limits = {"write_pause": 15.0, "read_gap": 5.0, "recovery": 20.0}
    for value in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=missing):
            court.Limits(**{**limits, missing: value})
    del limits[missing]
    with pytest.raises(TypeError, match=missing):
        court.Limits(**limits)


def test_writes_that_pause_on_one_route_only() -> None:
    story = Story()
    for start in (3.0, 4.0, 5.0, 6.0, 7.0):
        story.write("update", f"v{start}", start)
        story.write(
            "update", "w", start + 0.5, FAIL, client="write-2", via_route="pi-2", name="witness-r-write-2-1", status=503
        )
    story.write("create", "w", 7.5, client="write-2", via_route="pi-2", name="witness-r-write-2-1")
    final = {A: "v7.0", "witness-r-write-2-1": "w"}
    acquitted(story.verdict(final))
    finding = only(story.verdict(final, limits=replace(FAR, write_pause=3.0)), court.OVER_LIMIT)
    assert (finding.route, finding.text.split(":")[0]) == ("pi-2", "write pause through pi-2")


def test_a_stretch_is_over_a_limit_only_as_far_as_it_is_unexplained() -> None:
    story = Story()
    story.one("v2", 10.0, route="pi-1")
    tight = replace(FAR, read_gap=3.0)
    only(story.verdict(limits=tight), court.OVER_LIMIT)
    acquitted(story.verdict(limits=tight, allowances=[court.Allowance("pi-1", 3.0, 9.0)]))
    only(story.verdict(limits=tight, allowances=[court.Allowance("pi-2", 3.0, 9.0)]), court.OVER_LIMIT)
    only(story.verdict(limits=tight, allowances=[court.Allowance("pi-1", 3.0, 9.0, failed=False)]), court.OVER_LIMIT)
    assert (
        "4.50 s of it unexplained"
        in only(story.verdict(limits=tight, allowances=[court.Allowance("pi-1", 5.0, 8.0)]), court.OVER_LIMIT).text
    )


def two_ways_without_writes() -> Story:
    """No write is acknowledged for 20 s, through either of two Pis."""
    story = Story(reads=False)
    for number, route in enumerate(("pi-1", "pi-2")):
        for start in (2.0, 22.5):
            story.write("update", f"v{start}", start + number / 10, via_route=route, client=f"write-{route}")
        for second in range(3, 22):
            story.write(
                "update", "v9", second + number / 10, FAIL, via_route=route, client=f"write-{route}", status=503
            )
    return story


@pytest.mark.parametrize(
    ("first", "second", "over"),
    [((0, 30), (0, 30), False), ((0, 14), (10, 30), True), ((0, 20), (8, 30), False), ((0, 30), (0, 1), True)],
)
def test_a_pause_of_all_is_explained_only_where_all_are(first, second, over) -> None:
    story = two_ways_without_writes()
    allowances = [court.Allowance("pi-1", *first), court.Allowance("pi-2", *second)]
    found = [
        finding
        for finding in over_limits(story.history(), replace(FAR, write_pause=9.0), allowances)
        if finding.text.startswith("write pause:")
    ]
    assert bool(found) is over


@pytest.mark.parametrize("writes", [True, False])
def test_reads_that_may_fail_are_no_reason_for_writes_to_wait(writes: bool) -> None:
    story = two_ways_without_writes()
    allowances = [court.Allowance(route, 0, 30, writes=writes) for route in ("pi-1", "pi-2")]
    found = {
        finding.text.partition(":")[0]
        for finding in over_limits(story.history(), replace(FAR, write_pause=9.0), allowances)
    }
    waited = {"write pause", "write pause through pi-1", "write pause through pi-2"}
    assert found & waited == (set() if writes else waited)


def test_recovery_lasts_until_nothing_has_failed_for_a_second() -> None:
    story = Story()
    for start in (3.0, 3.9, 4.8):
        story.one(None, start, route="pi-1", outcome=FAIL, error="connect: refused")
        story.one("v2", start + 0.3, route="pi-1")
    story.one("v2", 6.5, route="pi-1")
    recovery = story.verdict().figures["recovery"]
    assert (recovery["route"], recovery["seconds"], recovery["open"]) == ("pi-1", pytest.approx(2.11), False)
    story.one(None, 7.0, route="pi-1", outcome=FAIL, error="connect: refused")
    story.one("v2", 7.3, route="pi-1")
    assert story.verdict().figures["recovery"]["seconds"] == pytest.approx(2.11), (
        "another trouble, a second after the first was over"
    )


def test_an_outage_that_never_ended_counts() -> None:
    story = Story()
    for start in (3.0, 5.0, 7.0):
        story.write("update", "v3", start, FAIL, status=503)
    pause = longest_pause([operation for operation in story.operations if operation.op in ("create", "update")])
    assert pause.open
    assert pause.seconds == pytest.approx(7.1 - 3.0)


def test_a_gap_is_from_end_to_end() -> None:
    story = Story(reads=False)
    assert longest_gap(story.operations).seconds == pytest.approx(1.0)
    assert longest_gap([]).seconds == 0


def test_a_gap_without_requests_does_not_hide_a_pause() -> None:
    story = Story(reads=False)
    story.write("update", "v3", 30.0)
    story.write("update", "v4", 31.0, FAIL, status=503)
    story.write("update", "v4", 34.0)
    assert longest_pause(story.operations).seconds == pytest.approx(34.1 - 31.0)


def test_a_slow_write_is_a_pause_while_it_lasts() -> None:
    story = Story(reads=False)
    story.write("update", "v3", 3.0, OK, end=7.0)
    assert longest_pause(story.operations).seconds == pytest.approx(4.0)


# --- the record


def test_what_was_recorded_is_what_is_read(tmp_path: Path) -> None:
    story = Story()
    recorder = Recorder(tmp_path / "history")
    recorder.header("r", [], {"nodes": {"1": "{}"}})
    for operation in story.operations:
        recorder.operation(operation)
    pending = replace(story.operations[1], value="v3", start=3.0, end=3.0)
    pending.number = recorder.invoke(pending)
    history = load([tmp_path / "history"])
    assert history.operations[:-1] == story.operations
    assert (history.operations[-1].outcome, history.operations[-1].end, history.operations[-1].value) == (
        UNKNOWN,
        math.inf,
        "v3",
    )
    assert history.baseline == {"nodes": {"1": "{}"}}
    assert not history.ended
    recorder.operation(replace(pending, outcome=OK))
    recorder.line("end", {})
    history = load([tmp_path / "history"])
    assert history.operations[-1].outcome == OK
    assert history.ended
    assert history.monotonic(history.wall(12.5)) == pytest.approx(12.5)


def test_a_damaged_history_is_refused(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history")
    with pytest.raises(ValueError, match="no header"):
        load([tmp_path / "history"])
    recorder.header("r", [], {})
    with (tmp_path / "history").open("a") as file:
        file.write("half a li\n")
    with pytest.raises(ValueError, match="history:2: not a line"):
        load([tmp_path / "history"])


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(status=200), OK),
        (Reply(status=204), OK),
        (Reply(status=403, body=b'{"leader":"10.77.0.12:9091"}'), REDIRECTED),
        (Reply(status=403, body=b'{"leader":""}'), FAIL),
        (Reply(status=403, body=b'{"leader":"192.0.2.1:9091"}'), FAIL),  # not of the lab
        (Reply(status=404), FAIL),
        (Reply(status=503, retry_after=True), FAIL),
        (Reply(status=503), UNKNOWN),
        (Reply(status=500), UNKNOWN),
        (Reply(status=502, retry_after=True), UNKNOWN),
        (Reply(error="connect: refused", sent=False), FAIL),
        (Reply(error="request: reset"), UNKNOWN),
        (Reply(error="answer: timed out"), UNKNOWN),
    ],
)
def test_outcome_of_a_write(reply: Reply, outcome: str) -> None:
    assert judge_write("update", reply)[0] == outcome


def test_a_create_is_acknowledged_with_an_id_or_not_at_all() -> None:
    assert judge_write("create", Reply(status=201, body=b'{"id":7}')) == (OK, "", "", 7)
    assert judge_write("create", Reply(status=201, body=b"{"))[0] == UNKNOWN

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pis that keep their data to themselves: each is judged by itself, and a row of another one is a row that no client wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from . import evidence
from . import judge as court
from .evidence import Demands, Phase
from .history import History, Operation, describe
from .http import Route
from .test_witness import FAR, PATIENT, Story, judged

PIS = ("pi-1", "pi-2")


def row(pi: str) -> str:
    return f"witness-r-write-{pi}-1"


def seen(pi: str, rows: dict[str, str], start: float) -> Operation:
    """A list through this Pi. Each Pi gives its first row the id 1."""
    values = {name: [1, value] for name, value in rows.items()}
    return Operation(
        f"read-{pi}-fresh", pi, "10.77.0.11:8080", "read-list", "nodes", start, start + 0.01, "ok", values=values
    )


def written(pi: str, op: str, value: str, start: float) -> Operation:
    return Operation(
        f"write-{pi}", pi, "10.77.0.11:8080", op, "nodes", start, start + 0.1, "ok", object=row(pi), id=1, value=value
    )


def history(*more: Operation, apart: bool = True) -> History:
    """On each Pi one object of its own is made, changed, and read."""
    operations = [*more]
    for pi in PIS:
        operations += [
            written(pi, "create", f"{pi}-1", 1.0),
            written(pi, "update", f"{pi}-2", 2.0),
            seen(pi, {row(pi): f"{pi}-2"}, 3.0),
        ]
    header = {
        "run": "r",
        "boot": "b",
        "wall": 1_700_000_000.0,
        "monotonic": 0.0,
        "apart": apart,
        "routes": [{"name": pi, "host": "10.77.0.11", "port": 8080, "netns": ""} for pi in PIS],
        "baseline": {pi: {"nodes": {}} for pi in PIS} if apart else {"nodes": {}},
        "clients": [f"{kind}-{pi}{reader}" for pi in PIS for kind, reader in (("read", "-fresh"), ("write", ""))],
        "writers": {f"write-{pi}": pi for pi in PIS},
    }
    return History([header], operations)


def final(**rows: dict[str, str]) -> list[Operation]:
    shown = {pi: {row(pi): f"{pi}-2"} for pi in PIS} | {name.replace("_", "-"): found for name, found in rows.items()}
    return [seen(pi, shown[pi], 1000.0) for pi in PIS]


def verdict(history: History, state: list[Operation]) -> court.Verdict:
    return judged(history, state, demands=PATIENT, limits=FAR)


def test_d2_each_pi_is_judged_by_its_own_rows() -> None:
    found = verdict(history(), final())
    assert (found.outcome, found.findings) == (court.ACQUITTED, [])
    assert found.figures["pis"] == dict.fromkeys(PIS, court.ACQUITTED)
    # As one cluster's, two rows with one id are a fault.
    assert court.DUPLICATE_ID in verdict(history(apart=False), final()).kinds()


@pytest.mark.parametrize(
    ("ends", "kind"),
    [
        ({}, court.LOST_WRITE),
        ({row("pi-2"): "pi-2-1"}, court.LOST_WRITE),
        ({row("pi-2"): "pi-2-2", row("pi-1"): "pi-1-2"}, court.PHANTOM),
        ({row("pi-1"): "pi-1-2"}, court.PHANTOM),
    ],
)
def test_d2_a_pi_with_lost_or_foreign_rows_convicts_them_all(ends: dict[str, str], kind: str) -> None:
    found = verdict(history(), final(pi_2=ends))
    assert kind in found.kinds()
    assert found.outcome == court.CONVICTED
    assert found.figures["pis"] == {"pi-1": court.ACQUITTED, "pi-2": court.CONVICTED}
    assert {finding.route for finding in found.findings} == {"pi-2"}


def test_d2_a_pi_without_a_final_state_has_no_verdict() -> None:
    found = verdict(history(), final()[:1])
    assert found.outcome == court.REFUSED
    assert found.figures["pis"] == {"pi-1": court.ACQUITTED, "pi-2": court.REFUSED}


def test_d3_columns_that_the_daemon_writes_are_no_difference() -> None:
    rows = [{"id": 1, "name": "there-before", "updated_at": "10:00"}]
    before = {"1": '{"id":1,"name":"there-before"}'}
    assert describe(rows, before, frozenset({"updated_at"}))["foreign"] == {}
    assert describe(rows, before)["foreign"] != {}


def test_d4_each_client_has_an_address_of_its_own() -> None:
    route = Route("pi-1", "10.77.0.11", 8080, source="10.77.0.136")
    assert [route.of_client(number).source for number in (1, 2, 3)] == ["10.77.0.137", "10.77.0.138", "10.77.0.139"]
    assert route.of_client(1).label == "pi-1"
    assert route._replace(source="").of_client(1).source == ""


@pytest.mark.parametrize(("seconds", "missed"), [(3.0, False), (30.0, True)])
def test_d4_a_slow_client_may_miss_a_phase_of_less_than_two_turns(seconds: float, missed: bool) -> None:
    story = Story()
    turns = [story.list({}, 10 + 2.5 * number) for number in range(12)]
    story.clients = [turns[0].client]
    begin = 50.0
    history = replace(story.history(), operations=[*turns, replace(turns[0], start=begin + 40, end=begin + 40.01)])
    demands = Demands(hole=1000, unknown_share=1, phases=(Phase("transfer", begin, begin + seconds),))
    found: list[Any] = [
        finding for finding in evidence.missing(history, [], demands, []) if "in the phase" in finding.text
    ]
    assert bool(found) is missed

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a benchmark, from times that are given."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.bench import __main__ as program
from tests.bench import chart, figures, peaks, profile
from tests.bench.results import Results, unit
from tests.e2e.rehearsal import Moment
from tests.lab.shell import LabError

TIMES = {"noop": 0.32, "floor": 10.0, "restart": 1.7, "parallel.run": 66.0, "rolling.run": 17.3, "parallel.pause": 0.9, "rolling.pause": 0.02,
         "rolling.away": 2.4}  # fmt: skip


def test_a_ratio_is_of_two_times_of_the_same_run() -> None:
    found = {line.name: line for line in figures.lines(TIMES)}
    assert found["parallel, whole run / floor"].ratio == 6.6
    assert found["rolling, whole run / floor"].ratio == 1.73


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(18.0, "aim reached"), (18.1, "within the bar"), (25.0, "within the bar"), (25.1, "OVER THE BAR")],
)
def test_bar_and_aim(seconds: float, verdict: str) -> None:
    (line,) = figures.lines({"floor": 10.0, "rolling.run": seconds})
    assert line.verdict == verdict


def test_a_figure_with_a_bar_for_the_value_itself() -> None:
    (line,) = figures.lines({"rolling-1GB.memory": 40.0})
    assert (line.ratio, line.verdict) == (40.0, "within the bar")


def test_what_was_not_measured_is_left_out() -> None:
    assert figures.lines({"rolling.run": 17.3}) == []
    assert figures.lines({"rolling.run": 17.3, "floor": 0.0}) == []


def test_a_lost_write_or_failed_read_fails_every_run_but_the_naive() -> None:
    counts = {"parallel: acknowledged writes lost": 0, "rolling: failed reads": 2, "naive: failed reads": 900}
    assert figures.broken_promises(counts) == ["rolling: failed reads: 2"]


def test_what_is_inherent_is_a_note_and_no_broken_promise(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.counts["rolling-1: failed reads"] = 22
    results.inherent("rolling-1: failed reads", "nothing answers")
    results.inherent("not measured", "never")
    assert (results.counts, results.notes) == ({}, ["rolling-1: failed reads: 22; nothing answers"])


def test_each_figure_over_its_bar_has_a_reason() -> None:
    (reason,) = figures.reasons(figures.lines({"floor": 10.0, "rolling.run": 26.0}))
    assert reason.startswith("rolling, whole run / floor: a chain of tasks")
    assert figures.reasons(figures.lines({"floor": 10.0, "rolling.run": 24.0})) == []


def test_a_run_of_more_tasks_than_the_bar_is_named() -> None:
    assert figures.too_many_tasks({**figures.MOST_TASKS, "upstream": 999}) == []
    bar = figures.MOST_TASKS["rolling"]
    assert figures.too_many_tasks({"rolling": bar + 1}) == [f"rolling: {bar + 1} tasks, the bar is {bar}"]


def test_the_table_has_a_line_for_each_figure() -> None:
    text = figures.table(figures.lines(TIMES))
    assert len(text.splitlines()) == 2 + len(figures.lines(TIMES))
    assert len({len(line) for line in text.splitlines()}) == 1


def test_the_chart_is_well_formed_with_a_bar_per_run_and_pause() -> None:
    root = ET.fromstring(chart.svg(TIMES))
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == 1 + 3 + 2


def test_a_part_that_stops_leaves_the_others(tmp_path: Path) -> None:
    def stops(results: Results) -> None:
        raise LabError("no room")

    def measures(results: Results) -> None:
        results.values["floor"] = 10.0

    results = Results(tmp_path)
    assert program.run(results, [stops, measures]) == ["stops stopped: no room"]
    assert results.values == {"floor": 10.0}


@pytest.mark.parametrize(
    ("name", "expected"), [("parallel.run", "s"), ("parallel.disk", "MB"), ("rolling-1GB.memory", "MiB"), ("noop", "s")]
)
def test_a_value_has_the_unit_that_its_name_says(name: str, expected: str) -> None:
    assert unit(name) == expected


def test_the_most_that_a_process_of_python_had_in_memory() -> None:
    used = bytearray(b"x" * (80 << 20))
    assert 80 < peaks.resident_mib(os.getpid()) < 2000
    del used
    # Not of the collection's modules, and one that has ended.
    assert peaks.resident_mib(1) == 0.0
    assert peaks.resident_mib(2**22 + 1) == 0.0


def test_where_the_time_of_a_run_goes() -> None:
    moments = [
        Moment(0.5, "PLAY", "PREPARE"),
        Moment(0.75, "TASK", "pi_controller.raft_migration.prepare : Backup | Copy"),
        Moment(2.0, "PLAY", "CUTOVER"),
        Moment(2.0, "TASK", "Backup | Copy"),
        Moment(2.5, "TASK", "Fence | Set"),
    ]
    assert profile.durations(moments, 6.0)[-1] == ("CUTOVER", "Fence | Set", 3.5)
    text = profile.tables(moments, 6.0)
    assert "| PREPARE | 1 | 1.2 |\n| CUTOVER | 2 | 4.0 |" in text
    assert "| Fence \\| Set | 1 | 3.5 |\n| Backup \\| Copy | 2 | 1.8 |" in text

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core import waiting
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.waiting import wait_until


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves."""

    class Clock:
        now = 100.0
        slept: list[float] = []

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)
            self.now += seconds

    one = Clock()
    one.slept = []
    monkeypatch.setattr(waiting, "time", one)
    return one


def test_no_time_is_exactly_one_look(clock):
    looks = []
    waited = wait_until(lambda: looks.append(1), lambda _value: False, 0)
    assert (waited.met, len(looks), clock.slept) == (False, 1, [])


def test_ends_with_the_first_value_that_is_right(clock):
    values = iter([1, 2, 3, 4])
    waited = wait_until(lambda: next(values), lambda value: value == 3, 10, 0.5)
    assert (waited.met, waited.value, waited.elapsed) == (True, 3, 1.0)


def test_looks_once_more_at_the_deadline(clock):
    waited = wait_until(lambda: clock.now, lambda value: value >= 101.0, 1.0, 0.4)
    assert waited.met is True
    assert waited.value == pytest.approx(101.0)


def test_gives_up_with_the_last_value(clock):
    waited = wait_until(lambda: clock.now, lambda _value: False, 1.0, 0.4)
    assert (waited.met, waited.value, waited.elapsed) == (False, pytest.approx(101.0), pytest.approx(1.0))


def test_a_slow_look_that_began_before_the_deadline_is_not_the_last(clock):
    looked_at = []

    def look() -> None:
        looked_at.append(clock.now)
        clock.now += 0.7

    wait_until(look, lambda _value: False, 1.0, 0.1)
    assert looked_at[-1] >= 101.0


def test_the_first_pauses_have_their_own_lengths(clock):
    waited = wait_until(lambda: clock.now, lambda _value: False, 0.5, 0.2, first=(0.02, 0.03))
    assert waited.met is False
    assert clock.slept == [0.02, 0.03, 0.2, 0.2, pytest.approx(0.05)]


def test_a_first_pause_ends_at_the_deadline(clock):
    wait_until(lambda: clock.now, lambda _value: False, 0.1, 0.2, first=(0.02, 5))
    assert clock.slept == [0.02, pytest.approx(0.08)]

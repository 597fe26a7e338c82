# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module that asks daemons, against hostile ones: 15 seconds here, 10 minutes with `make fuzz`, other times with FUZZ=SECONDS."""

from __future__ import annotations

import os
import random
import time

import fuzzing
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisException

SECONDS = float(os.environ.get("FUZZ") or 15)
ROUND = 40
# However busy the machine is: fewer prove nothing.
LEAST = 30


@pytest.mark.slow
def test_no_module_crashes_hangs_or_leaks(capsys: pytest.CaptureFixture[str]) -> None:
    tally, end = fuzzing.Tally(), time.monotonic() + SECONDS
    failures: dict[str, int] = {}
    while (time.monotonic() < end or tally.inputs < LEAST) and len(failures) < 5:
        number = random.randrange(1 << 32)
        try:
            one_round(tally, number, end)
        except (fuzzing.Crash, fuzzing.Hang, fuzzing.Leak, HypothesisException) as error:
            failures[f"{type(error).__name__}: {str(error)[-1500:]}"] = number
            if isinstance(error, fuzzing.Hang):
                # Its thread goes on printing into what comes next.
                break
    with capsys.disabled():
        print(f"\nfuzz: {tally} in {SECONDS:g} s")
    assert failures == {}


def one_round(tally: fuzzing.Tally, number: int, end: float) -> None:
    @seed(number)
    @settings(
        max_examples=ROUND,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(fuzzing.attacks())
    def attacked(attack: tuple[str, str, list[dict[str, fuzzing.Answer]], bool]) -> None:
        if time.monotonic() < end or tally.inputs < LEAST:
            fuzzing.attack(*attack, tally)

    attacked()

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from conftest import import_plugin

durations = import_plugin("module_utils._core.durations")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30),
        ("2m", 120),
        ("1m30s", 90),
        ("1h", 3600),
        ("1h5s", 3605),
        ("1h2m3s", 3723),
        ("90s", 90),
        (" 30s ", 30),
        (45, 45),
        ("45", 45),
        (0, 0),
    ],
)
def test_reads_durations(written, seconds):
    assert durations.parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "s",
        "m30s",
        "30s1m",
        "1m1m",
        "1.5m",
        "30 s",
        "30S",
        "2min",
        "-30s",
        "1d",
        "٣s",
        True,
        None,
        1.5,
        -1,
        ["30s"],
    ],
)
def test_an_invalid_duration_is_refused_with_the_valid_form(written):
    with pytest.raises(durations.DurationError, match="1m30s") as refused:
        durations.parse_duration(written)
    assert str(written) in str(refused.value)

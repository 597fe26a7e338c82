# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each strategy would cost a cluster, from what pre-flight has measured, and which one is recommended."""

from __future__ import annotations

import re
from typing import Any

import preflight_world as world
from conftest import import_plugin

preflight = import_plugin("module_utils._preflight.judge")
MIB = world.MIB


def expected(seen: dict[str, Any], strategy: str = "parallel", **owner: Any) -> list[str]:
    return preflight.expected(seen, world.settings() | {"strategy": strategy}, world.owner() | owner)


def measured(size: int, rate: int, digest: float) -> dict[str, Any]:
    seen = world.healthy()
    for pi in seen["host"].values():
        pi["database"].update(bytes=size * MIB, digest_seconds=digest)
        pi["write_speed"] = rate * MIB
    return seen


def test_pause_time_and_disk_of_both_strategies() -> None:
    parallel, rolling = expected(measured(100, 50, 2.0))[:2]
    # 1.5 s, 6 times 2 s to write, 2 times 2 s to digest; three Pis, and 16 times 2 s.
    assert parallel.startswith("parallel (configured): write pause of about 18 s, at least 1 min 30 s, up to ")
    assert rolling.startswith("rolling: write pause of one ")
    assert ", at least 49.0 s, up to " in rolling


def test_it_shows_the_pause_that_a_database_is_refused_for() -> None:
    seen = measured(40, 100, 0.8)
    by_api = expected(seen)[0]
    for view in seen["cluster"].values():
        view["capabilities"] = ["transfer"]
    through = expected(seen)[0]
    findings = preflight.evaluate(seen, world.settings(), world.owner())
    (refused,) = [finding.seen for finding in findings if finding.check == "write pause"]
    (pause,) = re.findall(r"about \d+ s", refused)
    assert f"write pause of {pause}, " in through
    # What is sent in the pause is sent in transfer as well, and the time says so.
    assert through.split("at least ")[1].split(",")[0] != by_api.split("at least ")[1].split(",")[0]
    assert through.split("up to ")[1] != by_api.split("up to ")[1]


def test_the_pi_that_needs_most_room_is_named() -> None:
    seen = measured(10, 50, 0.1)
    seen["host"]["pi-2"]["database"]["bytes"] = 60 * MIB
    parallel, rolling = expected(seen)[:2]
    assert parallel.endswith("MiB more on the disk of pi-2")
    assert rolling.endswith("MiB more on the disk of pi-2")


def test_rolling_is_recommended_unless_a_pi_cannot_hand_its_data_over() -> None:
    seen = measured(1, 50, 0.1)
    assert expected(seen)[-1].startswith("Recommended: rolling, set migration.strategy to rolling (")
    assert expected(seen, "rolling")[-1].startswith("Recommended: rolling, as configured (")
    seen["host"]["pi-2"]["paths"]["data_dir"]["is_mount_point"] = True
    assert expected(seen)[-1].startswith("Recommended: parallel, as configured (with rolling, pi-2: ")
    assert "is a mount point" in expected(seen)[-1]


def test_a_leader_that_cannot_hand_over_costs_an_election() -> None:
    seen = measured(1, 50, 0.1)
    for view in seen["cluster"].values():
        view["capabilities"] = []
    assert "write pause of one election" in expected(seen)[1]
    for view in seen["cluster"].values():
        view["capabilities"] = ["transfer"]
    assert "write pause of one change of leadership" in expected(seen)[1]
    assert "each Pi's clients are refused" in expected(seen, followers_write=True)[1]


def test_what_could_not_be_measured_is_not_predicted() -> None:
    seen = measured(1, 50, 0.1)
    for pi in seen["host"].values():
        pi["write_speed"] = None
    assert "write pause not predicted" in expected(seen)[0]


def test_nothing_without_a_pi_and_once_a_strategy_is_under_way() -> None:
    seen = measured(1, 50, 0.1)
    assert expected({**seen, "host": {}}) == []
    for states in ({"prepare": "failed"}, {"prepare": "done", "transfer": "started"}):
        journals = {host: {"phase_states": states} for host in seen["host"]}
        assert expected({**seen, "journal": journals}) == []

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a benchmark: each a lab, and what is measured on it. A part that stops leaves the others to be measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.e2e import hosts as on
from tests.e2e import rehearsal

from . import measure
from .results import Results

# MB of the databases that owners have: one as in a bug report, and one that no pause could be long enough to carry.
USUAL, LARGE = 137, 1000
# MiB of a small Pi, and the share of a core of a slow one.
SMALL, SLOW = "512", "0.2"
# MiB of a Pi's disk that take the usual database with its copies.
DISK = "4096"
STALE_CUTOVER, STALE_UPSTREAM = ("--staleness", "2"), ("--staleness", "4")
# Followers that share a disk with copies of 1 GB come behind, and answer reads.
STALE_DISK = ("--staleness", "3")


def three_pis(results: Results) -> None:
    """Both strategies there and back, the floor, and the procedure by hand."""
    _up("3", "full")
    measure.no_op(results)
    measure.migration("parallel", "parallel", results, *STALE_CUTOVER)
    measure.floor(results)
    manifest = measure.daemonset()
    measure.rollback("parallel", results)
    rehearsal.old_world("full")
    measure.migration("rolling", "rolling", results)
    measure.rollback("rolling", results)
    rehearsal.old_world("full")
    measure.naive(manifest, results)


def usual_database(results: Results) -> None:
    _up("3", "full", PI_LAB_DISK_MIB=DISK)
    if measure.has_room(USUAL, results):
        measure.fill(USUAL, results)
        measure.migration("parallel-137MB", "parallel", results, *STALE_CUTOVER)


def upstream(results: Results) -> None:
    old_leader = on.leader(_up("3", "upstream"))
    # What a network fence costs reads at the old leader's own address is allowed for by the tests, which know when it was.
    allowed = ("--allow-failed-reads-at", old_leader, "--between", "0", "99999999999")
    measure.migration("upstream", "parallel", results, *STALE_UPSTREAM, *allowed)
    rehearsal.lab("reset", "--profile", "upstream")
    measure.migration("upstream-rolling", "rolling", results, *STALE_UPSTREAM)


def published(results: Results) -> None:
    """A daemon that keeps each Pi's data to itself is moved Pi by Pi. `PROFILE=published make demo` judges its failed reads by the turns."""
    _up("3", "published")
    measure.migration("published-rolling", "rolling", results)
    for kind in ("failed reads", "stale reads"):
        results.inherent(
            f"published-rolling: {kind}", "its clients are refused while it restarts, and no other Pi has its data"
        )


def large_database(results: Results) -> None:
    """On small Pis."""
    _up("3", "full", MEMORY=SMALL)
    if not measure.has_room(LARGE, results):
        return
    measure.no_op(results, "noop-512MiB")
    measure.migration("rolling-512MiB", "rolling", results)
    rehearsal.lab("reset", "--profile", "full")
    measure.fill(LARGE, results)
    refused = measure.refusal("parallel-1GB", "parallel", results)
    measure.migration("rolling-1GB", "rolling", results, *STALE_DISK, memory=True)
    if not refused:
        rehearsal.lab("reset", "--profile", "full")
        measure.fill(LARGE, results)
        measure.migration("parallel-1GB", "parallel", results, *STALE_DISK, memory=True)


def other_sizes(results: Results) -> None:
    """Five Pis and one, and what each further Pi takes."""
    for number in ("5", "1"):
        _up(number, "full")
        measure.migration(f"parallel-{number}", "parallel", results, *STALE_CUTOVER)
        rehearsal.lab("reset", "--profile", "full")
        measure.migration(f"rolling-{number}", "rolling", results)
    for strategy in ("parallel", "rolling"):
        results.inherent(f"{strategy}-1: failed reads", "while the only daemon restarts nothing answers")
        three = results.values.get(f"{strategy}.run")
        if three is not None:
            results.values[f"{strategy}-5.further"] = (results.values[f"{strategy}-5.run"] - three) / 2
            results.values[f"{strategy}.third"] = three / 3


def slow_pis(results: Results) -> None:
    _up("3", "full", CPU=SLOW)
    measure.no_op(results, "noop-slow")
    measure.migration("parallel-slow", "parallel", results, "--staleness", "6")
    rehearsal.lab("reset", "--profile", "full")
    measure.migration("rolling-slow", "rolling", results, "--staleness", "6")


SHORT: Sequence[Callable[[Results], None]] = (three_pis,)
PARTS = (*SHORT, usual_database, upstream, published, large_database, other_sizes, slow_pis)


def _up(nodes: str, profile: str, **options: str) -> list[str]:
    """A lab of this kind that no migration has touched; returns the hosts' names."""
    if "PI_LAB_DISK_MIB" in options:
        # Of one that is up its disks are what they are.
        rehearsal.lab("down")
    rehearsal.lab("up", "--nodes", nodes, "--profile", profile, **options)
    return rehearsal.old_world(profile)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.bench`: both strategies, the floor and the procedure by hand on one fresh lab, as ratios of times of the same run.

python -m tests.bench                 # three Pis, both strategies, both profiles, databases of up to 1 GB, about 20 minutes
python -m tests.bench --short         # three Pis, profile full, about 6 minutes
python -m tests.bench --docs          # and write docs/benchmark.md and docs/images/benchmark.svg
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from tests.e2e import hosts as on
from tests.e2e import pace, rehearsal
from tests.lab import state as states
from tests.lab.shell import LabError

from . import chart, figures, measure

DOCS = rehearsal.REPOSITORY / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="leave out profile upstream and large databases")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmark.md and its chart")
    parser.add_argument("--folder", type=Path, help="keep logs, histories and results here")
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pi-migration-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    times = measure.Times()
    counts: dict[str, int] = {}
    tasks: dict[str, int] = {}
    stopped: list[str] = []
    try:
        run(folder, times, counts, tasks, options.short)
    except (LabError, TimeoutError) as error:
        stopped = [f"the benchmark stopped: {error}"]
    found = figures.lines(times)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}; {states.require().options}"
    reached = [vars(line) | {"verdict": line.verdict} for line in found]
    result = {"machine": machine, "times": dict(times), "counts": counts, "tasks": tasks, "figures": reached}
    (folder / "bench.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / "bench.svg").write_text(chart.svg(times))
    broken = stopped + figures.broken_promises(counts) + figures.too_many_tasks(tasks)
    print(f"\n{machine}\n\n{figures.table(found)}\n")
    print("tasks: " + ", ".join(f"{name} {count}" for name, count in tasks.items()))
    print(
        "\n".join(f"BROKEN: {text}" for text in broken)
        or "acknowledged writes lost, failed reads, stale reads: 0 in every run of the collection"
    )
    print(f"logs, histories and bench.json: {folder}")
    if options.docs and not stopped:
        write_docs(machine, times, counts, tasks, found)
    return 1 if broken else 0


def run(folder: Path, times: measure.Times, counts: dict[str, int], tasks: dict[str, int], short: bool) -> None:
    rehearsal.old_world("full")
    times["noop"] = pace.no_op(folder)
    measure.migration("parallel", "parallel", folder, times, counts, tasks, "--staleness", "2")
    times["floor"], times["restart"] = measure.restarts()
    manifest = measure.daemonset()
    measure.rollback("parallel", folder, times, counts)
    rehearsal.old_world("full")
    measure.migration("rolling", "rolling", folder, times, counts, tasks)
    measure.rollback("rolling", folder, times, counts)
    rehearsal.old_world("full")
    measure.naive(manifest, folder, times, counts)
    if short:
        rehearsal.lab("reset", "--profile", "full")
        return
    # A database as owners have it, and one that no pause could be long enough to carry.
    rehearsal.old_world("full")
    if measure.has_room(137):
        measure.fill(137, times)
        measure.migration("parallel-137MB", "parallel", folder, times, counts, tasks, "--staleness", "2")
    rehearsal.lab("reset", "--profile", "full")
    if measure.has_room(1000):
        measure.fill(1000, times)
        measure.migration("rolling-1GB", "rolling", folder, times, counts, tasks)
    rehearsal.lab("reset", "--profile", "upstream")
    names = rehearsal.old_world("upstream")
    old_leader = on.leader(names)
    # What a network fence costs reads at the old leader's own address is allowed for by the tests, which know when it was.
    measure.migration(
        "upstream",
        "parallel",
        folder,
        times,
        counts,
        tasks,
        "--staleness",
        "4",
        "--allow-failed-reads-at",
        old_leader,
        "--between",
        "0",
        "99999999999",
    )
    rehearsal.lab("reset", "--profile", "upstream")
    measure.migration("upstream-rolling", "rolling", folder, times, counts, tasks, "--staleness", "4")
    rehearsal.lab("reset", "--profile", "full")


def write_docs(
    machine: str, times: measure.Times, counts: dict[str, int], tasks: dict[str, int], found: Sequence[figures.Line]
) -> None:
    """The figures of this run, for readers."""
    (DOCS / "images/benchmark.svg").write_text(chart.svg(times))
    rows = "\n".join(f"| {name} | {seconds:.2f} |" for name, seconds in times.items())
    day = datetime.now(timezone.utc).date()
    (DOCS / "benchmark.md").write_text(f"""# Benchmark

Written by `make bench DOCS=yes` on {day}: {
        machine
    }. Three hosts share these cores, so compare the ratios, not the seconds.

*Floor*: two bare rolling restarts of the DaemonSet, pod by pod. *No-op*: one ping task on all Pis. *By hand* (naive): stop all units,
copy their data, start pods on it; clients meet no daemon for all of that time.

{figures.table(found)}

![Seconds of the whole runs and of the write pauses](images/benchmark.svg)

| time | seconds |
|---|---|
{rows}

Acknowledged writes lost, failed reads and stale reads in the runs of the collection: {
        sum(count for name, count in counts.items() if not name.startswith("naive"))
    }.
By hand: {counts.get("naive: failed reads", 0)} reads failed.

Ansible tasks of a whole run: {", ".join(f"{name} {count}" for name, count in tasks.items())}.
""")


if __name__ == "__main__":
    sys.exit(main())

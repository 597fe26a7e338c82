# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.bench`: both strategies, the floor and the procedure by hand, as ratios of times of the same run.

python -m tests.bench                  # all parts, about 40 minutes
python -m tests.bench --short          # three Pis, profile full, about 6 minutes
python -m tests.bench upstream         # these parts: see labs.py
python -m tests.bench --docs           # and write docs/benchmark.md and docs/images/benchmark.svg
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from tests.e2e import rehearsal
from tests.lab import state as states
from tests.lab.shell import LabError

from . import chart, figures, labs
from .results import Results, unit

DOCS = rehearsal.REPOSITORY / "docs"
# The runs whose profiles are in docs; those of all are in bench.json.
PROFILED = ("parallel", "upstream", "rolling", "parallel-137MB", "rolling-1GB")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", choices=[part.__name__ for part in labs.PARTS], metavar="part")
    parser.add_argument("--short", action="store_true", help=f"the same as {labs.SHORT[0].__name__}")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmark.md and its chart")
    parser.add_argument("--folder", type=Path, help="keep logs, histories and results here")
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pi-migration-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(folder)
    wanted = options.part or [part.__name__ for part in (labs.SHORT if options.short else labs.PARTS)]
    stopped = run(results, [part for part in labs.PARTS if part.__name__ in wanted])
    found = figures.lines(results.values)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}; {states.require().options}"
    reached = [vars(line) | {"verdict": line.verdict} for line in found]
    result = {
        **{key: value for key, value in vars(results).items() if key != "folder"},
        "machine": machine,
        "figures": reached,
    }
    (folder / "bench.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / "bench.svg").write_text(chart.svg(results.values))
    broken = stopped + figures.broken_promises(results.counts) + figures.too_many_tasks(results.tasks)
    print("\n".join(["", machine, "", figures.table(found), "", *results.notes]))
    print("\n".join(f"\n{name}: {results.profiles[name]}" for name in PROFILED if name in results.profiles))
    print("tasks: " + ", ".join(f"{name} {count}" for name, count in results.tasks.items()))
    print(
        "\n".join(f"BROKEN: {text}" for text in broken)
        or "acknowledged writes lost, failed reads, stale reads: 0 in every run of the collection"
    )
    print(f"logs, histories and bench.json: {folder}")
    if options.docs and not stopped:
        write_docs(machine, results, found, wanted)
    return 1 if broken else 0


def run(results: Results, parts: Sequence[Callable[[Results], None]]) -> list[str]:
    """What stopped. A part that does leaves the others to be measured."""
    stopped = []
    for number, part in enumerate(parts, 1):
        print(f"bench ({number}/{len(parts)}): {part.__name__}", flush=True)
        try:
            part(results)
        except (LabError, TimeoutError) as error:
            stopped.append(f"{part.__name__} stopped: {error}")
            print(f"bench: {stopped[-1]}", flush=True)
    return stopped


def write_docs(machine: str, results: Results, found: Sequence[figures.Line], parts: Sequence[str]) -> None:
    """The figures of this run, for readers."""
    (DOCS / "images/benchmark.svg").write_text(chart.svg(results.values))
    rows = "\n".join(f"| {name} | {value:.2f} {unit(name)} |" for name, value in results.values.items())
    notes = "\n".join(f"- {note}" for note in results.notes)
    reasons = "\n".join(f"- {reason}." for reason in figures.reasons(found))
    profiles = "\n\n".join(f"### {name}\n\n{results.profiles[name]}" for name in PROFILED if name in results.profiles)
    lost = sum(count for name, count in results.counts.items() if not name.startswith("naive"))
    day = datetime.now(timezone.utc).date()
    (DOCS / "benchmark.md").write_text(f"""# Benchmark

Written by `make bench BENCH="{" ".join(parts)}" DOCS=yes` on {day}. {machine}.

All hosts share these cores, with the witness, whose clients read and write all the time. So compare the ratios, not the seconds.

*Floor*: two bare rolling restarts of the DaemonSet, pod by pod. *No-op*: one ping task on all Pis. *By hand* (naive): stop all units,
copy their data, start pods on it; clients meet no daemon for all of that time.

{figures.table(found)}

![Seconds of the whole runs and of the write pauses](images/benchmark.svg)

Acknowledged writes lost, failed reads and stale reads in the runs of the collection, apart from those named below with their reason:
{lost}.
By hand: {results.counts.get("naive: failed reads", 0)} reads failed.

Ansible tasks of a whole run: {", ".join(f"{name} {count}" for name, count in results.tasks.items())}.

{notes}

Over their bars:

{reasons}

Names without a number are runs on three Pis. `back` is the rollback, `away` the longest time that a Pi had no daemon, `disk` the most that a Pi's
disk had more in it than before, `state` the size of the database, `memory` the most that one process of Python had on a Pi, `further`
what each Pi beyond three takes.

| value | |
|---|---|
{rows}

## Where the time goes

A run is a chain of tasks. Each is templates and a process for every Pi on the control node, an ssh command, and Python's start on the Pi, and
here all Pis and the control node share the same cores. Which tasks stay apart on purpose is in
[decision 15](decisions/0015-few-and-large-tasks.md), what one costs in [decision 18](decisions/0018-the-modules-code-is-kept-on-the-pi.md).

{profiles}
""")


if __name__ == "__main__":
    sys.exit(main())

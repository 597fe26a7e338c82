# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault suite: `python -m tests.faults` runs the matrix and prints it; the lab must be up.

python -m tests.faults                               # everything, about an hour and a half
python -m tests.faults --strategy rolling            # all of one strategy
python -m tests.faults --chosen                      # those of `make test`
python -m tests.faults --only cutover/reboot         # a case by its name (again for more: they share a migration);
                                                     # Pi by Pi it begins with the strategy: rolling/cutover/reboot-gate-shut
python -m tests.faults --fault reboot                # a column of the matrix
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.e2e import pace, rehearsal
from tests.lab.shell import LabError

from . import table
from .case import ORDER, Case, Chain, chained
from .chain import Runner
from .pis import Pis
from .verdict import Line, judge


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], metavar="CASE", help="this case (again for more)")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="FAULT", help="all cases of this fault (again for more)"
    )
    parser.add_argument("--chosen", action="store_true", help="the few that represent all")
    parser.add_argument("--strategy", choices=tuple(rehearsal.STRATEGIES), help="only cases of this strategy")
    parser.add_argument("--profile", choices=("full", "upstream"), help="only cases of this profile")
    parser.add_argument("--list", action="store_true", help="list the migrations that would be run, and their cases")
    parser.add_argument("--folder", type=Path, help="keep logs and results here")
    options = parser.parse_args(arguments)
    try:
        chains = choose(options)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        for chain in chains:
            print(f"{chain.name}: {', '.join(case.name for case in chain.cases)}")
        return 0
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pi-migration-faults-"))
    lines: list[Line] = []
    try:
        factor = pace.factor()
        for chain in chains:
            lines += run(chain, folder / chain.name, factor)
    except LabError as error:
        print(f"faults: {error}", file=sys.stderr)
        return 2
    finally:
        (folder / "results.json").parent.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n")
    print(matrix(lines))
    print(f"logs, histories and verdicts: {folder}")
    return 1 if any(line.failed for line in lines) else 0


def choose(options: argparse.Namespace) -> list[Chain]:
    """The migrations to run."""
    if options.chosen:
        return [chain for chain in table.chosen_chains() if options.strategy in (None, chain.strategy)]
    cases: list[Case] = table.EVERYTHING
    if options.only or options.fault:
        known = {case.name for case in cases} | {case.fault for case in cases}
        if unknown := [name for name in (*options.only, *options.fault) if name not in known]:
            raise ValueError(f"there is no case {', '.join(unknown)}; --list shows them all")
        cases = [case for case in cases if case.name in options.only or case.fault in options.fault]
    cases = [
        case for case in cases if options.profile in (None, case.profile) and options.strategy in (None, case.strategy)
    ]
    return chained(cases, together=bool(options.only))


def run(chain: Chain, folder: Path, factor: float) -> list[Line]:
    folder.mkdir(parents=True)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {chain.name}: {text}", flush=True)

    rehearsal.lab("reset", "--profile", chain.profile)
    pis = Pis.up(chain.strategy)
    with rehearsal.witnessed(folder) as witness:
        runner = Runner(pis, chain, folder, say)
        course = runner.run()
    lines = judge(course, witness, pis, factor)
    for line in lines:
        say(f"{line.case.name}: {line.outcome}" + "".join(f"\n          {fault}" for fault in line.faults[:6]))
    return lines


def matrix(lines: Sequence[Line]) -> str:
    """One for each strategy. Phase by fault: outcome, seconds to safety, longest write pause, runs it took."""
    by_strategy = {way: [line for line in lines if line.case.strategy == way] for way in rehearsal.STRATEGIES}
    return "\n".join(_matrix(way, found) for way, found in by_strategy.items() if found or not lines)


def _matrix(strategy: str, lines: Sequence[Line]) -> str:
    out = [
        "",
        f"strategy {strategy}",
        f"{'phase':<17} {'fault':<28} {'profile':<9} {'outcome':<24} {'safe after':>10} {'write pause':>12} {'runs':>5} {'reads excused':>14}",
    ]
    for line in sorted(lines, key=lambda line: (ORDER.index(line.case.phase), line.case.label)):
        out.append(
            f"{line.case.phase:<17} {line.case.label:<28} {line.case.profile:<9} {line.outcome:<24} {_seconds(line.safety):>10} "
            f"{_seconds(line.pause):>12} {line.runs:>5} {line.allowed:>14}"
        )
        out += [f"    {fault}" for fault in line.faults[:8]]
    failed = sum(line.failed for line in lines)
    worst = max((line.safety for line in lines if line.safety is not None), default=0.0)
    return "\n".join(
        [*out, "", f"{strategy}: {len(lines)} cases, {failed} failed; safe again after at most {worst:.1f} s"]
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


if __name__ == "__main__":
    sys.exit(main())

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.matrix`: a migration and a rollback on each corner of the supported versions, under the witness.

python -m tests.matrix                    # all corners, about 25 minutes
python -m tests.matrix oldest nftables    # these
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab.shell import LabError

from .corners import CORNERS, NOT_SLOWER, REPOSITORY, Corner, has_kernel_module

# What tests/lab/options.py reads.
OF_THE_LAB = ("KUBERNETES", "SUITE", "PROXY", "DATASTORE", "CPU", "BACKENDS", "FAMILY", "MEMORY")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tests.matrix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "corner",
        nargs="*",
        choices=[corner.name for corner in CORNERS],
        help="all of them if none is named",
        metavar="corner",
    )
    parser.add_argument("--folder", type=Path, help="keep logs and results here")
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pi-migration-matrix-"))
    wanted = [corner for corner in CORNERS if not options.corner or corner.name in options.corner]
    results: list[dict[str, Any]] = []
    for number, corner in enumerate(wanted, 1):
        print(f"matrix ({number}/{len(wanted)}): {corner.name}", flush=True)
        results.append(run(corner, folder / corner.name))
        print(line(results[-1]), flush=True)
    faults = [fault for result in results for fault in result["faults"]] + slower_than_allowed(results)
    (folder / "matrix.json").write_text(json.dumps(results, indent=2) + "\n")
    print("\n" + "\n".join([HEADER, *map(line, results)]))
    print("\n".join(f"    {fault}" for fault in faults))
    skipped = sum("skipped" in result for result in results)
    print(f"logs, histories and verdicts: {folder}")
    print(f"matrix: {len(results) - skipped} corners run, {skipped} skipped, {len(faults)} faults")
    return 1 if faults else 0


def run(corner: Corner, folder: Path) -> dict[str, Any]:
    """One corner in a process of its own, with the ansible-core it is for."""
    folder.mkdir(parents=True)
    empty = {"corner": corner.name, "faults": []}
    if corner.kernel_module and not has_kernel_module(corner.kernel_module):
        return {**empty, "skipped": f"this kernel has no module {corner.kernel_module}"}
    environment = {name: value for name, value in os.environ.items() if name not in OF_THE_LAB}
    environment |= corner.lab
    try:
        venv = subprocess.run(
            [REPOSITORY / "tests/lab/environment.sh"], env=environment | ({"CONTROLLER": corner.controller} if corner.controller else {}),
            text=True, stdout=subprocess.PIPE, check=True, cwd=REPOSITORY,
        ).stdout.strip()  # fmt: skip
        for verb in (["down"], ["up", "--nodes", "3", "--profile", "full"]):
            subprocess.run(["python3", "-m", "tests.lab", *verb], env=environment, cwd=REPOSITORY, check=True)
        out = folder / "result.json"
        began = time.monotonic()
        command = [f"{venv}/bin/python", "-m", "tests.matrix.corner", str(folder), str(out)]
        done = subprocess.run(command, env=environment, cwd=REPOSITORY, check=False)
        if done.returncode or not out.exists():
            return {
                **empty,
                "faults": [
                    f"{corner.name}: ended with {done.returncode} after {time.monotonic() - began:.0f} s; see {folder}"
                ],
            }
    except (subprocess.CalledProcessError, LabError) as error:
        return {**empty, "faults": [f"{corner.name}: {error}"]}
    result = json.loads(out.read_text())
    return {**empty, **result, "faults": [f"{corner.name}: {fault}" for fault in result["faults"]]}


def slower_than_allowed(results: Sequence[dict[str, Any]]) -> list[str]:
    """Ratios within this run, so that a slow machine breaks none."""
    seconds = {result["corner"]: result["migration_seconds"] for result in results if "migration_seconds" in result}
    faults = []
    for name, bar in NOT_SLOWER.items():
        if name in seconds and "newest" in seconds and seconds[name] > bar * seconds["newest"]:
            faults.append(
                f"{name}: {seconds[name]:.1f} s is more than {bar} of the {seconds['newest']:.1f} s of the corner newest"
            )
    return faults


HEADER = f"{'corner':<10} {'what runs':<86} {'forth':>8} {'back':>8} {'write pause':>12} {'lost':>5} {'failed reads':>13} {'deprecated':>11}"


def line(result: dict[str, Any]) -> str:
    if "skipped" in result:
        return f"{result['corner']:<10} SKIPPED: {result['skipped']}"
    if "migration_seconds" not in result:
        return f"{result['corner']:<10} FAILED: {'; '.join(result['faults'])}"
    return (
        f"{result['corner']:<10} {result['what']:<86} {result['migration_seconds']:>6.1f} s {result['rollback_seconds']:>6.1f} s "
        f"{result['write_pause']:>10.2f} s {result['lost']:>5} {result['failed_reads']:>13} {result['deprecated_calls']:>11}"
    )


if __name__ == "__main__":
    sys.exit(main())

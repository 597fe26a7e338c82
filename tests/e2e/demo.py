# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: migrate the lab's live cluster under traffic and print what the witness saw."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.lab.shell import LabError

from . import hosts as on
from . import pace, rehearsal, way_back

# A demo judges the migration, not the machine: one that is so many times slower passes.
SLOWER = 4.0
LIMITS = {
    ("parallel", "full"): rehearsal.CALM,
    ("parallel", "upstream"): rehearsal.CALM_UPSTREAM,
    ("rolling", "full"): way_back.HANDED_OVER,
    ("rolling", "upstream"): way_back.ELECTED,
    # Outside of its turn each Pi answers as ever.
    ("rolling", "published"): way_back.HANDED_OVER,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=["full", "upstream", "published"], default="full")
    parser.add_argument(
        "--strategy", choices=["", *rehearsal.STRATEGIES], default="", help="the one that fits the profile, if empty"
    )
    arguments = parser.parse_args()
    # A daemon that keeps each Pi's data to itself can only go Pi by Pi.
    strategy = arguments.strategy or ("rolling" if arguments.profile == "published" else "parallel")
    try:
        if (arguments.profile, strategy) == ("published", "parallel"):
            return refusal()
        return demonstrate(arguments.profile, strategy)
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def refusal() -> int:
    """What pre-flight says of a cluster that `parallel` would take rows from."""
    rehearsal.old_world("published")
    log = Path(tempfile.mkdtemp(prefix="pi-migration-published-")) / "ansible.log"
    migrated = playbook("migrate", log, *rehearsal.strategy_arguments("parallel"), confirm="true")
    print(
        "\nThis is the refusal that was to be shown: `make demo PROFILE=published` migrates with strategy rolling\n"
        if not migrated
        else ""
    )
    return 1 if migrated else 0


def demonstrate(profile: str, strategy: str) -> int:
    hosts = rehearsal.old_world(profile)
    apart = profile == "published"
    chosen = [*rehearsal.strategy_arguments(strategy), *(rehearsal.PUBLISHED if apart else ())]
    old_leader = on.leader(hosts)
    folder = Path(tempfile.mkdtemp(prefix=f"pi-migration-{profile}-"))
    print(f"Clients read and write from here on; everything is kept in {folder}", flush=True)
    with rehearsal.witnessed(folder, apart=apart) as witness:
        began = time.monotonic()
        migrated = playbook("migrate", folder / "ansible.log", *chosen, confirm="true")
        seconds = time.monotonic() - began
    limits = pace.scaled(LIMITS[strategy, profile], SLOWER)
    # A run that went back has put its journal aside, and is not what these limits are for; the demo has failed then, whatever the verdict.
    arguments = rehearsal.phases(folder, hosts) if migrated else []
    if migrated and profile == "upstream":
        arguments += rehearsal.price_of_upstream(old_leader) if strategy == "parallel" else rehearsal.UPSTREAM_LAGS
    if migrated and apart:
        arguments += rehearsal.refused_in_their_turns(folder, hosts)
    verdict, summary = witness.judge(limits, *arguments)
    seen = {
        "raft_migration_witness_verdict": f"{folder}/verdict.json",
        "raft_migration_witness_history": str(witness.history),
    }
    playbook("report", folder / "report.log", *chosen, **seen)
    every = rehearsal.STRATEGIES[strategy]
    phases = rehearsal.phase_seconds(hosts) if migrated else {}
    pause = rehearsal.journal(hosts[0])["phases"]["cutover"]["facts"].get("write_pause_seconds") if migrated else None
    report = {
        "profile": profile,
        "strategy": strategy,
        "hosts": hosts,
        "migrated": migrated,
        "seconds": round(seconds, 1),
        "phases": phases,
        "write_pause_seconds": pause,
        "witness": verdict,
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    kinds = [finding["kind"] for finding in verdict["findings"]]
    print(f"\n{summary}\n")
    allowed = len(verdict["allowed_failed_reads"])
    where = "at each Pi in its own turn" if apart else f"at {old_leader}'s own address, inside the fence"
    print(
        f"{len(phases)} of {len(every)} steps done, "
        f"{sum(kind.startswith('lost') for kind in kinds)} acknowledged writes lost, {kinds.count('failed_read')} failed reads"
        + (f" and {allowed} more {where}" if allowed else "")
    )
    for phase in every:
        print(f"  {phase:<18} {phases[phase]:6.1f} s" if phase in phases else f"  {phase:<18} not done")
    waited = verdict["figures"]["write_pause"]["seconds"]
    fence = f", fence {pause} s" if pause is not None else ""
    print(
        f"  {'whole migration':<18} {seconds:6.1f} s; write pause {waited} s as clients saw it{fence}; report in {folder}/report.json\n"
    )
    subprocess.run(
        ["python3", "-m", "tests.lab", "kubectl", "--", "-n", "pi-controller", "get", "pods", "-o", "wide"],
        cwd=rehearsal.REPOSITORY,
        check=False,
    )
    return 0 if migrated and verdict["ok"] and len(phases) == len(every) else 1


def playbook(name: str, log: Path, *arguments: str, **variables: str) -> bool:
    """One playbook as a user runs it: what the callback shows goes straight to the terminal, or to the file it is sent to."""
    tool = Path(sys.executable).with_name("ansible-playbook")
    command = [str(tool), f"playbooks/{name}.yml", "-i", "inventories/lab", *arguments]
    command += [part for key, value in variables.items() for part in ("-e", f"{key}={value}")]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(rehearsal.REPOSITORY / "ansible.cfg"),
        "ANSIBLE_LOG_PATH": str(log),
    }
    return subprocess.run(command, cwd=rehearsal.REPOSITORY, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())

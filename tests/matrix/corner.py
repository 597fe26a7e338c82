# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One corner on the lab that is up: there and back under the witness, and which deprecated APIs were called."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.lab import machines
from tests.lab import state as states
from tests.lab.kubernetes.upstream import AUDIT_LOG

# The slow Pis' limits are three times these.
LIMITS, STALENESS = rehearsal.Limits(write_pause=15, read_gap=5, recovery=20), 2.0


def main(folder: Path, out: Path) -> int:
    lab = states.require()
    slower = 3 if lab.options.cpu else 1
    names = rehearsal.old_world("full")
    versions = f"{lab.options}; ansible-core {importlib.metadata.version('ansible-core')}, client {importlib.metadata.version('kubernetes')}"
    faults: list[str] = []
    seconds: dict[str, float] = {}
    with rehearsal.witnessed(folder) as witness:
        for name, arguments in (("migrate", ["-e", "confirm=true"]), ("rollback", [])):
            run = rehearsal.run_playbook(f"playbooks/{name}.yml", *arguments, log=folder / f"{name}.log", show=True)
            seconds[name] = run.seconds
            if run.returncode:
                faults.append(f"{name}.yml ended with {run.returncode}: see {folder}/{name}.log")
                break
            if name == "migrate":
                faults += [f"{alert}" for alert in rehearsal.alerts(run)]
    limits = rehearsal.Limits(*(bound * slower for bound in dataclasses.astuple(LIMITS)))
    verdict, summary = witness.judge(limits, "--staleness", str(STALENESS * slower))
    print(summary)
    kinds = [finding["kind"] for finding in verdict["findings"]]
    faults += [f"the witness: {summary.splitlines()[0]}"] if not verdict["ok"] else []
    deprecated = deprecated_calls(audit_log())
    # An Endpoints object of the owner's can only be taken over by a call that is deprecated.
    faults += [f"deprecated: {call}" for call in deprecated] if lab.options.backends == "slices" else []
    if not faults:
        faults += [
            f"{name}: the unit is {on.unit_state(on.host(name))}"
            for name in names
            if on.unit_state(on.host(name)) != ("enabled", "active")
        ]
    result: dict[str, Any] = {
        "what": versions,
        "migration_seconds": seconds.get("migrate", 0.0),
        "rollback_seconds": seconds.get("rollback", 0.0),
        "write_pause": verdict["figures"]["write_pause"]["seconds"],
        "lost": sum(kind.startswith("lost") for kind in kinds),
        "failed_reads": kinds.count("failed_read"),
        "deprecated_calls": len(deprecated),
        "faults": faults,
    }
    out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def audit_log() -> list[dict[str, Any]]:
    """What the API server was asked, as long as the lab has been up."""
    server = states.require().nodes[0]
    printed = machines.execute(server, ["cat", AUDIT_LOG]).stdout
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def deprecated_calls(events: Iterable[dict[str, Any]]) -> list[str]:
    """Calls of the collection to APIs that are deprecated: verb and resource, each once. kubectl's are the lab's own."""
    found: dict[str, None] = {}
    for event in events:
        if event.get("annotations", {}).get("k8s.io/deprecated") != "true" or event.get("userAgent", "").startswith(
            "kubectl"
        ):
            continue
        target = event.get("objectRef", {})
        group = "/".join(filter(None, (target.get("apiGroup"), target.get("apiVersion"))))
        found[
            f"{event.get('verb')} {group} {target.get('resource')} by {event.get('userAgent', '').partition(' ')[0]}"
        ] = None
    return list(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_report
short_description: Write the report of a migration
description:
  - Writes C(migration-report.html), one page that needs no network, and C(migration-report.json), the same facts for
    machines, into a folder of its own below O(dest). The folder has mode 0700, the files 0600.
  - The report says what happened and what state the cluster is in, also of a run that failed or was rolled back. It
    shows phases, leaders, quorum and latency over time, digests and members before and after, alerts, checks, versions
    and the configuration without secrets.
  - Runs on the control node, where the quorum watch has written its samples.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - A report is always a new file.
  idempotent:
    support: none
    details:
      - Every call writes a new report.
options:
  outcome:
    description:
      - How the run ended. V(auto) takes it from O(status).
    type: str
    choices: [auto, migrated, rolled_back, failed, paused]
    default: auto
  status:
    description: What the filter P(pi_controller.raft_migration.migration_status#filter) returned.
    type: dict
    required: true
  hosts:
    description: What M(pi_controller.raft_migration.migration_host_info) returned of each Pi, by host.
    type: dict
    required: true
  contents:
    description: What M(pi_controller.raft_migration.sqlite_info) returned of each Pi's database now, by host.
    type: dict
    default: {}
  contents_again:
    description:
      - The same, read a moment later. Where the Pis differ in O(contents), this tells whether clients are writing, so that
        nothing follows from it, or the Pis do hold different content.
    type: dict
    default: {}
  config:
    description: The configuration that was in force. Values of keys that name a secret are left out.
    type: dict
    required: true
  versions:
    description: Versions to show.
    type: dict
    default: {}
  failure:
    description: Why the run failed, with C(phase), C(task), C(message) and C(host). Else the journals are asked.
    type: dict
  watch_dir:
    description: The folder in which the quorum watch wrote its samples and alerts.
    type: path
  witness_verdict:
    description: The verdict of a witness, as a JSON file.
    type: path
  witness_history:
    description: The history of that witness.
    type: path
  dest:
    description: The folder below which the report gets one of its own, named after the time and the outcome.
    type: path
    required: true
  junit:
    description: Also write the checks there, as JUnit XML.
    type: path
  prometheus:
    description: Also write the key figures there, for the textfile collector of node_exporter.
    type: path
seealso:
  - module: pi_controller.raft_migration.migration_host_info
  - module: pi_controller.raft_migration.migration_cluster_info
"""

EXAMPLES = r"""
- name: Write the report
  pi_controller.raft_migration.migration_report:
    status: "{{ raft_migration_status }}"
    hosts: "{{ raft_migration_all_seen }}"
    config: "{{ raft_migration }}"
    watch_dir: ~/.local/state/pi-controller-migration/watch
    dest: ~/.local/state/pi-controller-migration/reports
    prometheus: /var/lib/node_exporter/textfile/pi_controller_migration.prom
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
path:
  description: The folder of the report.
  returned: success
  type: str
  sample: /root/.local/state/pi-controller-migration/reports/20260131T101500Z-migrated
html:
  description: The page.
  returned: success
  type: str
outcome:
  description: How the run ended.
  returned: success
  type: str
  sample: migrated
verdict:
  description: What the report says first.
  returned: success
  type: dict
figures:
  description: The key figures.
  returned: success
  type: dict
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import json
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.durable import private_folder, replacing
from ..module_utils._core.failures import RaftError, fail
from ..module_utils._report.checks import junit
from ..module_utils._report.document import OUTCOMES, Inputs, gather
from ..module_utils._report.html import page
from ..module_utils._report.metrics import prometheus
from ..module_utils._report.series import lines_of

# The collector of node_exporter runs as another user; the figures are no secret.
PUBLIC = 0o644
PRIVATE = 0o600
ENDED = {
    "migrated": "migrated",
    "rolled_back": "rolled_back",
    "failed": "failed",
    "interrupted": "failed",
    "rollback_unfinished": "failed",
    "unknown": "failed",
}


def outcome_of(asked: str, state: str) -> str:
    return ENDED.get(state, "paused") if asked == "auto" else asked


def read_json(path: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RaftError(f"{path} cannot be read: {error}", seen=str(error), next_step="name the verdict that the witness's judge wrote") from error
    if not isinstance(found, dict) or "figures" not in found:
        raise RaftError(f"{path} is no verdict of a witness", wanted="a JSON object with findings and figures")
    return found


def watched(folder: str | None, name: str) -> list[dict[str, Any]]:
    """All runs of the watch: what was moved aside belongs to the same migration; the report keeps what falls into its time."""
    if not folder:
        return []
    return [line for path in sorted(Path(folder).glob(f"{name}*.jsonl")) for line in lines_of(path) if "at" in line]


def inputs_of(params: dict[str, Any], now: float) -> Inputs:
    return Inputs(
        outcome=outcome_of(params["outcome"], params["status"]["state"]),
        status=params["status"],
        hosts=params["hosts"],
        config=params["config"],
        now=now,
        samples=watched(params["watch_dir"], "samples"),
        alerts=watched(params["watch_dir"], "alerts"),
        contents=params["contents"],
        contents_again=params["contents_again"],
        versions=params["versions"],
        failure=params["failure"] or None,
        witness=read_json(params["witness_verdict"]) if params["witness_verdict"] else None,
        witness_history=Path(params["witness_history"]) if params["witness_history"] else None,
    )


def write(path: Path, text: str, mode: int) -> None:
    with replacing(path, mode) as new:
        new.write_text(text, encoding="utf-8")


def run(module: AnsibleModule) -> dict[str, Any]:
    params, now = module.params, time.time()
    report = gather(inputs_of(params, now))
    stem = f"{datetime.fromtimestamp(now, timezone.utc):%Y%m%dT%H%M%SZ}-{report['outcome']}"
    folder, number = Path(params["dest"]) / stem, 1
    while folder.exists():
        number += 1
        folder = Path(params["dest"]) / f"{stem}-{number}"
    files = [
        (folder / "migration-report.json", json.dumps(report, indent=1) + "\n", PRIVATE),
        (folder / "migration-report.html", page(report), PRIVATE),
    ]
    if params["junit"]:
        files.append((Path(params["junit"]), junit(report), PRIVATE))
    if params["prometheus"]:
        files.append((Path(params["prometheus"]), prometheus(report), PUBLIC))
    if not module.check_mode:
        private_folder(folder)
        for path, text, mode in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, text, mode)
    return {
        "changed": True,
        "path": str(folder),
        "html": str(folder / "migration-report.html"),
        "outcome": report["outcome"],
        "verdict": report["verdict"],
        "figures": report["figures"],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "outcome": {"type": "str", "choices": ["auto", *OUTCOMES], "default": "auto"},
            "status": {"type": "dict", "required": True},
            "hosts": {"type": "dict", "required": True},
            "contents": {"type": "dict", "default": {}},
            "contents_again": {"type": "dict", "default": {}},
            "config": {"type": "dict", "required": True},
            "versions": {"type": "dict", "default": {}},
            "failure": {"type": "dict"},
            "watch_dir": {"type": "path"},
            "witness_verdict": {"type": "path"},
            "witness_history": {"type": "path"},
            "dest": {"type": "path", "required": True},
            "junit": {"type": "path"},
            "prometheus": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except RaftError as error:
        fail(module, error)
    except OSError as error:
        fail(module, RaftError(f"the report cannot be written: {error}", seen=str(error), next_step="mend that, then run it again"))
    module.exit_json(**result)


if __name__ == "__main__":
    main()

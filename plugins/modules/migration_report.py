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
  - Runs on the control node, where the quorum watch has written its samples; it is an action plugin and needs no connection.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  action:
    description: Whether the work is done by an action plugin, on the control node.
    support: full
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
    description: The C(status) that M(pi_controller.raft_migration.migration_cluster_info) returned.
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
  rollback:
    description: What a rollback in this run failed with; V(none) or V(done) where none failed.
    type: str
    default: none
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
    hosts: "{{ raft_migration_seen }}"
    config: "{{ raft_migration }}"
    watch_dir: ~/.local/state/pi-controller-migration/watch
    dest: ~/.local/state/pi-controller-migration/reports
    prometheus: /var/lib/node_exporter/textfile/pi_controller_migration.prom
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

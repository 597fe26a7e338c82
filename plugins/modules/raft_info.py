#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: raft_info
short_description: Read a pi-controller Raft cluster, and wait for a state of it
description:
  - Asks every node at once for its Raft status and makes one picture of the answers.
  - A leader counts only where the nodes agree on B(one). Two nodes that claim to lead in the same term are reported as
    RV(rivals), and there is no leader then.
  - With O(wait_for) it looks again until all given conditions hold, and fails after O(wait_timeout) with what it saw.
  - Nodes that do not answer are not an error of their own; they are in RV(unanswered).
  - With O(clusters) it looks at several clusters, one after the other, each by conditions of its own.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.rest
  - pi_controller.raft_migration.awaited
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  clusters:
    description: Clusters to look at, each as O(urls) and O(wait_for) say of one. Where one of them fails, those after it are not looked at.
    type: list
    elements: dict
    suboptions:
      label:
        description: What the result and a failure call it.
        type: str
        required: true
      urls:
        description: See O(urls).
        type: list
        elements: str
        required: true
      wait_for:
        description: See O(wait_for).
        type: dict
        suboptions:
          leader:
            description: See O(wait_for.leader).
            type: bool
            default: false
          voters:
            description: See O(wait_for.voters).
            type: int
          learners:
            description: See O(wait_for.learners).
            type: bool
            default: false
          caught_up:
            description: See O(wait_for.caught_up).
            type: bool
            default: false
          caught_up_at:
            description: See O(wait_for.caught_up_at).
            type: list
            elements: str
          answered:
            description: See O(wait_for.answered).
            type: bool
            default: false
          leader_id_not:
            description: See O(wait_for.leader_id_not).
            type: str
  apart_from:
    description: Once O(wait_for) holds, no node may know a member of this cluster, or the module fails.
    type: dict
    suboptions:
      addresses:
        description: Raft addresses of its members.
        type: list
        elements: str
        required: true
      next_step:
        description: What the failure says is to be done next.
        type: str
seealso:
  - module: pi_controller.raft_migration.raft_membership
"""

EXAMPLES = r"""
- name: Look at the cluster
  pi_controller.raft_migration.raft_info:
    urls: "{{ groups['k3s_cluster'] | map('extract', hostvars, 'ansible_host')
      | map('regex_replace', '^(.*)$', 'http://\\1:8080') | list }}"
  register: raft

- name: Wait until all three voters have caught up
  pi_controller.raft_migration.raft_info:
    urls:
      - http://10.77.0.11:8080
      - http://10.77.0.12:8080
      - http://10.77.0.13:8080
    wait_for:
      voters: 3
      caught_up: true
    wait_timeout: 30

- name: Wait until one cluster is healthy and every node of another one answers
  pi_controller.raft_migration.raft_info:
    clusters:
      - label: old
        urls: [http://10.77.0.11:8080, http://10.77.0.12:8080]
        wait_for:
          voters: 2
          caught_up: true
      - label: new
        urls: [http://10.77.0.11:8082, http://10.77.0.12:8082]
        wait_for:
          answered: true
    wait_timeout: 30
"""

RETURN = r"""
leader:
  description: The one leader, or null. C(url) is null where the others know it but its own URL does not answer.
  returned: with O(urls)
  type: dict
  contains:
    id: {type: str, description: Its member ID; null where no member has its address.}
    address: {type: str, description: Its Raft address.}
    url: {type: str, description: Its URL among O(urls).}
    host: {type: str, description: Its name in O(hosts). Only where these are given.}
  sample: {"id": "pi-1", "address": "10.77.0.11:9091", "url": "http://10.77.0.11:8080"}
term:
  description: The leader's term, or without a leader the newest one seen.
  returned: with O(urls)
  type: int
quorate:
  description: Whether a majority of the voters answers and follows the one leader in its term.
  returned: with O(urls)
  type: bool
rivals:
  description: URLs that claim to lead in the same term; empty in a sane cluster.
  returned: with O(urls)
  type: list
  elements: str
members:
  description: The members in the leader's list (without a leader, in that of the node that knows most).
  returned: with O(urls)
  type: list
  elements: dict
  contains:
    id: {type: str, description: Member ID.}
    address: {type: str, description: Raft address.}
    voter: {type: bool, description: Whether it has a vote.}
    url: {type: str, description: The URL on its host; null where none was given.}
    reachable: {type: bool, description: Whether that URL answers.}
    role: {type: str, description: "V(leader), V(follower) or V(candidate), as the node says itself."}
    term: {type: int, description: Its term.}
    last_index: {type: int, description: Last index in its log.}
    commit_index: {type: int, description: Last index it knows to be committed.}
    applied_index: {type: int, description: Last index that it has given to its state machine.}
    fsm_pending: {type: int, description: Batches among these entries that wait to be applied; null where its release does not report it.}
    lag: {type: int, description: Entries the leader has committed and this member has not applied.}
    last_contact: {type: float, description: Seconds since it heard the leader; null is never.}
    in_contact: {type: bool, description: "Whether it leads, or follows the leader and heard it less than a second ago."}
    behind: {type: str, description: Why this voter has not caught up; null where it has.}
voters:
  description: How many members have a vote.
  returned: with O(urls)
  type: int
caught_up:
  description: Whether every voter has caught up, as described at O(wait_for.caught_up).
  returned: with O(urls)
  type: bool
behind:
  description: One line for every voter that has not caught up, saying why.
  returned: with O(urls)
  type: list
  elements: str
capabilities:
  description: Optional calls of the leader's release; without a leader, of the first node that answers.
  returned: with O(urls)
  type: list
  elements: str
  sample: ["learners", "read-only", "recovery", "restore", "snapshot", "transfer"]
unanswered:
  description: URLs without an answer, with the error.
  returned: with O(urls)
  type: list
  elements: dict
  sample: [{"url": "http://10.77.0.13:8080", "error": "did not answer"}]
elapsed:
  description: Seconds spent looking.
  returned: with O(urls)
  type: float
clusters:
  description: Of each cluster that was looked at, by its label, what is returned of one.
  returned: with O(clusters)
  type: dict
looked_at:
  description: When the look was over, in seconds of a clock of the control node that runs on and is never set.
  returned: always
  type: float
failure:
  description: What was seen and what was wanted.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import at_step, run_module
from ..module_utils._daemon.drivers import rest_options
from ..module_utils._raft.awaited import WAIT, await_cluster


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    clusters = module.params["clusters"]
    if not clusters:
        await_cluster(module.params, result)
        return
    looks: dict[str, dict[str, Any]] = {}
    result["clusters"] = looks
    for cluster in clusters:
        look = looks.setdefault(cluster["label"], {})
        try:
            await_cluster({**module.params, **cluster}, look)
        except MigrationError as error:
            raise at_step(error, cluster["label"]) from error


def define_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec={
            **rest_options(urls_required=False),
            **WAIT,
            "clusters": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "label": {"type": "str", "required": True},
                    "urls": {"type": "list", "elements": "str", "required": True},
                    "wait_for": WAIT["wait_for"],
                },
            },
            "apart_from": {
                "type": "dict",
                "options": {
                    "addresses": {"type": "list", "elements": "str", "required": True},
                    "next_step": {"type": "str"},
                },
            },
        },
        required_one_of=[("urls", "clusters")],
        mutually_exclusive=[("clusters", option) for option in ("urls", "wait_for", "apart_from")],
        supports_check_mode=True,
    )


def main() -> None:
    run_module(define_module(), run, doing="looking at the cluster")


if __name__ == "__main__":
    main()

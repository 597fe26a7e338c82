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
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.rest
  - pi_controller.raft_migration.awaited
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  urls:
    required: true
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
"""

RETURN = r"""
leader:
  description: The one leader, or null. C(url) is null where the others know it but its own URL does not answer.
  returned: always
  type: dict
  contains:
    id: {type: str, description: Its member ID; null where no member has its address.}
    address: {type: str, description: Its Raft address.}
    url: {type: str, description: Its URL among O(urls).}
    host: {type: str, description: Its name in O(hosts). Only where these are given.}
  sample: {"id": "pi-1", "address": "10.77.0.11:9091", "url": "http://10.77.0.11:8080"}
term:
  description: The leader's term, or without a leader the newest one seen.
  returned: always
  type: int
quorate:
  description: Whether a majority of the voters answers and follows the one leader in its term.
  returned: always
  type: bool
rivals:
  description: URLs that claim to lead in the same term; empty in a sane cluster.
  returned: always
  type: list
  elements: str
members:
  description: The members in the leader's list (without a leader, in that of the node that knows most).
  returned: always
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
  returned: always
  type: int
caught_up:
  description: Whether every voter has caught up, as described at O(wait_for.caught_up).
  returned: always
  type: bool
behind:
  description: One line for every voter that has not caught up, saying why.
  returned: always
  type: list
  elements: str
capabilities:
  description: Optional calls of the leader's release; without a leader, of the first node that answers.
  returned: always
  type: list
  elements: str
  sample: ["learners", "read-only", "recovery", "restore", "snapshot", "transfer"]
unanswered:
  description: URLs without an answer, with the error.
  returned: always
  type: list
  elements: dict
  sample: [{"url": "http://10.77.0.13:8080", "error": "did not answer"}]
elapsed:
  description: Seconds spent looking.
  returned: always
  type: float
failure:
  description: What was seen and what was wanted.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.modules import run_module
from ..module_utils._daemon.drivers import rest_options
from ..module_utils._raft.awaited import WAIT, await_cluster


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    await_cluster(module.params, result)


def define_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec={
            **rest_options(),
            **WAIT,
            "apart_from": {
                "type": "dict",
                "options": {
                    "addresses": {"type": "list", "elements": "str", "required": True},
                    "next_step": {"type": "str"},
                },
            },
        },
        supports_check_mode=True,
    )


def main() -> None:
    run_module(define_module(), run, doing="looking at the cluster")


if __name__ == "__main__":
    main()

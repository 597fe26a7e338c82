#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: raft_fence
short_description: Make pi-controller nodes refuse writes while they answer reads
description:
  - Sets or lifts the daemon's own read-only fence, on every node of O(urls).
  - The call returns when no write is under way on that node any more. Set it on B(all) nodes of a cluster, so that a
    new leader refuses writes as well.
  - Needs the capability C(read-only). A release without it fails and nothing is changed; use
    M(pi_controller.raft_migration.traffic_gate) there.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.rest
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  urls:
    required: true
  enabled:
    description: Whether the nodes refuse writes.
    type: bool
    required: true
seealso:
  - module: pi_controller.raft_migration.traffic_gate
"""

EXAMPLES = r"""
- name: Refuse writes on this Pi
  pi_controller.raft_migration.raft_fence:
    url: http://127.0.0.1:8080
    enabled: true
"""

RETURN = r"""
before:
  description: Whether each node refused writes before, by URL.
  returned: success
  type: dict
  sample: {"http://127.0.0.1:8080": false}
after:
  description: Whether each node refuses writes now; in check mode the predicted state.
  returned: success
  type: dict
  sample: {"http://127.0.0.1:8080": true}
asked_at:
  description: When the task began, by the control node's clock, in seconds since the epoch.
  returned: always
  type: float
  sample: 1767225600.125
answered_at:
  description: When it was over, by the same clock.
  returned: always
  type: float
  sample: 1767225600.625
failure:
  description: The URL asked, its HTTP status, what was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from collections.abc import Callable, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import run_module
from ..module_utils._daemon.drivers import clients_of, rest_options
from ..module_utils._daemon.interface import Daemon


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    enabled: bool = module.params["enabled"]
    clients = clients_of(module.params)
    failed: list[MigrationError] = []
    before = each(clients, lambda client: client.read_only(), enabled, failed)
    due = [client for client in clients if before.get(client.url, enabled) != enabled]
    after = dict.fromkeys(before, enabled) if module.check_mode else dict(before)

    def switch(client: Daemon) -> None:
        client.set_read_only(enabled)
        after[client.url] = enabled

    try:
        if not module.check_mode:
            each(due, switch, enabled, failed)
    finally:
        result.update(
            changed=before != after,
            before=before,
            after=after,
            diff={"before": {"read_only": before}, "after": {"read_only": after}},
        )
    if failed:
        raise failed[0]


def each(
    clients: Sequence[Daemon], call: Callable[[Daemon], Any], strict: bool, failed: list[MigrationError]
) -> dict[str, Any]:
    """The answers by URL; what fails goes into `failed`, and is raised where it is `strict`.

    A fence with a gap is none. To open is another matter: a cluster whose majority is open takes writes.
    """
    answers = {}
    for client in clients:
        try:
            answers[client.url] = call(client)
        except MigrationError as error:
            if strict:
                raise
            failed.append(error)
    return answers


def main() -> None:
    module = AnsibleModule(
        argument_spec={**rest_options(), "enabled": {"type": "bool", "required": True}},
        supports_check_mode=True,
    )
    run_module(module, run, doing="fencing the daemons")


if __name__ == "__main__":
    main()

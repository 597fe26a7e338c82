#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: quorum_watch
short_description: Watch both Raft clusters while a migration runs
description:
  - Starts a process of its own on the control node that asks every member for its Raft status at least twice a second,
    each on its own, and writes what it saw to C(samples.jsonl) and what was wrong to C(alerts.jsonl) in O(path).
  - It raises an alert when a cluster has no quorum for longer than O(quorum_grace), when it has no leader or the one that
    led does not answer or commits nothing for longer than O(leader_grace), and when a phase takes longer than
    O(phase_timeout). The lookup P(pi_controller.raft_migration.quorum_alert#lookup) stops a play because of them.
  - What a phase does on purpose raises no alert. The phase decides which ports are asked and what is expected to answer there;
    where the migration's own gate hides a cluster from the control node, the sample says that it was not watched.
  - It also holds the migration's lock, a Lease in Kubernetes, from beginning to end, and gives it back when it ends, also
    when the run was killed. A lease that another run holds is refused with its owner's name.
  - The process ends when a task stops it, when the C(ansible-playbook) run is gone, or after O(lifetime).
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - pi_controller.raft_migration.kubernetes
  - pi_controller.raft_migration.attributes
attributes:
  action:
    description: Whether it has an action on the control node.
    support: partial
    details:
      - All is done by an action, without starting a module, but for O(state=started) and O(state=held) where the module would run with
        another Python than Ansible's own.
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  state:
    description: What to do.
    type: str
    required: true
    choices:
      started: >-
        The process runs and holds O(lock); where another run holds that, the module fails. Samples and alerts of earlier runs
        get their time in their names; a few are kept.
      phase: >-
        It watches what has to answer in O(phase) from now on. The module fails where this run's watch died, and where O(path) has the watch
        of another run that was not stopped; with O(phase=rollback) it warns.
      held: >-
        This run holds O(lock) at this moment, which is renewed for it. The module fails where another run holds it, where it was deleted,
        where the watch died, and where the API server does not answer and the last renewal is so long ago that another run may have
        taken it.
      stopped: It has ended.
      checked: Only tell whether it runs and what it has found.
  path:
    description: Folder on the control node for its files. It is made, and only its owner may look into it.
    type: path
    required: true
  standard_urls:
    description: Base URLs of the daemons on the standard ports.
    type: list
    elements: str
    default: []
  temporary_urls:
    description: Base URLs of the daemons on the temporary ports.
    type: list
    elements: str
    default: []
  rest:
    description: How the daemons want to be spoken to.
    type: dict
    default: {}
    suboptions:
      token:
        description: Bearer token. It stays in the memory of the process.
        type: str
      validate_certs:
        description: Whether to verify the daemons' certificates.
        type: bool
        default: true
      ca_path:
        description: PEM file, or a folder of them, to verify the certificates with.
        type: path
      user:
        description: User to log in as, at each daemon by itself.
        type: str
      password:
        description: Password of that user. It stays in the memory of the process.
        type: str
      client_cert:
        description: PEM file with the certificate to show to the daemons.
        type: path
      client_key:
        description: PEM file with the key of that certificate, without a passphrase.
        type: path
  sampling:
    description: V(false) watches nothing and only keeps the lock.
    type: bool
    default: true
  interval:
    description:
      - Seconds between two samples.
      - A daemon that answers 429 (too many requests) is alive, raises no alert, and is asked every 1.5 seconds from then on.
    type: float
    default: 0.4
  timeout:
    description: Seconds that one answer may take.
    type: float
    default: 1.0
  quorum_grace:
    description:
      - Seconds that are no alert yet in which so many voters do not answer that no majority is left.
      - Where a majority answers but does not agree on a leader, an election is under way, and O(leader_grace) counts.
    type: float
    default: 2.0
  leader_grace:
    description:
      - Seconds without a leader at work that are no alert yet.
      - While a pod is replaced on purpose, an election may take three times as long.
    type: float
    default: 3.0
  lifetime:
    description: Seconds after which the process ends in any case.
    type: float
    default: 43200
  lock:
    description: The lock to hold, where there is one.
    type: dict
    suboptions:
      namespace:
        description: Namespace of the lease.
        type: str
        default: default
      name:
        description: Name of the lease.
        type: str
        required: true
      duration:
        description: Seconds after the last renewal until it runs out. It must outlast a restart of the API server.
        type: int
        default: 60
      take_over:
        description: Take it whoever holds it.
        type: bool
        default: false
  accept_outage:
    description:
      - For O(state=held), does not fail where the API server does not answer at all, however long ago the last renewal was.
    type: bool
    default: false
  phase:
    description: The phase that begins, for O(state=phase).
    type: str
    choices: [prepare, transfer, validate, cutover, systemd_shutdown, port_migration, cleanup, rollback]
  strategy:
    description: How the migration goes; it decides what is expected to answer in a phase.
    type: str
    choices: [parallel, rolling]
    default: parallel
  phase_timeout:
    description: Seconds the phase, or the turn of one Pi in it, may take.
    type: float
  replaced:
    description: Host of the Pi whose pod is replaced, in V(port_migration).
    type: str
  temporary_raft_port:
    description: The pods' Raft port while the units run beside them. It tells a pod's answer from a unit's.
    type: int
  parent_pid:
    description: The process of the run, where that is not an C(ansible-playbook) above this module.
    type: int
notes:
  - Without O(lock) nothing of Kubernetes is needed.
seealso:
  - plugin: pi_controller.raft_migration.quorum_alert
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Watch from here on
  pi_controller.raft_migration.quorum_watch:
    state: started
    path: ~/.local/state/pi-controller-migration/watch
    standard_urls: [http://10.77.0.11:8080, http://10.77.0.12:8080, http://10.77.0.13:8080]
    temporary_urls: [http://10.77.0.11:8082, http://10.77.0.12:8082, http://10.77.0.13:8082]
  delegate_to: localhost
  run_once: true

- name: The pods have a cluster by now
  pi_controller.raft_migration.quorum_watch:
    state: phase
    path: ~/.local/state/pi-controller-migration/watch
    phase: validate
    phase_timeout: 600
    standard_urls: [http://10.77.0.11:8080, http://10.77.0.12:8080, http://10.77.0.13:8080]
    temporary_urls: [http://10.77.0.11:8082, http://10.77.0.12:8082, http://10.77.0.13:8082]
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
path:
  description: The folder in which it writes what it sees.
  returned: success
  type: str
running:
  description: Whether the process runs when the module ends.
  returned: success
  type: bool
pid:
  description: Its number; null where it does not run.
  returned: success
  type: int
phase:
  description: The phase it watches.
  returned: success
  type: str
watching:
  description: How each cluster is watched now.
  returned: success
  type: dict
  sample: {"old": {"mode": "whole", "urls": ["http://10.77.0.11:8080"]}}
alerts:
  description: The alerts of this run, each with its end where it has one.
  returned: success
  type: list
  elements: dict
  sample:
    - at: 1795600003.1
      kind: leader_lost
      cluster: old
      phase: validate
      message: "the leader of the old cluster, pi-1 (10.77.0.11:9091), has not answered for 3.2 s; pi-2 (10.77.0.12:9091) leads now"
      began: 1795599999.9
      ended: 1795600005.0
failure:
  description: What was seen and what was wanted.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._core.modules import run_module
from ..module_utils._watch.options import OPTIONS, REQUIRED_IF
from ..module_utils._watch.process import Lock
from ..module_utils._watch.start import WatchStart

# What the lock is taken or renewed for.
WITH_LOCK = ("started", "held")
# For the action, which starts it in its own process.
DOING = "starting the quorum watch"
SPEC: dict[str, Any] = {
    "argument_spec": {**AUTH_ARG_SPEC, **OPTIONS},
    "required_if": REQUIRED_IF,
    "supports_check_mode": True,
}


def run(module: AnsibleK8SModule, result: dict[str, Any]) -> None:
    lock = _lock(module) if module.params["lock"] and module.params["state"] in WITH_LOCK else None
    watch = WatchStart(module.params, module.check_mode, module.warn, lock)
    result["changed"] = getattr(watch, module.params["state"])()
    result.update(watch.result())


def _lock(module: AnsibleK8SModule) -> Lock:
    # Here and not above: without a lock nothing of Kubernetes is needed. And before the fork: the module's own files are
    # gone after it, so what is not loaded by then cannot be loaded any more.
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as _client  # noqa: F401

    from ..module_utils._kube.api import connect, forget_credentials
    from ..module_utils._kube.lease import MigrationLock, owner_of, unseen_for

    wanted = module.params["lock"]
    owner = owner_of(module.params["parent_pid"])

    def lock(patience: float | None = None) -> MigrationLock:
        # Never before the fork: two processes must not share a connection.
        return MigrationLock(connect(module, patience), wanted["namespace"], wanted["name"], owner, wanted["duration"])

    return Lock(
        take=lambda check_mode=False: lock().take(force=wanted["take_over"], check_mode=check_mode),
        # One attempt: the next one is not far, and nothing waits for an API server that is away.
        renew=lambda: lock(patience=0.0).renew(),
        # A lock that cannot be released expires. The end of a run does not wait for an API server that is gone.
        release=lambda: lock(patience=1.0).release(),
        good_for=unseen_for(wanted["duration"]),
        forget=forget_credentials,
    )


def define_module() -> AnsibleK8SModule:
    # Only a watch that holds a lock needs Kubernetes.
    return AnsibleK8SModule(**SPEC, check_k8s=False, check_pyyaml=False)


def main() -> None:
    module = define_module()
    run_module(module, run, doing=f"watching by {module.params['path']}")


if __name__ == "__main__":
    main()

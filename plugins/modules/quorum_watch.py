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
  - What a phase does on purpose is no alert. The phase decides which ports are asked and what is expected to answer there;
    where the migration's own gate hides a cluster from the control node, the sample says that it was not watched.
  - It also renews the migration's lock, see M(pi_controller.raft_migration.migration_lock), and gives it back when the
    run is gone without having done so.
  - The process ends when it is told to, when the C(ansible-playbook) run is gone, or after O(lifetime).
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - pi_controller.raft_migration.attributes
attributes:
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
      started: The process runs. Samples and alerts of earlier runs get their time in their names; a few are kept.
      phase: It watches what has to answer in O(phase) from now on.
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
  sampling:
    description: V(false) watches nothing and only keeps the lock.
    type: bool
    default: true
  interval:
    description: Seconds between two samples.
    type: float
    default: 0.4
  timeout:
    description: Seconds that one answer may take.
    type: float
    default: 1.0
  quorum_grace:
    description: Seconds without quorum that are no alert yet.
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
    description: The lock to keep, where there is one.
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
        description: Seconds after the last renewal until it runs out.
        type: int
        default: 60
  phase:
    description: The phase that begins, for O(state=phase).
    type: str
    choices: [prepare, transfer, validate, cutover, systemd_shutdown, port_migration, cleanup, rollback]
  phase_timeout:
    description: Seconds the phase may take.
    type: float
  replaced:
    description: Host of the Pi whose pod is replaced, in V(port_migration).
    type: str
  temporary_raft_port:
    description: The pods' Raft port while the units run beside them. It tells a pod's answer from a unit's.
    type: int
  parent_pid:
    description: The process that stands for the run, where that is not an C(ansible-playbook) above this module.
    type: int
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0 (with O(lock))
seealso:
  - plugin: pi_controller.raft_migration.quorum_alert
    plugin_type: lookup
  - module: pi_controller.raft_migration.migration_lock
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
  description: The phase it was told last.
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

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ..module_utils._failures import RaftError, fail
from ..module_utils._processes import Process
from ..module_utils._raft_client import RaftClient
from ..module_utils._waiting import wait_until
from ..module_utils._watch_files import ABOUT, ORDER, WatchFolder
from ..module_utils._watch_judge import Limits
from ..module_utils._watch_owner import run_of
from ..module_utils._watch_plan import PHASES, STANDARD, TEMPORARY, expectations
from ..module_utils._watch_process import Settings, Watch, detach

LOG = "watch.log"
ACKNOWLEDGED_WITHIN = 3.0
STOPPED_WITHIN = 5.0


class QuorumWatch:
    """The module's side of the folder that it shares with the process."""

    def __init__(self, module: AnsibleK8SModule) -> None:
        self.module = module
        self.params = module.params
        self.folder = WatchFolder(self.params["path"])
        self.run = run_of(self.params["parent_pid"])

    def about(self) -> dict[str, Any]:
        return self.folder.read(ABOUT) or {}

    def process(self) -> Process | None:
        """The watching process, if it lives."""
        process = Process.from_dict(self.about().get("process"))
        return process if process is not None and process.alive else None

    @property
    def is_ours(self) -> bool:
        return Process.from_dict(self.about().get("run")) == self.run

    def started(self) -> bool:
        if self.process() is not None and self.is_ours:
            return False
        self._refuse_another_run()
        if self.module.check_mode:
            return True
        self._end()
        self.folder.begin_run()
        detach(self._watch(), self.folder.path / LOG)
        return True

    def phase(self) -> bool:
        about = self.about()
        if not about or not self.is_ours or about.get("why") == "stopped":
            return False
        process = self.process()
        if process is None:
            raise RaftError(
                f"the quorum watch has ended by itself: {about.get('why') or 'nobody knows why'}",
                seen=about.get("why"),
                wanted="a watch, and with it the lock, to the end of the run",
                next_step="run the playbook again; it continues where it stands",
            )
        if self.module.check_mode:
            return False
        # The lookup reads in it which clusters still matter.
        order = {
            "number": time.time_ns(),
            "phase": self.params["phase"],
            "phase_started": time.time(),
            "phase_timeout": self.params["phase_timeout"] if self.params["sampling"] else None,
            "watch": {name: one.as_dict() for name, one in self._plan().items()} if self.params["sampling"] else {},
        }
        self.folder.write(ORDER, order)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGHUP)
        taken_up = wait_until(
            lambda: self.about().get("order"), lambda number: number == order["number"], ACKNOWLEDGED_WITHIN, interval=0.02
        )
        if not taken_up.met:
            self.module.warn(f"the quorum watch ({process.pid}) has not taken up phase {self.params['phase']} for {taken_up.elapsed:.1f} s")
        return False

    def stopped(self) -> bool:
        if self.process() is None:
            return False
        if not self.is_ours:
            self._refuse_another_run()
        if not self.module.check_mode:
            self._end()
        return True

    def checked(self) -> bool:
        return False

    def result(self) -> dict[str, Any]:
        process = self.process()
        return {
            "running": process is not None,
            "pid": process.pid if process else None,
            "phase": self.about().get("phase"),
            "watching": (self.folder.read(ORDER) or {}).get("watch", {}),
            "alerts": self.folder.alerts(),
        }

    def _plan(self) -> Any:
        urls = {STANDARD: self.params["standard_urls"], TEMPORARY: self.params["temporary_urls"]}
        unknown = sorted({url for some in urls.values() for url in some} - set(self.about().get("urls", [])))
        if unknown:
            raise RaftError(
                f"the quorum watch was not started with {', '.join(unknown)}",
                seen=unknown,
                wanted=self.about().get("urls"),
                next_step="give the same URLs to state=started and state=phase",
            )
        return expectations(
            self.params["phase"], urls, replaced=self.params["replaced"], foreign_port=self.params["temporary_raft_port"]
        )

    def _refuse_another_run(self) -> None:
        other = Process.from_dict(self.about().get("run"))
        if self.process() is not None and other is not None and other.alive and other != self.run:
            raise RaftError(
                f"process {other.pid} on this machine runs a playbook whose watch uses {self.folder.path}",
                seen=other.pid,
                wanted="one run at a time in this folder",
                next_step="wait for it to end, or set raft_migration_control_dir to a folder of its own for each cluster",
            )

    def _end(self) -> None:
        process = self.process()
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
            if wait_until(lambda: process.alive, lambda alive: not alive, STOPPED_WITHIN, interval=0.02).met:
                return

    def _watch(self) -> Callable[[Callable[[], None]], None]:
        """What the process does. Everything is made ready here, where an error still finds somebody to tell."""
        params = self.params
        rest = {"validate_certs": True, **{name: value for name, value in (params["rest"] or {}).items() if value is not None}}
        urls = dict.fromkeys([*params["standard_urls"], *params["temporary_urls"]])
        clients = {url: RaftClient(url, timeout=params["timeout"], **rest) for url in urls}
        settings = Settings(
            Limits(params["quorum_grace"], params["leader_grace"], params["interval"]), params["timeout"], params["lifetime"]
        )
        renew, release = self._lock() if params["lock"] else (None, None)

        def watch(ready: Callable[[], None]) -> None:
            Watch(self.folder, clients, settings, self.run, renew=renew, release=release).watch(ready)

        return watch

    def _lock(self) -> tuple[Callable[[], None], Callable[[], object]]:
        # Here and not above: the Kubernetes client takes longer to load than a change of phase may take. And before the fork:
        # the module's own files are gone after it. What is not loaded by then cannot be loaded any more.
        from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as _client  # noqa: F401

        from ..module_utils._k8s_api import connect
        from ..module_utils._k8s_lease import MigrationLock
        from ..module_utils._watch_owner import owner_of

        wanted = self.params["lock"]
        owner = owner_of(self.params["parent_pid"])

        def lock() -> MigrationLock:
            # Never before the fork: two processes must not share a connection.
            return MigrationLock(connect(self.module), wanted["namespace"], wanted["name"], owner, wanted["duration"])

        return (lambda: lock().renew()), (lambda: lock().release())


def define_module() -> AnsibleK8SModule:
    rest = {
        "token": {"type": "str", "no_log": True},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
    }
    lock = {
        "namespace": {"type": "str", "default": "default"},
        "name": {"type": "str", "required": True},
        "duration": {"type": "int", "default": 60},
    }
    return AnsibleK8SModule(
        # Only a watch that keeps a lock needs Kubernetes.
        check_k8s=False,
        check_pyyaml=False,
        argument_spec={
            **AUTH_ARG_SPEC,
            "state": {"type": "str", "required": True, "choices": ["started", "phase", "stopped", "checked"]},
            "path": {"type": "path", "required": True},
            "standard_urls": {"type": "list", "elements": "str", "default": []},
            "temporary_urls": {"type": "list", "elements": "str", "default": []},
            "rest": {"type": "dict", "default": {}, "options": rest},
            "sampling": {"type": "bool", "default": True},
            "interval": {"type": "float", "default": 0.4},
            "timeout": {"type": "float", "default": 1.0},
            "quorum_grace": {"type": "float", "default": 2.0},
            "leader_grace": {"type": "float", "default": 3.0},
            "lifetime": {"type": "float", "default": 43200},
            "lock": {"type": "dict", "options": lock},
            "phase": {"type": "str", "choices": list(PHASES)},
            "phase_timeout": {"type": "float"},
            "replaced": {"type": "str"},
            "temporary_raft_port": {"type": "int"},
            "parent_pid": {"type": "int"},
        },
        required_if=[("state", "phase", ["phase"])],
        supports_check_mode=True,
    )


def main() -> None:
    module = define_module()
    try:
        watch = QuorumWatch(module)
        changed = getattr(watch, module.params["state"])()
        result = watch.result()
    except RaftError as error:
        fail(module, error)
    except OSError as error:
        fail(module, RaftError(f"{module.params['path']}: {error}", next_step="mend that, then run this again"))
    module.exit_json(changed=changed, path=module.params["path"], **result)


if __name__ == "__main__":
    main()

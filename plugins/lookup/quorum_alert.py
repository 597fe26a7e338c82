# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: quorum_alert
short_description: Stop a play at its next task when the quorum watch has raised an alert
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Fails with the alert's text when M(pi_controller.raft_migration.quorum_watch) has raised one in this run.
  - Otherwise it returns an empty dictionary, so that it can be used in a play's C(environment), the one keyword that is
    evaluated for every task, also in roles that are included on the way.
  - Fails as well when the watch of this run has ended without being stopped. It renews the migration's lock, so another run may
    be at work.
  - Alerts of earlier runs, and those of a cluster that is not watched any more, stop nothing. Nor does the limit that an
    earlier phase exceeded before it was done.
options:
  _terms:
    description: The folder of the watch.
    required: true
  kinds:
    description: Only alerts of these kinds stop the play. By default all of them do.
    type: list
    elements: str
  lock:
    description:
      - Fails as well where the lock was not renewed for so long that another run may have taken it, and where the folder has the watch
        of another run.
      - By default the play goes on then, as an API server may be away for a while.
    type: bool
    default: false
  wait_out:
    description:
      - Seconds to wait for a lost quorum or leader to be back. An outage that is over by then stops nothing, nor does one
        that was over before.
      - With V(0), the default, such an alert stops the play, whether it lasts or not. Alerts of other kinds always do.
    type: float
    default: 0
notes:
  - As long as there is no alert, it reads one small file and looks at one process, and some milliseconds go by to load it.
seealso:
  - module: pi_controller.raft_migration.quorum_watch
"""

EXAMPLES = r"""
- name: A play that stops when a cluster is in trouble
  hosts: k3s_cluster
  environment: "{{ lookup('pi_controller.raft_migration.quorum_alert', '~/.local/state/pi-controller-migration/watch') }}"
  roles:
    - pi_controller.raft_migration.validate
"""

RETURN = r"""
_raw:
  description: One empty dictionary.
  type: list
  elements: dict
"""

import os
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.processes import Process, playbook_run
from ..module_utils._watch.files import ABOUT, ALERTS, ORDER, WatchFolder, lock_doubt

INTERVAL = 0.5
# As in module_utils/_watch/judge.py, which takes its time to load.
LOCK_LOST = "lock_lost"


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        folders = [WatchFolder(Path(term).expanduser()) for term in terms]
        for folder in folders:
            death = _death_of_watch(folder)
            if death is not None:
                raise AnsibleError(death)
            doubt = _doubt_of_lock(folder) if kwargs.get("lock") else None
            if doubt is not None:
                raise AnsibleError(doubt)
            if _has_alerts(folder):
                # Each host of a task comes here; one of them says what all of them wait for.
                hosts = (variables or {}).get("ansible_play_hosts") or [None]
                speaks = hosts[0] == (variables or {}).get("inventory_hostname")
                self._look(folder, kwargs.get("kinds"), float(kwargs.get("wait_out") or 0), speaks)
        return [{}]

    def _look(self, folder: WatchFolder, kinds: list[str] | None, wait_out: float, speaks: bool) -> None:
        # Here and not above: each task of each host loads this plugin anew, and writes may be waiting meanwhile.
        from ..module_utils._core.waiting import wait_until
        from ..module_utils._watch.judge import LEADER_LOST, PHASE_TIMEOUT, QUORUM_LOST

        if not _is_of_this_run(folder.read(ABOUT) or {}):
            return

        def stopping() -> list[dict[str, Any]]:
            order = folder.read(ORDER) or {}
            watched, phase = order.get("watch", {}), order.get("phase")
            return [
                alert
                for alert in folder.alerts()
                if (alert["cluster"] is None or alert["cluster"] in watched)
                and not (alert["kind"] == PHASE_TIMEOUT and alert["ended"] is not None and alert["phase"] != phase)
                and (kinds is None or alert["kind"] in kinds)
                and not (wait_out and alert["ended"] is not None and alert["kind"] in (QUORUM_LOST, LEADER_LOST))
            ]

        alerts = stopping()
        if alerts and wait_out and all(alert["kind"] in (QUORUM_LOST, LEADER_LOST) for alert in alerts):
            if speaks:
                Display().display(
                    f"{'; '.join(alert['message'] for alert in alerts)}. "
                    f"Waiting up to {wait_out:.0f} s for it to be over ..."
                )
            began = time.monotonic()
            alerts = wait_until(
                stopping,
                lambda left: not left or any(alert["kind"] not in (QUORUM_LOST, LEADER_LOST) for alert in left),
                wait_out,
                INTERVAL,
            ).value
            if speaks and not alerts:
                Display().display(f"It is over after {time.monotonic() - began:.0f} s; the run goes on.")
        if alerts:
            raise AnsibleError(
                "; ".join(_say(alert) for alert in alerts) + f". Everything that was seen is in {folder.path}"
            )


def _has_alerts(folder: WatchFolder) -> bool:
    return (folder.path / ALERTS).exists()


def _is_of_this_run(about: Mapping[str, Any]) -> bool:
    run = Process.from_dict(about.get("run"))
    if run is None:
        return False
    # A task is templated by the run itself or by one of its workers. Where the run was started by a wrapper, as by `timeout 2h
    # ansible-playbook`, that one is recorded.
    if run.pid in (os.getpid(), os.getppid()):
        return run.alive
    return run_above() == run


@lru_cache(maxsize=1)
def run_above() -> Process | None:
    """The run that this process works for. It stays the same, and each task of each host asks."""
    try:
        return playbook_run()
    except MigrationError:
        return None


def _death_of_watch(folder: WatchFolder) -> str | None:
    """What to tell of this run's watch when it has ended without being stopped; None otherwise."""
    about = folder.read(ABOUT) or {}
    watch = Process.from_dict(about.get("process"))
    # In this order: as long as all is well, the watch's own process is the only one that is looked at.
    if watch is None or watch.alive or about.get("why") == "stopped" or not _is_of_this_run(about):
        return None
    return (
        f"Quorum watch, {LOCK_LOST} in phase {about.get('phase')}: the quorum watch (process {watch.pid}) ended unexpectedly: "
        f"{about.get('why') or 'no reason is known'}. The migration's lock is not renewed any more, so another run may be at work. "
        f"Everything that was seen is in {folder.path}"
    )


def _doubt_of_lock(folder: WatchFolder) -> str | None:
    about = folder.read(ABOUT) or {}
    if not about:
        return None
    doubt = lock_doubt(about) if _is_of_this_run(about) else f"the watch in {folder.path} is another run's"
    if doubt is None:
        return None
    return (
        f"Quorum watch, {LOCK_LOST} in phase {about.get('phase')}: it is unknown whether this run still holds the migration lock: {doubt}, "
        "so another run may be at work"
    )


def _say(alert: dict[str, Any]) -> str:
    lasted = "it lasts" if alert["ended"] is None else f"it was over after {alert['ended'] - alert['began']:.1f} s"
    return f"Quorum watch, {alert['kind']} in phase {alert['phase']}: {alert['message']} ({lasted})"

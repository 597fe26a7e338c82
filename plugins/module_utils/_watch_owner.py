# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In whose name a run holds the migration's lock."""

from __future__ import annotations

import getpass
import socket

from ._failures import RaftError
from ._k8s_lease import Owner
from ._processes import Process, identify, machine, playbook_run


def run_of(parent_pid: int | None) -> Process:
    """The run that this module works for: the given process, or the ansible-playbook above."""
    if parent_pid is None:
        return playbook_run()
    process = identify(parent_pid)
    if process is None:
        raise RaftError(
            f"there is no process {parent_pid}", seen=parent_pid, wanted="a living process", next_step="correct `parent_pid`"
        )
    return process


def owner_of(parent_pid: int | None) -> Owner:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may have numbers without names.
        user = "unknown"
    return Owner(user, socket.gethostname(), machine(), run_of(parent_pid))

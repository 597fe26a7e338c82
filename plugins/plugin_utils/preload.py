# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every worker needs is loaded before the workers are forked.

Ansible forks a worker for each host of each task. The first filter of a collection that a worker meets has it read and compile all
filters of that collection with what they import: 0.15 s of a processor each time, more than most tasks take otherwise. What the
process before the fork has loaded, its workers have. That process imports an action plugin before it forks for a task of that action,
so the action plugins that a run meets first import this.
"""

from __future__ import annotations

import contextlib

from ansible.plugins.loader import filter_loader, lookup_loader, test_loader

COLLECTION = "pi_controller.raft_migration"


def preload() -> None:
    """Load this collection's filters, those and the tests of Ansible, and the lookup that is evaluated for each task of a phase."""
    # Outside of a run there is no loader of collections. Nothing depends on this but time.
    with contextlib.suppress(KeyError):
        # One filter brings all others of its collection along.
        filter_loader.get("ansible.builtin.combine")
        test_loader.get("ansible.builtin.skipped")
        filter_loader.get(f"{COLLECTION}.recorded")
        lookup_loader.get(f"{COLLECTION}.quorum_alert")


preload()

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands that messages tell people to run. A collection's name finds its playbooks wherever it is installed, also in a checkout."""

from __future__ import annotations

COLLECTION = "pi_controller.raft_migration"


def play(name: str, *options: str) -> str:
    """The command that runs the collection's playbook `name`."""
    return " ".join((f"ansible-playbook {COLLECTION}.{name} -i INVENTORY", *options))


MIGRATE, ROLLBACK, STATUS = play("migrate"), play("rollback"), play("status")
CONFIRM = "-e confirm=true"

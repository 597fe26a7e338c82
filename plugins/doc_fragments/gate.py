# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option of modules that set a Pi's gate beside what else they do."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  gate:
    description: The gate to set. Without it the gate stays as it is.
    type: dict
    suboptions:
      state:
        description: What clients meet, as in M(pi_controller.raft_migration.traffic_gate).
        type: str
        choices: [open, fenced, forwarded]
        required: true
      ports:
        description: The ports, as in M(pi_controller.raft_migration.traffic_gate).
        type: list
        elements: dict
        suboptions:
          standard:
            description: The port clients know.
            type: int
            required: true
          temporary:
            description: The pod's port on the same Pi.
            type: int
            required: true
      forward_to:
        description: Address of the other Pi, or one of each family, required with V(forwarded).
        type: list
        elements: str
      established:
        description: What becomes of established connections, as in M(pi_controller.raft_migration.traffic_gate).
        type: str
        choices: [reset, finish, keep]
        default: reset
      patience:
        description: How long V(finish) waits at most, in seconds.
        type: float
        default: 0.5
      persist:
        description: Whether the state outlives a reboot of the Pi.
        type: bool
        default: false
"""

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all modules have in common that talk to the Kubernetes API; its options are those of kubernetes.core."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
notes:
  - Runs where the Python library C(kubernetes) is, which is the control node.
  - Every request has a limit of time. An API server that is away is waited for as long as one takes to restart, once in a
    run, and one that stays away is one sentence in C(msg).
requirements:
  - kubernetes >= 31.0 (Python)
attributes:
  action_group:
    description: The group in C(module_defaults) that sets the way to the API for all Kubernetes modules at once.
    support: full
    membership:
      - pi_controller.raft_migration.kubernetes
"""

    # For a module that looks at a DaemonSet: `- pi_controller.raft_migration.kubernetes.daemonset`.
    DAEMONSET = r"""
options:
  namespace:
    description: Namespace of the objects named here.
    type: str
    required: true
  daemonset:
    description: Name of the DaemonSet.
    type: str
    required: true
"""

    # For one that looks at a Service: `- pi_controller.raft_migration.kubernetes.service`.
    SERVICE = r"""
options:
  namespace:
    description: Namespace of the objects named here.
    type: str
    required: true
  service:
    description: Name of the Service that clients use.
    type: str
    required: true
"""

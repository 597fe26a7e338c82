# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module says about itself."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Whether the module predicts what it would change, and changes nothing, in check mode.
  diff_mode:
    description: Whether the module tells what it changed (or would change) as before and after.
  idempotent:
    description: Whether a second run with the same options changes nothing.
  platform:
    description: Where the module runs.
    platforms: posix
    support: full
"""

    # For a module that only looks: `- pi_controller.raft_migration.attributes.read_only`.
    READ_ONLY = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    support: full
    details:
      - This module changes nothing.
"""

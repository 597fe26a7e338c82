# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The address the migration's own requests come from."""

from __future__ import annotations

# The traffic gate lets this source through in every state, so the playbook can still talk to a daemon it has fenced off
# from every other client. Inside 127/8: no other machine can send from it, and every host has it without configuration.
OPERATOR_ADDRESS = "127.0.9.91"

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab of real parts: Pis that boot systemd, a real Kubernetes across them, and the cluster to be migrated.

`python3 -m tests.lab up` as root on Debian 12, with nothing but its python3 installed, makes all of it.
"""

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of every module that talks to the daemons over REST."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  urls:
    description:
      - Base URLs of the daemons' REST listeners, for example V(http://10.77.0.11:8080).
      - Every URL stands for the node on its own host, never for a Service or a load balancer. The host of a URL and
        the host of a member's Raft address decide which URL belongs to which member.
      - A node may be given twice, with the port before and the port after its change; the URL that answers counts.
    type: list
    elements: str
    aliases: [url]
  token:
    description:
      - Bearer token, where the daemons want one. A newline at its end, as files have it, is left out; what cannot stand in a
        header (anything but visible ASCII) is refused without being shown.
    type: str
  validate_certs:
    description: Whether to verify the daemons' certificates; only for C(https) URLs.
    type: bool
    default: true
  ca_path:
    description: PEM file, or a folder of them, to verify the daemons' certificates with.
    type: path
  timeout:
    description:
      - Seconds that one call of one daemon may take as a whole, from connecting to the last byte of its answer. An answer
        may have 1 MiB. Redirects are not followed.
    type: float
    default: 5.0
attributes:
  action_group:
    description: The group in C(module_defaults) that sets token and TLS for all REST modules at once.
    support: full
    membership:
      - pi_controller.raft_migration.rest
"""

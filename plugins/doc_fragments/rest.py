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
      - Every URL is that of the node on its own host, never for a Service or a load balancer. The host of a URL and
        the host of a member's Raft address decide which URL belongs to which member.
      - A node may be given twice, with the port before and the port after its change; the URL that answers counts.
    type: list
    elements: str
    aliases: [url]
  token:
    description:
      - Bearer token, where the daemons want one. A newline at its end, as files have it, is left out; what cannot be in a
        header (anything but visible ASCII) is refused without being shown.
      - The same token is sent to every daemon. A daemon that signs its tokens with a key of its own process needs O(user)
        and O(password) instead.
    type: str
  user:
    description:
      - User to log in as. Each daemon is logged in to by itself, when it is first asked and whenever it answers 401.
      - A refused login is not tried again, since the daemon locks an account after some wrong passwords.
    type: str
  password:
    description: Password of O(user). A newline at its end, as files have it, is left out.
    type: str
  validate_certs:
    description: Whether to verify the daemons' certificates; only for C(https) URLs.
    type: bool
    default: true
  ca_path:
    description: PEM file, or a folder of them, to verify the daemons' certificates with.
    type: path
  client_cert:
    description: PEM file with the certificate to show to the daemons, where they want one; only for C(https) URLs.
    type: path
  client_key:
    description:
      - PEM file with the key of O(client_cert), without a passphrase. Without it the key is in the certificate's file.
    type: path
  timeout:
    description:
      - Seconds that one call of one daemon may take as a whole, from connecting to the last byte of its answer. An answer
        may have 1 MiB. Redirects are not followed.
      - A daemon that answers 429 (too many requests) is asked again within this time, after what its C(Retry-After) says or
        after a second.
    type: float
    default: 5.0
attributes:
  action_group:
    description: The group in C(module_defaults) that sets token and TLS for all REST modules at once.
    support: full
    membership:
      - pi_controller.raft_migration.rest
"""

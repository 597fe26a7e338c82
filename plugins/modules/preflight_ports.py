#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_ports
short_description: Prove that every Pi reaches every Pi on every port, with real listeners
description:
  - Run it on all Pis at the same time. Each listens for a short while on those of O(new_ports) that are free on it, and
    connects to all ports of all peers. It ends as soon as every peer has been called and heard.
  - The listeners send their name and time, so that an address of another Pi is seen, and so is a clock that
    is off. A clock is compared within one exchange over the network, to half of its round trip.
  - Nothing is sent to a listener that is not this module's own.
  - Judges nothing. What is found goes into P(pi_controller.raft_migration.preflight_findings#filter).
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  name:
    description: Name of this Pi; the same as in the O(peers) of the others.
    type: str
    required: true
  address:
    description: Address of this Pi.
    type: str
    required: true
  peers:
    description: The Pis that run this module at the same time. This Pi itself may be among them.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      address:
        description: The address it is known by.
        type: str
        required: true
  new_ports:
    description: Ports the migration is going to listen on.
    type: list
    elements: int
    required: true
  old_ports:
    description: Ports that have listeners already; they are connected to and nothing is sent.
    type: list
    elements: int
    default: []
  patience:
    description: Seconds to wait for a peer that does not show at all. The hosts do not begin at the same instant.
    type: float
    default: 8.0
notes:
  - The pods run in the network of their host (C(hostNetwork)). The way from pod to pod is therefore the way from host
    to host, and Kubernetes' network policies do not apply to it.
"""

EXAMPLES = r"""
- name: Connect every Pi to every Pi
  pi_controller.raft_migration.preflight_ports:
    name: "{{ inventory_hostname }}"
    address: "{{ ansible_host }}"
    peers:
      - {name: pi-1, address: 10.77.0.11}
      - {name: pi-2, address: 10.77.0.12}
    new_ports: [9092, 9093, 8082]
    old_ports: [9091, 9090, 8080]
  register: ports
"""

RETURN = r"""
listened:
  description: Those of O(new_ports) that were free.
  returned: success
  type: list
  elements: int
taken:
  description: Those that were not, with the reason.
  returned: success
  type: dict
  sample: {"8082": in use}
reached:
  description:
    - What became of each connection, V(answered) by this module on that Pi, V(connected) to another program's
      listener, V(refused), V(timeout), or the system's error.
  returned: success
  type: dict
  sample:
    pi-2:
      "8080": {result: connected, seconds: 0.0004}
      "9092": {result: answered, name: pi-2, seconds: 0.0005}
heard:
  description: On which ports each peer has been heard.
  returned: success
  type: dict
  sample: {"pi-2": [8082, 9092, 9093]}
clocks:
  description: How many seconds each peer's clock is ahead of this one, and how far that may be wrong.
  returned: success
  type: dict
  sample: {"pi-2": {offset: 0.000213, uncertainty: 0.000655}}
elapsed:
  description: Seconds it took.
  returned: success
  type: float
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.modules import run_module
from ..module_utils._preflight.port_probe import probe


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    result.update(probe(module.params))


def main() -> None:
    peer = {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "peers": {"type": "list", "elements": "dict", "options": peer, "required": True},
            "new_ports": {"type": "list", "elements": "int", "required": True},
            "old_ports": {"type": "list", "elements": "int", "default": []},
            "patience": {"type": "float", "default": 8.0},
        },
        supports_check_mode=True,
    )
    run_module(module, run, doing="probing the ports")


if __name__ == "__main__":
    main()

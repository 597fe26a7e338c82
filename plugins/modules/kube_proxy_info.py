#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_info
short_description: Read where this host's kube-proxy routes Services to, and wait until a change has reached it
description:
  - The API server has the targets that a Service should have; each host's kube-proxy follows in its own time. Traffic may
    only be closed at an endpoint once no proxy routes to it any more.
  - Reads what each mode of kube-proxy leaves in the kernel. The C(nftables) mode has a table C(kube-proxy); the
    C(ipvs) mode has virtual servers; the C(iptables) mode has chains in the nat table, which need no iptables to be read
    unless iptables-legacy wrote them. Its tools are looked for on the PATH, on that of a running kube-proxy or K3s, and
    where K3s keeps its own.
  - Without a kube-proxy (Cilium in its place, or K3s with C(--disable-kube-proxy)) there is nothing to forget.
    O(routes_to) cannot be seen then, and is given O(grace).
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  routes_to:
    description: Endpoints (C(ip:port), C([ip]:port)) the proxy must route to.
    type: list
    elements: str
    default: []
  forgotten:
    description: Endpoints (C(ip:port), C([ip]:port)) the proxy must not route to any more.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait for both.
    type: float
    default: 15
  grace:
    description: Seconds to give a proxy whose rules cannot be read, or one that is not there yet.
    type: float
    default: 3
"""

EXAMPLES = r"""
- name: No new connection of this Pi goes to the old leader
  pi_controller.raft_migration.kube_proxy_info:
    forgotten: ["10.77.0.11:8080"]
"""

RETURN = r"""
mode:
  description:
    - The mode that kube-proxy runs in, by what it has in the kernel; V(iptables), V(nftables) or V(ipvs).
    - V(none) where it has nothing there, V(unknown) where that cannot be read.
  returned: always
  type: str
  sample: iptables
known:
  description: Whether what the proxy has in the kernel can be read.
  returned: always
  type: bool
unreadable:
  description: Why it cannot be read; null where it can.
  returned: always
  type: str
endpoints:
  description: Endpoints of all Services that the proxy routes new connections to.
  returned: always
  type: list
  elements: str
  sample: ["10.77.0.12:8080", "10.77.0.13:8080"]
elapsed:
  description: Seconds waited.
  returned: always
  type: float
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import run_module
from ..module_utils._core.waiting import wait_until
from ..module_utils._kube.proxy import NONE, ProxyRules, endpoint_of_text
from ..module_utils._kube.proxy_look import ProxyLook


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    routes_to, forgotten = set(module.params["routes_to"]), set(module.params["forgotten"])
    grace = module.params["grace"]
    for text in [*routes_to, *forgotten]:
        try:
            endpoint_of_text(text)
        except ValueError:
            raise MigrationError(f"{text!r} is not an endpoint", next_step="write ip:port or [ip]:port") from None
    unseen_since = time.monotonic()

    def done(rules: ProxyRules) -> bool:
        nonlocal unseen_since
        if rules.settled(routes_to, forgotten) or not (routes_to or forgotten):
            return True
        if rules.known and rules.mode != NONE:
            # One look that fails after this says nothing of what was seen before.
            unseen_since = time.monotonic()
            return False
        # Its rules may be on their way: after a boot a proxy has none until it has reached the API server.
        return time.monotonic() - unseen_since >= grace

    waited = wait_until(ProxyLook(), done, max(module.params["wait_timeout"], grace))
    rules, elapsed = waited.value, waited.elapsed
    if not rules.known:
        module.warn(
            f"what kube-proxy has in this host's kernel cannot be read ({rules.unreadable}); waited {elapsed:.1f} s instead"
        )
    result.update(
        mode=rules.mode,
        known=rules.known,
        unreadable=rules.unreadable,
        endpoints=sorted(rules.endpoints),
        elapsed=round(elapsed, 3),
    )
    if not waited.met:
        raise MigrationError(
            f"After {elapsed:.1f} s kube-proxy (mode {rules.mode}) routes to {sorted(rules.endpoints)}; wanted: {sorted(routes_to)} among them, "
            f"{sorted(forgotten)} not",
            seen=sorted(rules.endpoints),
            wanted={"routes_to": sorted(routes_to), "forgotten": sorted(forgotten)},
            next_step="check that kube-proxy (on K3s: k3s itself) runs on this host and reaches the API server",
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "routes_to": {"type": "list", "elements": "str", "default": []},
            "forgotten": {"type": "list", "elements": "str", "default": []},
            "wait_timeout": {"type": "float", "default": 15},
            "grace": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    run_module(module, run, doing="reading kube-proxy's rules")


if __name__ == "__main__":
    main()

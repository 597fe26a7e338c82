#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_info
short_description: See where this host's kube-proxy leads, and wait until a change has reached it
description:
  - The API server tells what a Service should lead to; each host's kube-proxy follows in its own time. Traffic may only
    be closed at an endpoint once no proxy leads to it any more.
  - Reads the rules of the C(iptables) mode, the default of K3s and kubeadm. In another mode there is nothing to read;
    RV(known) is false then and the module waits O(grace) instead.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  leads_to:
    description: Endpoints (C(ip:port)) the proxy must know.
    type: list
    elements: str
    default: []
  forgotten:
    description: Endpoints (C(ip:port)) the proxy must not know any more.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait for both.
    type: float
    default: 15
  grace:
    description: Seconds to give a proxy whose rules cannot be read.
    type: float
    default: 3
"""

EXAMPLES = r"""
- name: No new connection of this Pi goes to the old leader
  pi_controller.raft_migration.kube_proxy_info:
    forgotten: ["10.77.0.11:8080"]
"""

RETURN = r"""
known:
  description: Whether the proxy's rules can be read.
  returned: always
  type: bool
endpoints:
  description: Endpoints of all Services the proxy leads to.
  returned: always
  type: list
  elements: str
  sample: ["10.77.0.12:8080", "10.77.0.13:8080"]
elapsed:
  description: Seconds waited.
  returned: always
  type: float
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.waiting import wait_until
from ..module_utils._kube.proxy import ProxyRules, parse_nat

K3S_PROGRAMS = "/var/lib/rancher/k3s/data/current/bin/aux"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "leads_to": {"type": "list", "elements": "str", "default": []},
            "forgotten": {"type": "list", "elements": "str", "default": []},
            "wait_timeout": {"type": "float", "default": 15},
            "grace": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    leads_to, forgotten = set(module.params["leads_to"]), set(module.params["forgotten"])
    # A Pi may have nft alone, and K3s its own iptables; a proxy of another mode has no rules there.
    iptables_save = module.get_bin_path("iptables-save", opt_dirs=[K3S_PROGRAMS])

    def look() -> ProxyRules:
        if not iptables_save:
            return parse_nat("")
        _rc, saved, _err = module.run_command([iptables_save, "-t", "nat"], check_rc=True)
        return parse_nat(saved)

    waited = wait_until(look, lambda rules: not rules.known or rules.settled(leads_to, forgotten), module.params["wait_timeout"])
    rules, elapsed = waited.value, waited.elapsed
    if not rules.known and (leads_to or forgotten):
        # The one wait without a condition: this proxy shows nothing that could be waited for.
        time.sleep(module.params["grace"])
        elapsed += module.params["grace"]
    result = {"known": rules.known, "endpoints": sorted(rules.endpoints), "elapsed": round(elapsed, 3)}
    if not waited.met:
        module.fail_json(
            msg=f"After {elapsed:.1f} s kube-proxy leads to {sorted(rules.endpoints)}; wanted: {sorted(leads_to)} among them, "
            f"{sorted(forgotten)} not. Next: check that kube-proxy (on K3s: k3s itself) runs on this host and reaches the API server",
            **result,
        )
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

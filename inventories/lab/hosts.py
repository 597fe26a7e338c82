#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running lab as an Ansible inventory, with k3s-ansible's groups."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def inventory(state: dict) -> dict:
    names = [node["name"] for node in state["nodes"]]
    return {
        "_meta": {"hostvars": {node["name"]: {"ansible_host": node["address"]} for node in state["nodes"]}},
        "server": {"hosts": names[:1]},
        "agent": {"hosts": names[1:]},
        "k3s_cluster": {
            "children": ["server", "agent"],
            "vars": {
                "ansible_user": "root",
                "ansible_ssh_common_args": f"-F {state['ssh_config']}",
                "pi_controller_kubeconfig": state["kubeconfig"],
            },
        },
    }


def main() -> int:
    path = Path(os.environ.get("PI_LAB_STATE", "/var/lib/pi-lab")) / "state.json"
    try:
        state = json.loads(path.read_text())
    except FileNotFoundError:
        print(f"{path} is missing: the lab is not up. Run `make lab-up` first.", file=sys.stderr)
        return 1
    print(json.dumps(inventory(state), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

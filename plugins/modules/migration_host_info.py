#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_host_info
short_description: Read one Pi's migration status in one round trip
description:
  - Reads, on the Pi itself, its journal, the traffic gate, who holds the standard and temporary ports, what the daemons
    there say of Raft, the systemd unit, and the backups.
  - The daemons are asked from the operator's address, which every state of the gate lets through. So the answer is that
    of the daemon on this Pi, also while the gate routes every other client to another Pi.
  - A daemon is asked, and sent the token, only where its port is held by the unit or by a pod. Whatever else listens there
    may be a process of any user.
  - Nothing that cannot be read makes it fail; it is named in RV(faults) instead, so that the rest can still be seen.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.rest
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  urls:
    description: The URLs of the daemons of this Pi, on the standard and on the temporary port.
    required: true
  backup_path:
    description: The folder with the journal and the backups.
    type: path
    required: true
  unit:
    description: The systemd unit.
    type: str
    default: pi-controller.service
  ports:
    description: Further TCP ports whose holder to name; those of O(urls) are looked at anyway.
    type: list
    elements: int
    default: []
  paths:
    description: Files and folders whose presence to tell, by a name of your choice.
    type: dict
    default: {}
  databases:
    description: SQLite databases whose content to read, by a name of your choice.
    type: dict
    default: {}
  exclude_tables:
    description: Tables that are left out of the content, as in M(pi_controller.raft_migration.sqlite_info).
    type: list
    elements: str
    default: []
seealso:
  - module: pi_controller.raft_migration.raft_info
  - module: pi_controller.raft_migration.sqlite_info
"""

EXAMPLES = r"""
- name: Look at this Pi
  pi_controller.raft_migration.migration_host_info:
    urls:
      - http://10.77.0.11:8080
      - http://10.77.0.11:8082
    backup_path: /var/backups/pi-controller-migration
  register: host
"""

RETURN = r"""
clock:
  description: The Pi's clock, in seconds since the epoch.
  returned: always
  type: float
journal:
  description: The journal; null where there is none or none that can be read.
  returned: always
  type: dict
last_journal:
  description: The journal that a finished rollback has put aside last.
  returned: always
  type: dict
manifest:
  description: What was written down of this Pi before anything was changed.
  returned: always
  type: dict
gate:
  description: The state of the traffic gate and the Pi it forwards to.
  returned: always
  type: dict
  sample: {"state": "forwarded", "forward_to": "10.77.0.12"}
listeners:
  description: What holds each port; V(unit), V(pod) or V(other). Ports without a listener are left out.
  returned: always
  type: dict
  sample: {"8080": {"held_by": "unit", "pid": 412, "command": "pi-controller"}}
daemons:
  description: The answer of each of O(urls), in their order.
  returned: always
  type: list
  elements: dict
  contains:
    url: {type: str, description: The URL.}
    held_by: {type: str, description: Who holds its port.}
    answers: {type: bool, description: Whether it answers.}
    error: {type: str, description: The error instead.}
    latency_ms: {type: float, description: How long the answer took; null where the daemon was not asked.}
    status: {type: dict, description: "The daemon's Raft status, reduced to what is known of it."}
unit:
  description: The unit.
  returned: always
  type: dict
  sample: {"load": "loaded", "active": "active", "enabled": "enabled", "pid": 412, "restarts": 0}
backups:
  description: The backups with size and age.
  returned: always
  type: list
  elements: dict
paths:
  description: Whether each of O(paths) is there.
  returned: always
  type: dict
contents:
  description:
    - Of each of O(databases) what M(pi_controller.raft_migration.sqlite_info) returns, or C(error) where it cannot be read. One that is
      missing is left out.
  returned: always
  type: dict
  sample: {"pods": {"digest": "9f2c6a0d...", "tables": {"nodes": {"rows": 3, "digest": "c0ffee..."}}}}
versions:
  description: Operating system, kernel, machine and Python of the Pi.
  returned: always
  type: dict
faults:
  description: What could not be read, and why.
  returned: always
  type: list
  elements: str
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import platform
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.journal import load
from ..module_utils._core.modules import run_module
from ..module_utils._core.systemd import in_words, parse_show, show_command, unit_name
from ..module_utils._daemon.drivers import clients_of, rest_options
from ..module_utils._daemon.interface import Daemon
from ..module_utils._gate.nft import Nft
from ..module_utils._report import host_state as host
from ..module_utils._sqlite.look import look_at

# Seconds for a database that a daemon writes to, as sqlite_info has them.
BUSY_TIMEOUT = 10.0


class Looker:
    """Reads one thing after the other and keeps the faults."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.faults: list[str] = []

    def journal(self, path: Path) -> dict[str, Any] | None:
        try:
            return load(path)
        except MigrationError as error:
            self.faults.append(str(error))
            return None

    def output(self, *command: str) -> str:
        binary = self.module.get_bin_path(command[0])
        if not binary:
            self.faults.append(f"{command[0]} is not installed")
            return ""
        code, out, err = self.module.run_command([binary, *command[1:]], environ_update={"LC_ALL": "C"})
        if code:
            self.faults.append(f"{' '.join(command)} ended with {code}: {err.strip()}")
        return str(out)

    def gate(self) -> dict[str, Any]:
        try:
            return host.gate_state(Nft.of(self.module).table())
        except MigrationError as error:
            self.faults.append(str(error))
            return {"state": "unknown", "forward_to": None}

    def content(self, path: Path) -> dict[str, Any]:
        try:
            return look_at(path, self.module.params["exclude_tables"], BUSY_TIMEOUT, integrity=False, against=None)
        # Rows can be larger than the memory of a Pi; everything else about it is still worth knowing.
        except (MigrationError, OSError, MemoryError) as error:
            return {"error": str(error) or type(error).__name__}

    def daemon(self, client: Daemon, holder: dict[str, Any] | None) -> dict[str, Any]:
        began = time.monotonic()
        held_by = holder["held_by"] if holder else None
        found: dict[str, Any] = {"url": client.url, "held_by": held_by, "answers": False, "error": None, "status": None}
        # The request carries the token: whatever else listens there, of any user of this Pi, must not get it.
        if held_by not in host.TRUSTED:
            who = (
                f"held by {holder['command'] or 'a process that cannot be seen'} (pid {holder['pid'] or 'unknown'})"
                if holder
                else "free"
            )
            found["error"] = (
                f"not asked: port {client.port} is {who}, neither by {self.module.params['unit']} nor by a pod"
            )
            return {**found, "latency_ms": None}
        try:
            found["status"] = client.report()
            found["answers"] = True
        except MigrationError as error:
            found["error"] = str(error)
        return {**found, "latency_ms": round((time.monotonic() - began) * 1000, 1)}


def look(module: AnsibleModule, result: dict[str, Any]) -> None:
    params = module.params
    clients = clients_of(params)
    ports = {urlsplit(client.url).port or client.port for client in clients} | set(params["ports"])
    folder = Path(params["backup_path"])
    looker = Looker(module)
    unit = parse_show(looker.output(*show_command("systemctl", params["unit"])))
    # By its own name, which is that of its control group, whatever alias it was given by.
    held = host.holders(ports, unit["id"] or unit_name(params["unit"]))
    now = time.time()
    result |= {
        "clock": round(now, 3),
        "journal": looker.journal(folder / "journal.json"),
        "last_journal": host.last_journal(folder),
        "manifest": host.manifest(folder),
        "gate": looker.gate(),
        "listeners": {str(port): holder for port, holder in sorted(held.items())},
        "daemons": [looker.daemon(client, held.get(client.port)) for client in clients],
        "unit": in_words(unit),
        "backups": host.backups(folder, now),
        "paths": {name: Path(path).exists() for name, path in params["paths"].items()},
        "contents": {
            name: looker.content(Path(path)) for name, path in params["databases"].items() if Path(path).exists()
        },
        "versions": {
            "os": host.os_release(_text("/etc/os-release")),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
        "faults": looker.faults,
    }


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **rest_options(),
            "backup_path": {"type": "path", "required": True},
            "unit": {"type": "str", "default": "pi-controller.service"},
            "ports": {"type": "list", "elements": "int", "default": []},
            "paths": {"type": "dict", "default": {}},
            "databases": {"type": "dict", "default": {}},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    run_module(module, look, doing="looking at this Pi")


if __name__ == "__main__":
    main()

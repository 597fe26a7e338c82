#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_host
short_description: Read everything that pre-flight needs to know of one Pi
description:
  - Looks at folders and file systems, the daemon's unit, its database, who listens on which port, the memory, the
    container images, and whether the Pi has the address it is known by. All in one go, since each call of a module is a
    round trip to a slow host.
  - Judges nothing. What is found goes into P(pi_controller.raft_migration.preflight_findings#filter).
  - What cannot be read is left empty and never makes the module fail.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  paths:
    description:
      - The folders and files of the migration by the names of their settings, C(data_dir), C(database),
        C(config_file), C(backup_path), C(archive_path) and C(pod_data_dir).
    type: dict
    required: true
  unit:
    description: The daemon's systemd unit.
    type: str
    required: true
  ports:
    description: Ports whose listeners are looked for.
    type: list
    elements: int
    required: true
  address:
    description: The address this Pi is known by.
    type: str
    required: true
  image:
    description: The image to look for in the container runtime.
    type: str
    default: ""
notes:
  - Of the daemon's environment and of its flags only the names are returned, since values may be secrets.
  - SQLite itself may leave an empty C(-wal) and a C(-shm) beside a database in WAL mode that no other process has open.
"""

EXAMPLES = r"""
- name: Look at the Pi
  pi_controller.raft_migration.preflight_host:
    paths:
      data_dir: /var/lib/pi-controller
      database: /var/lib/pi-controller/pi-controller.db
      config_file: /etc/pi-controller/config.yaml
      backup_path: /var/backups/pi-controller-migration
      archive_path: /var/lib/pi-controller.systemd.backup
      pod_data_dir: /var/lib/pi-controller-pods
    unit: pi-controller.service
    ports: [8080, 9090, 9091, 8082, 9093, 9092]
    address: 10.77.0.11
  register: seen
"""

RETURN = r"""
privileged:
  description: Whether the module ran as root; without that, listeners cannot be distinguished.
  returned: success
  type: bool
python:
  description: Version of Python on the Pi.
  returned: success
  type: str
  sample: 3.11.2
paths:
  description: Kind, symbolic links on the way, file system and mounts of every path.
  returned: success
  type: dict
  sample:
    backup_path:
      path: /var/backups/pi-controller-migration
      kind: null
      entries: null
      links: []
      real: /var/backups/pi-controller-migration
      existing: /var/backups
      device: 66
      free: 1050673152
      free_files: 64102
      read_only: false
      mount: /
      filesystem: ext4
      is_mount_point: false
      mounts_inside: []
forgetful_root:
  description: What says that changes of the root file system are gone after a reboot; null where nothing does.
  returned: success
  type: str
  sample: / is an overlay (overlayroot=tmpfs on the kernel's command line)
state_bytes:
  description: Bytes below the data folder.
  returned: success
  type: int
held_bytes:
  description: Bytes below C(backup_path) and C(pod_data_dir), which are there when an earlier run has left copies.
  returned: success
  type: dict
  sample: {backup_path: 0, pod_data_dir: 0}
unit:
  description: >-
    State of the unit as systemd has it, with the memory of its process and what it really runs with (C(process), null where it does
    not run); what starts it apart from links below C(/etc/systemd/system) (C(started_by)); and how many files a container may
    have open (C(runtime_open_files_limit)).
  returned: success
  type: dict
  sample:
    {active: active, drop_ins: [], enabled: enabled, file: /etc/systemd/system/pi-controller.service, id: pi-controller.service,
     load: loaded, memory: 31457280, names: [pi-controller.service], needs_reload: false, pid: 198, restarts: 0,
     runtime_open_files_limit: 1048576, started_by: [], sub: running, unread_drop_ins: [],
     process: {config: /etc/pi-controller/config.yaml, cwd: /, environment: [], flags: [], gid: 0, groups: {}, open_files_limit: 1024,
               relative_settings: [], uid: 0, user: root, words: [], written_files: []}}
node_id:
  description: The Raft ID in the daemon's environment or configuration; null where none was found.
  returned: success
  type: str
  sample: pi-1
listeners:
  description: Listeners on O(ports). C(owner) is V(unit), V(pod), V(other) or V(unknown).
  returned: success
  type: list
  elements: dict
  sample: [{address: 0.0.0.0, command: pi-controller, owner: unit, pid: 198, port: 8080}]
database:
  description: >-
    The result of SQLite's integrity check, C(ok) when all is well and a digest of all rows could be made; the seconds both
    took, and those of the digest alone (C(digest_seconds)); the seconds for which writes wait whenever the database is
    copied (C(writes_waited), null in WAL mode, where they do not); what each table needs that SQLite on this Pi
    (C(sqlite)) does not have (C(needs)); and its bytes (C(bytes)).
  returned: success
  type: dict
  sample:
    {integrity: ok, bytes: 4194304, seconds: 0.011, digest_seconds: 0.004, writes_waited: null, sqlite: 3.40.1,
     needs: [{table: nodes, need: "the collation own, which its application registers"}]}
write_speed:
  description: >-
    Bytes a second that the file system of C(pod_data_dir) takes, synced, from a sample of at most 16 MiB or two seconds in a file
    without a name; null where it could not be measured.
  returned: success
  type: float
  sample: 21390950.4
memory_available:
  description: Bytes a new process can have without swapping.
  returned: success
  type: int
has_address:
  description: Whether O(address) is an address of this Pi.
  returned: success
  type: bool
missing_tools:
  description: Commands the migration needs and this Pi has not.
  returned: success
  type: list
  elements: str
kube_proxy:
  description: The mode kube-proxy runs in on this Pi, as M(pi_controller.raft_migration.kube_proxy_info) has it.
  returned: success
  type: dict
  sample: {mode: iptables, unreadable: null}
evictions:
  description:
    - The disk space below which the kubelet of this Pi evicts pods, and what there is, in bytes (C(below), C(free), C(total)).
      C(device) is that of its file system.
  returned: success
  type: list
  elements: dict
  sample:
    - {signal: nodefs.available, path: /var/lib/kubelet, device: 45826, total: 31268536320, free: 9663676416, below: 1563426816}
image_present:
  description: Whether the container runtime has O(image); null where it cannot be asked.
  returned: success
  type: bool
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import os
import platform
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import run_module
from ..module_utils._core.mounts import command_line, forgetful_root
from ..module_utils._core.mounts import read as read_mounts
from ..module_utils._core.paths import describe, nearest_existing, size_of
from ..module_utils._core.procfs import (
    environment_value,
    listeners,
    memory_available,
    memory_of,
)
from ..module_utils._core.systemd import parse_show, show_command, unit_name, unread_drop_ins
from ..module_utils._core.unit_install import DEPENDENCIES, ETC
from ..module_utils._core.unit_process import process, relative_settings, runtime_limit
from ..module_utils._core.write_speed import write_speed
from ..module_utils._daemon.drivers import settings
from ..module_utils._kube.eviction import evictions
from ..module_utils._kube.images import full_name, names
from ..module_utils._kube.proxy_look import ProxyLook
from ..module_utils._sqlite.copies import isolated
from ..module_utils._sqlite.database import check_integrity, in_wal_mode, pages
from ..module_utils._sqlite.digest import content_of
from ..module_utils._sqlite.needs import needs

# Seconds to wait for a database that is locked.
BUSY_TIMEOUT = 10.0
TOOLS = ("systemctl", "nft")
# What an earlier run, or one that is going on, has left copies in.
HELD = ("backup_path", "pod_data_dir")
# K3s brings its own; elsewhere it is containerd's.
RUNTIMES = (("k3s", "ctr"), ("ctr",))


class Look:
    """Everything about one Pi; each method reads one thing."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.paths: dict[str, str] = {name: str(path) for name, path in module.params["paths"].items()}

    def unit(self) -> dict[str, Any]:
        systemctl = self.module.get_bin_path("systemctl")
        text = ""
        if systemctl:
            _rc, text, _err = self.module.run_command(show_command(systemctl, self.params["unit"]))
        unit = parse_show(text)
        name = unit["id"] or unit_name(self.params["unit"])
        links = [ETC / f"{other}{kind}" / name for other in unit["started_by"] for kind in DEPENDENCIES]
        undoable = {path.parent.stem for path in links if path.is_symlink()}
        return {
            **unit,
            "id": name,
            "started_by": [other for other in unit["started_by"] if other not in undoable],
            "unread_drop_ins": unread_drop_ins(name, unit["drop_ins"]),
            "memory": memory_of(unit["pid"]) if unit["pid"] else None,
            "process": {**process(unit["pid"]), "relative_settings": relative_settings(self.config())}
            if unit["pid"]
            else None,
            "runtime_open_files_limit": runtime_limit(),
        }

    def config(self) -> str:
        try:
            return Path(self.paths["config_file"]).read_text(encoding="utf-8", errors="replace")
        except (KeyError, OSError):
            return ""

    def node_id(self, pid: int) -> Optional[str]:
        """The Raft ID: from the daemon's environment, else from its configuration file."""
        given = environment_value(pid, settings.NODE_ID) if pid else None
        return given or settings.node_id_in(self.config())

    def database(self) -> dict[str, Any]:
        path, busy, began = Path(self.paths["database"]), BUSY_TIMEOUT, time.monotonic()
        seen: dict[str, Any] = {"integrity": "ok", "needs": [], "sqlite": sqlite3.sqlite_version}
        try:
            seen["needs"] = needs(path, busy)
            with isolated(path, busy) as (connection, waited):
                # In WAL mode no write waits for a reader, and it is not looked at how long the others would.
                seen["writes_waited"] = None if in_wal_mode(connection) else round(waited, 3)
                count = pages(connection)
                seen["bytes"] = count["page_count"] * count["page_size"]
                check_integrity(connection, path)
                read = time.monotonic()
                content_of(connection)
                seen["digest_seconds"] = round(time.monotonic() - read, 3)
        except (MigrationError, OSError) as error:
            seen["integrity"] = str(error)
        return {**seen, "seconds": round(time.monotonic() - began, 3)}

    def has_address(self) -> bool:
        """Only an own address can be bound; no packet is sent."""
        try:
            found = socket.getaddrinfo(self.params["address"], 0, type=socket.SOCK_STREAM)
        except OSError:
            return False
        for family, kind, protocol, _name, address in found:
            with socket.socket(family, kind, protocol) as one:
                try:
                    one.bind(address)
                except OSError:
                    continue
                return True
        return False

    def image_present(self) -> Optional[bool]:
        if not self.params["image"]:
            return None
        for program, *words in RUNTIMES:
            binary = self.module.get_bin_path(program)
            if binary:
                command = [binary, *words, "--namespace=k8s.io", "images", "list", "--quiet"]
                rc, text, _err = self.module.run_command(command)
                if rc == 0:
                    return not names(self.params["image"]).isdisjoint(full_name(line) for line in text.split())
        return None

    def kube_proxy(self) -> dict[str, Any]:
        rules = ProxyLook()()
        return {"mode": rules.mode, "unreadable": rules.unreadable}

    def everything(self) -> dict[str, Any]:
        unit, mounts = self.unit(), read_mounts()
        return {
            "privileged": os.geteuid() == 0,
            "python": platform.python_version(),
            "paths": {name: describe(path, mounts) for name, path in self.paths.items()},
            "forgetful_root": forgetful_root(mounts, command_line()),
            "state_bytes": size_of(self.paths["data_dir"]),
            "held_bytes": {name: size_of(self.paths[name]) for name in HELD if name in self.paths},
            "unit": unit,
            "node_id": self.node_id(unit["pid"]),
            "listeners": [listener.as_dict() for listener in listeners(set(self.params["ports"]), unit["id"])],
            "database": self.database(),
            "write_speed": write_speed(Path(nearest_existing(self.paths.get("pod_data_dir", "/var/lib")))),
            "memory_available": memory_available(),
            "has_address": self.has_address(),
            "missing_tools": [tool for tool in TOOLS if not self.module.get_bin_path(tool)],
            "image_present": self.image_present(),
            "kube_proxy": self.kube_proxy(),
            "evictions": evictions(),
        }


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    result.update(Look(module).everything())


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "dict", "required": True},
            "unit": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "int", "required": True},
            "address": {"type": "str", "required": True},
            "image": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    run_module(module, run, doing="looking at this Pi")


if __name__ == "__main__":
    main()

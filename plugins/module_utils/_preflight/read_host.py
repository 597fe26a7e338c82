# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what pre-flight needs to know of the Pi that it runs on. Judges nothing."""

from __future__ import annotations

import os
import platform
import socket
import sqlite3
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from .._core.failures import MigrationError
from .._core.mounts import command_line, forgetful_root
from .._core.mounts import read as read_mounts
from .._core.named_paths import named_files, relative_paths
from .._core.paths import describe, nearest_existing, size_of
from .._core.procfs import (
    environment_value,
    listeners,
    memory_available,
    memory_of,
    unprivileged_ports_from,
)
from .._core.systemd import hooks_command, parse_hooks, parse_show, show_command, unit_name, unread_drop_ins
from .._core.unit_install import DEPENDENCIES, ETC
from .._core.unit_process import process, runtime_limit
from .._core.write_speed import write_speed
from .._daemon.drivers import settings
from .._daemon.pod_files import listeners as file_listeners
from .._gate.nft import Nft
from .._kube.eviction import evictions
from .._kube.image_space import image_space
from .._kube.images import full_name, names
from .._kube.kubelet import read_kubelet
from .._kube.proxy_look import ProxyLook
from .._sqlite.copies import ScratchError, isolated
from .._sqlite.database import check_integrity, in_wal_mode, pages
from .._sqlite.digest import content_of
from .._sqlite.needs import needs
from .disk import HELD

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# Seconds to wait for a database that is locked.
BUSY_TIMEOUT = 10.0
TOOLS = ("systemctl", "nft")
# K3s brings its own; elsewhere it is containerd's.
RUNTIMES = (("k3s", "ctr"), ("ctr",))


class HostReading:
    """Everything about the Pi itself; each method reads one thing."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.paths: dict[str, str] = {name: str(path) for name, path in module.params["paths"].items()}

    @cached_property
    def shown(self) -> dict[str, Any]:
        """The unit as systemd has it; empty values without systemd."""
        systemctl = self.module.get_bin_path("systemctl")
        return parse_show(self.output(show_command(systemctl, self.params["unit"]))[1] if systemctl else "")

    def hooks(self) -> list[str]:
        systemctl = self.module.get_bin_path("systemctl")
        return parse_hooks(self.output(hooks_command(systemctl, self.params["unit"]))[1]) if systemctl else []

    def output(self, command: list[str]) -> tuple[int, str]:
        """Exit status and output. Raises OSError where it cannot be started: `run_command` would end the module, with all its parts."""
        code, text, _err = self.module.run_command(command, handle_exceptions=False)
        return code, text

    def unit(self) -> dict[str, Any]:
        unit = self.shown
        name = unit["id"] or unit_name(self.params["unit"])
        links = [ETC / f"{other}{kind}" / name for other in unit["started_by"] for kind in DEPENDENCIES]
        undoable = {path.parent.stem for path in links if path.is_symlink()}
        return {
            **unit,
            "id": name,
            "started_by": [other for other in unit["started_by"] if other not in undoable or other in unit["bound_by"]],
            "hooks": self.hooks(),
            "unread_drop_ins": unread_drop_ins(name, unit["drop_ins"]),
            "named_files": named_files(self.config(), settings.SECTION_ALIASES),
            "memory": memory_of(unit["pid"]) if unit["pid"] else None,
            "process": self.process() if unit["pid"] else None,
            "runtime_open_files_limit": runtime_limit(),
        }

    def process(self) -> dict[str, Any]:
        seen = process(self.shown["pid"])
        return {**seen, "relative_paths": relative_paths(self.config(), settings.SECTION_ALIASES, seen["cwd"])}

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
                checked = time.monotonic()
                check_integrity(connection, path)
                read = time.monotonic()
                seen["check_seconds"] = round(read - checked, 3)
                content_of(connection)
                seen["digest_seconds"] = round(time.monotonic() - read, 3)
        except (MigrationError, OSError) as error:
            seen["integrity"] = str(error)
            if isinstance(error, ScratchError):
                seen["next_step"] = error.failure["next_step"]
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
        """Whether the kubelet's runtime has the image; None where it cannot be asked.

        Every pod needs an image, so a list without any is of another runtime, such as Docker's own containerd.
        """
        if not self.params["image"]:
            return None
        for program, *words in RUNTIMES:
            binary = self.module.get_bin_path(program)
            if binary:
                code, text = self.output([binary, *words, "--namespace=k8s.io", "images", "list", "--quiet"])
                if code == 0 and text.split():
                    return not names(self.params["image"]).isdisjoint(full_name(line) for line in text.split())
        return None

    def kube_proxy(self) -> dict[str, Any]:
        rules = ProxyLook()()
        return {"mode": rules.mode, "unreadable": rules.unreadable}

    def forwarding(self) -> dict[str, Any]:
        """Chains of this Pi's firewalls that drop forwarded packets of the address's family by default."""

        def run(command: list[str], data: Optional[str]) -> tuple[int, str, str]:
            code, out, err = self.module.run_command(
                command, data=data, environ_update={"LC_ALL": "C"}, handle_exceptions=False
            )
            return code, out, err

        family = "ip6" if ":" in self.params["address"] else "ip"
        try:
            denied = Nft(self.module.get_bin_path("nft"), run).forwarding_denied_by({family})
        except (MigrationError, OSError, ValueError, KeyError, TypeError) as error:
            # What is not the JSON of nft has no words for people.
            known = isinstance(error, (MigrationError, OSError))
            return {"denied_by": [], "unreadable": str(error) if known else "nft printed something other than its list"}
        return {"denied_by": denied, "unreadable": None}

    def held(self) -> dict[str, dict[str, int]]:
        """Bytes of each copy that an earlier run has left; a file of several names counts once."""
        counted: set[tuple[int, int]] = set()
        return {
            place: {name: size_of(str(Path(self.paths[place]) / name), counted) for name in names}
            for place, names in HELD.items()
            if place in self.paths
        }

    def read(self, found: dict[str, Any]) -> None:
        """Put all of it into `found`, or nothing. Raises MigrationError and OSError."""
        unit, mounts, kubelet = self.unit(), read_mounts(), read_kubelet()
        found |= {
            "privileged": os.geteuid() == 0,
            "python": platform.python_version(),
            "paths": {name: describe(path, mounts) for name, path in self.paths.items()},
            "unit_folder": describe(str(ETC), mounts),
            "forgetful_root": forgetful_root(mounts, command_line()),
            "state_bytes": size_of(self.paths["data_dir"]),
            "held_bytes": self.held(),
            "unit": unit,
            "node_id": self.node_id(unit["pid"]),
            "own_listeners": file_listeners(Path(self.paths.get("config_file", ""))),
            "unprivileged_ports_from": unprivileged_ports_from(),
            "listeners": [listener.as_dict() for listener in listeners(set(self.params["ports"]), unit["id"])],
            "database": self.database(),
            "write_speed": write_speed(Path(nearest_existing(self.paths.get("pod_data_dir", "/var/lib")))),
            "memory_available": memory_available(),
            "has_address": self.has_address(),
            "missing_tools": [tool for tool in TOOLS if not self.module.get_bin_path(tool)],
            "image_present": self.image_present(),
            "kube_proxy": self.kube_proxy(),
            "forwarding": self.forwarding(),
            "image_space": image_space(kubelet),
            "evictions": evictions(kubelet),
        }

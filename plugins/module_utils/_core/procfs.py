# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who listens on this host: the kernel's tables of sockets, and the processes that hold them."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket. `owner` is `unit`, `pod`, `other`, or `unknown` where the process cannot be seen."""

    port: int
    address: str
    pid: int | None = None
    command: str = ""
    owner: str = "unknown"

    def as_dict(self) -> dict[str, object]:
        return {
            "port": self.port,
            "address": self.address,
            "pid": self.pid,
            "command": self.command,
            "owner": self.owner,
        }


def parse_sockets(text: str) -> Iterator[tuple[int, str, int]]:
    """(port, address, inode) of every listening socket in /proc/net/tcp or /proc/net/tcp6."""
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == _LISTEN:
            address, _colon, port = words[1].partition(":")
            yield int(port, 16), _address(address), int(words[9])


def _address(text: str) -> str:
    # Each 32-bit word is printed in the byte order of the host; all Pis are little-endian.
    raw = b"".join(bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8))
    return str(ipaddress.ip_address(raw))


def owner_of(cgroups: str, unit: str, root: str = "") -> str:
    """Whose a process is, by the text of its /proc/PID/cgroup; `root` is that of process 1, whose groups the others are below.

    Any user may give control groups below their own the names of the unit or of Kubernetes (`systemd-run --user --unit`).
    """
    above = {path.removesuffix("/init.scope") for path in _paths(root)}
    own = [
        next((path[len(top) :] for top in above if top and path.startswith(f"{top}/")), path)
        for path in _paths(cgroups)
    ]
    parts = {part for path in own for part in path.split("/")}
    if any(part == "user.slice" or part.startswith(("user-", "user@")) for part in parts):
        return "other"
    if unit in parts:
        return "unit"
    return "pod" if any(part.startswith("kubepods") for part in parts) else "other"


def _paths(cgroups: str) -> list[str]:
    return [line.split(":", 2)[-1] for line in cgroups.splitlines()]


def listeners(ports: Collection[int], unit: str, proc: Path = PROC) -> list[Listener]:
    """Every listener on one of these ports, with the process that holds it."""
    sockets = {}
    for name in ("tcp", "tcp6"):
        table = proc / "net" / name
        if table.exists():
            for port, address, inode in parse_sockets(table.read_text()):
                if port in ports:
                    sockets[inode] = (port, address)
    holders = _holders(set(sockets), proc) if sockets else {}
    root = _read(proc / "1/cgroup")
    found = []
    for inode, (port, address) in sockets.items():
        pid = holders.get(inode)
        if pid is None:
            found.append(Listener(port, address))
        else:
            cgroups = _read(proc / str(pid) / "cgroup")
            command = _read(proc / str(pid) / "comm").strip()
            found.append(Listener(port, address, pid, command, owner_of(cgroups, unit, root)))
    return sorted(found, key=lambda listener: (listener.port, listener.address))


def _holders(inodes: set[int], proc: Path) -> dict[int, int]:
    """Which process has each of these sockets open; the kernel keeps no index, so all have to be looked through."""
    found: dict[int, int] = {}
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            descriptors = list(os.scandir(process / "fd"))
        except OSError:  # it ended meanwhile, or belongs to another user
            continue
        for descriptor in descriptors:
            try:
                match = _SOCKET.fullmatch(os.readlink(descriptor.path))  # noqa: PTH115
            except OSError:
                continue
            if match and int(match[1]) in inodes:
                found.setdefault(int(match[1]), int(process.name))
        if len(found) == len(inodes):
            break
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def environment_value(pid: int, name: str, proc: Path = PROC) -> str | None:
    for entry in _read(proc / str(pid) / "environ").split("\0"):
        key, equals, value = entry.partition("=")
        if equals and key == name:
            return value
    return None


def memory_of(pid: int, proc: Path = PROC) -> int | None:
    """Bytes a process has in memory."""
    return _kib(_read(proc / str(pid) / "status"), "VmRSS")


def unprivileged_ports_from(proc: Path = PROC) -> int:
    """The first port that a process without capabilities can bind."""
    text = _read(proc / "sys/net/ipv4/ip_unprivileged_port_start").strip()
    return int(text) if text.isascii() and text.isdigit() else 1024


def memory_available(proc: Path = PROC) -> int | None:
    """Bytes that a new process can have without swapping."""
    return _kib(_read(proc / "meminfo"), "MemAvailable")


def _kib(text: str, key: str) -> int | None:
    match = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None

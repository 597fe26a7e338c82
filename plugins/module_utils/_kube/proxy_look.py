# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at what kube-proxy has in this host's kernel, in whichever mode it runs."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import nat_dump
from .proxy import (
    IPTABLES,
    IPVS,
    NFTABLES,
    NONE,
    UNKNOWN,
    ProxyRules,
    of_ip_vs,
    of_nat_rules,
    of_nft_table,
    parse_iptables_save,
)

PROC = Path("/proc")
TABLE = "kube-proxy"
TIMEOUT = 10.0
# K3s keeps its own iptables here, and no link to it on the PATH.
K3S_TOOLS = (Path("/var/lib/rancher/k3s/data/current/bin/aux"), Path("/var/lib/rancher/k3s/data/current/bin"))
PROXIES = ("kube-proxy", "k3s", "k3s-server", "k3s-agent")
# The prefix of the tools for each family, and the kernel's list of tables that iptables-legacy has made.
LEGACY = (("iptables", "net/ip_tables_names"), ("ip6tables", "net/ip6_tables_names"))


class ProxyLook:
    """Each call reads the kernel once. `proc` is another folder in tests."""

    def __init__(self, proc: Path = PROC) -> None:
        self.proc = proc
        self.folders = [*_path_folders(os.environ.get("PATH", "")), *_folders_of_proxies(proc), *K3S_TOOLS]

    def __call__(self) -> ProxyRules:
        unreadable: list[str] = []
        found: dict[str, frozenset[str]] = {}
        for mode, read in ((NFTABLES, self._nftables), (IPVS, self._ipvs), (IPTABLES, self._iptables)):
            try:
                endpoints = read()
            except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                unreadable.append(f"{mode}: {error}")
                continue
            if endpoints is not None:
                found[mode] = endpoints
        if found:
            # Rules of another mode are left over, but the kernel follows them all the same. In ipvs mode some of
            # iptables mode's chains are part of it.
            return ProxyRules(next(iter(found)), frozenset().union(*found.values()))
        if unreadable:
            return ProxyRules(UNKNOWN, unreadable="; ".join(unreadable))
        return ProxyRules(NONE)

    def _nftables(self) -> frozenset[str] | None:
        nft = self._tool("nft")
        if nft is None:
            # Without nft on this host nothing can have made its table but a kube-proxy in a container of its own.
            raise OSError("nft is not installed, so its table cannot be read")
        tables = json.loads(_run([nft, "-j", "list", "tables"]))["nftables"]
        families = [item["table"]["family"] for item in tables if (item.get("table") or {}).get("name") == TABLE]
        if not families:
            return None
        return frozenset().union(
            *(of_nft_table(_run([nft, "-j", "list", "table", family, TABLE])) for family in families)
        )

    def _ipvs(self) -> frozenset[str] | None:
        return of_ip_vs(_text(self.proc / "net/ip_vs"))

    def _iptables(self) -> frozenset[str] | None:
        rules = nat_dump.nat_rules()
        for prefix, names in LEGACY:
            if "nat" in _text(self.proc / names).split():
                rules += parse_iptables_save(_run([self._legacy_tool(prefix), "-t", "nat"]))
        return of_nat_rules(rules)

    def _legacy_tool(self, prefix: str) -> str:
        for name in (f"{prefix}-legacy-save", f"{prefix}-save"):
            for tool in self._tools(name):
                # Versions that know nothing but the kernel's old tables do not name them.
                if "nf_tables" not in _run([tool, "--version"]):
                    return tool
        raise OSError(
            f"the kernel has tables of iptables-legacy, and there is no {prefix}-legacy-save to read them with"
        )

    def _tool(self, name: str) -> str | None:
        return next(self._tools(name), None)

    def _tools(self, name: str) -> Iterator[str]:
        for folder in self.folders:
            tool = shutil.which(name, path=str(folder))
            if tool:
                yield tool


def _path_folders(path: str) -> list[Path]:
    return [Path(folder) for folder in [*path.split(":"), "/usr/sbin", "/sbin"] if folder.startswith("/")]


def _folders_of_proxies(proc: Path) -> list[Path]:
    """Where a running kube-proxy finds its tools. Only what root alone can have put there counts."""
    found: list[Path] = []
    for process in proc.iterdir():
        try:
            # A container's process has another view of the files, and could have named itself like this.
            if not process.name.isdigit() or (process / "comm").read_text(errors="replace").strip() not in PROXIES:
                continue
            if process.stat().st_uid or os.readlink(process / "ns/mnt") != os.readlink(proc / "self/ns/mnt"):  # noqa: PTH115
                continue
            entries = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended meanwhile
            continue
        path = next((entry[5:] for entry in entries if entry.startswith("PATH=")), "")
        found += [folder for folder in _path_folders(path) if folder not in found and _is_roots(folder)]
    return found


def _is_roots(folder: Path) -> bool:
    try:
        status = folder.stat()
    except OSError:
        return False
    return status.st_uid == 0 and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _run(command: list[str]) -> str:
    # Read in a loop and with a time limit of its own, which a module's run_command does not have.
    # pylint: disable-next=ansible-bad-function
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    if done.returncode:
        raise OSError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return done.stdout


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with one Pi, from what M(preflight_host) has read there. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._core.journal import PARALLEL
from .._kube.proxy import NONE
from .disk import WRITTEN, disk_findings
from .eviction import eviction_findings
from .findings import ERROR, WARNING, Finding, size
from .forwarding import forwarding_findings
from .image_space import image_space_findings
from .mounts import mount_findings
from .plan import FRESH, Plan
from .reach import within
from .rights import rights_findings
from .unit import unit_findings

PYTHON = (3, 9)
SETTINGS = {
    **WRITTEN,
    "data_dir": "pi_controller_data_dir",
    "database": "pi_controller_database",
    "config_file": "pi_controller_config_file",
}


def host_findings(plan: Plan, host: str, seen: Mapping[str, Any], way: str) -> Iterator[Finding]:
    """`way` is that of the content, see `way_of`."""
    yield from _access(plan, host, seen)
    yield from _paths(plan, host, seen["paths"])
    yield from mount_findings(host, seen, plan.strategy)
    yield from disk_findings(host, seen, way)
    yield from eviction_findings(host, seen, way)
    yield from image_space_findings(plan, host, seen, way)
    yield from unit_findings(plan, host, seen["unit"], seen["paths"]["config_file"]["real"])
    yield from rights_findings(plan, host, seen)
    yield from _old_ports(plan, host, seen)
    yield from _new_ports(plan, host, seen["listeners"])
    yield from _database(host, seen)
    yield from _memory(plan, host, seen)
    yield from _kube_proxy(host, seen["kube_proxy"])
    yield from forwarding_findings(plan, host, seen)


def is_down(seen: Mapping[str, Any]) -> bool:
    """Whether the unit does not run: then there is one cause, and closed ports are no news."""
    return bool(seen.get("unit")) and seen["unit"]["active"] != "active"


def _access(plan: Plan, host: str, seen: Mapping[str, Any]) -> Iterator[Finding]:
    if not seen["privileged"]:
        yield Finding(host, "privileges", "not root", "root", "set ansible_become: true, or ansible_user: root")
    version = tuple(int(part) for part in seen["python"].split(".")[:2])
    if version < PYTHON:
        wanted = ".".join(map(str, PYTHON))
        yield Finding(
            host, "Python", seen["python"], f"{wanted} or newer", "install it and set ansible_python_interpreter"
        )
    address = plan.places[host].address
    if not seen["has_address"]:
        yield Finding(
            host,
            "address",
            f"{address} is not an address of this host",
            "the address its Raft member has",
            "correct ansible_host, or set pi_controller_address",
        )
    for tool in seen["missing_tools"]:
        yield Finding(host, f"command {tool}", "not installed", "installed", f"install the package that has {tool}")


def _paths(plan: Plan, host: str, paths: Mapping[str, Any]) -> Iterator[Finding]:
    for name, path in paths.items():
        # A link on the way to the data folder is a finding of that folder.
        links = [link for link in path["links"] if name != "database" or not within(paths["data_dir"]["path"], link)]
        if links:
            yield Finding(
                host,
                f"path {name}",
                f"{links[0]} is a symbolic link",
                "a path without links, so that no folder is inside another unseen",
                # Its setting is relative to the data folder, which is all that a pod gets.
                f"stop {plan.unit}, replace the link by what it points to, with {path['real']} at {path['path']}, and start the unit again, "
                "one Pi at a time"
                if name == "database"
                else f"set {SETTINGS[name]} to {path['real']}",
            )
    for name, kind in {"database": "file", "config_file": "file", "data_dir": "folder"}.items():
        path = paths[name]
        if path["kind"] not in (kind, "link"):
            yield Finding(
                host,
                f"path {name}",
                f"{path['path']} is {_is(path['kind'])}",
                f"a {kind}",
                f"correct {SETTINGS[name]}, or put it there",
            )
    yield from _new_paths(plan, host, paths)


def _is(kind: str | None) -> str:
    return {None: "not there", "other": "neither file nor folder"}.get(kind, f"a {kind}")


def _new_paths(plan: Plan, host: str, paths: Mapping[str, Any]) -> Iterator[Finding]:
    archive, backup, pods = paths["archive_path"], paths["backup_path"], paths["pod_data_dir"]
    # A mount point has its own finding. Pi by Pi no archive is made.
    if plan.strategy == PARALLEL and archive["kind"] not in (None, "link") and not archive["is_mount_point"]:
        content = f" with {archive['entries']} entries" if archive["entries"] is not None else ""
        yield Finding(
            host,
            "archive_path",
            f"{archive['path']} exists{content}",
            "nothing there: the unit's folder is moved to it",
            "move it away, or set migration.archive_path to another folder",
        )
    if backup["kind"] not in (None, "folder", "link"):
        yield Finding(
            host,
            "backup_path",
            f"{backup['path']} is {_is(backup['kind'])}",
            "a folder, or nothing yet",
            "move it away, or set migration.backup_path to another folder",
        )
    # Left by an earlier try it is this migration's own, and the pods check that they know no member of the old cluster.
    if (
        plan.strategy == PARALLEL
        and plan.stage == FRESH
        and (pods["kind"] not in (None, "folder", "link") or pods["entries"])
    ):
        content = f" with {pods['entries']} entries" if pods["entries"] else ""
        yield Finding(
            host,
            "pod_data_dir",
            f"{pods['path']} exists{content}",
            "nothing there: pods start with empty state",
            "move it away, or set pi_controller_pod_data_dir to another folder",
        )


def _old_ports(plan: Plan, host: str, seen: Mapping[str, Any]) -> Iterator[Finding]:
    for name, port in plan.standard_ports.items():
        holders = [listener for listener in seen["listeners"] if listener["port"] == port]
        strangers = [holder for holder in holders if holder["owner"] not in ("unit", "unknown")]
        if strangers or (not holders and not is_down(seen)):
            yield Finding(
                host,
                f"port {port} ({name})",
                _held_by(strangers) if strangers else "no process listens",
                f"{plan.unit} listens",
                f"correct migration.standard_ports.{name}, or see who took the port",
            )


def _new_ports(plan: Plan, host: str, listeners: list[Mapping[str, Any]]) -> Iterator[Finding]:
    for setting, port in plan.new_ports.items():
        holders = [listener for listener in listeners if listener["port"] == port]
        # A re-run finds the pods of its first try there.
        strangers = [holder for holder in holders if plan.stage == FRESH or holder["owner"] != "pod"]
        if strangers:
            yield Finding(
                host,
                f"port {port} ({setting.rpartition('.')[2]})",
                _held_by(strangers),
                "free",
                f"stop that process, or set migration.{setting} to another port on all Pis",
            )


def _held_by(listeners: list[Mapping[str, Any]]) -> str:
    holders = [
        f"{listener['command']} (pid {listener['pid']}{', ' + listener['owner'] if listener['owner'] != 'other' else ''})"
        if listener["pid"]
        else f"a process of another user at {listener['address']}"
        for listener in listeners
    ]
    return "held by " + ", ".join(dict.fromkeys(holders))


def _database(host: str, seen: Mapping[str, Any]) -> Iterator[Finding]:
    # A missing file has its own finding.
    if seen["paths"]["database"]["kind"] not in ("file", "link"):
        return
    database = seen["database"]
    needs, readable = database.get("needs", []), database["integrity"] == "ok"
    for entry in needs:
        yield Finding(
            host,
            f"database table {entry['table']}",
            f"needs {entry['need']}",
            f"a schema that SQLite {database['sqlite']} on this Pi supports",
            "upgrade SQLite on the Pi (libsqlite3), or declare the table without it",
            # It can be checked and read all the same, which is all that the migration does with it.
            WARNING if readable else ERROR,
        )
    # What a table needs is then the reason, and damage would show once SQLite can read it.
    if not readable and not needs:
        yield Finding(
            host,
            "database",
            database["integrity"],
            "SQLite can read it, and its integrity check says ok",
            # Of a database that could not be read for want of a place for a copy.
            database.get("next_step") or "bring this Pi's database in order before anything is copied from it",
        )
    if database.get("writes_waited") is not None:
        yield Finding(
            host,
            "database journal mode",
            f"not WAL: writes wait {database['writes_waited']:.2f} s whenever the database is copied or compared",
            "WAL, where no write waits for a reader",
            'see that clients repeat a write that fails with "database is locked", or have the daemon use WAL',
            WARNING,
        )


def _memory(plan: Plan, host: str, seen: Mapping[str, Any]) -> Iterator[Finding]:
    available, used = seen["memory_available"], seen["unit"]["memory"]
    wanted = max(used or 0, plan.requests.get("memory", 0))
    if plan.stage == FRESH and available is not None and available < wanted:
        yield Finding(
            host,
            "memory",
            f"{size(available)} available",
            f"{size(wanted)} for a second daemon beside the unit",
            "stop something else on this Pi",
        )


def _kube_proxy(host: str, proxy: Mapping[str, Any]) -> Iterator[Finding]:
    """iptables, nftables and ipvs are read as they are. Anything else is waited for without being seen."""
    if proxy["mode"] == NONE:
        yield Finding(
            host,
            "kube-proxy",
            "no rules of kube-proxy in this Pi's kernel",
            "kube-proxy in mode iptables, nftables or ipvs",
            "start K3s (or kube-proxy) there. Where Cilium or the like is in its place, each change of the Service is given "
            "some seconds, since it cannot be seen when it has reached this Pi",
            WARNING,
        )
    elif proxy["unreadable"]:
        yield Finding(
            host,
            "kube-proxy",
            f"its rules cannot be read: {proxy['unreadable']}",
            "rules that can be read, so that a change of the Service is seen to have reached this Pi",
            "install nftables; where iptables-legacy wrote the rules, iptables, too",
            WARNING,
        )

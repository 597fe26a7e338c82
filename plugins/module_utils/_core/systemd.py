# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What systemd says of a unit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
PROPERTIES = (
    "Id",
    "Names",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "FragmentPath",
    "DropInPaths",
    "NeedDaemonReload",
    "MainPID",
    "NRestarts",
    "WantedBy",
    "RequiredBy",
    "UpheldBy",
    "TriggeredBy",
    "BoundBy",
)
# What a unit runs beside its process. The words behind the program may be secrets, and may have lines of their own that look like
# properties, so these are asked for alone.
HOOKS = ("ExecStartPre", "ExecStartPost", "ExecStopPost")
_HOOK = re.compile(rf"^({'|'.join(HOOKS)})=\{{ path=(.*?) ; argv\[\]=", re.MULTILINE)
# What systemctl takes for a type of unit at the end of a name; anything else gets `.service`.
TYPES = (
    ".service",
    ".socket",
    ".timer",
    ".path",
    ".target",
    ".mount",
    ".slice",
    ".scope",
    ".device",
    ".swap",
    ".automount",
)
# The inverse of Wants=, Requires=, Upholds=, a trigger's Unit= and BindsTo=.
STARTERS = ("WantedBy", "RequiredBy", "UpheldBy", "TriggeredBy", "BoundBy")
STOPPED = ("inactive", "failed")
RUNNING = ("active", "activating", "reloading")


def unit_name(unit: str) -> str:
    """The unit's whole name: systemctl adds `.service` by itself, control groups and drop-ins have it."""
    return unit if unit.endswith(TYPES) else f"{unit}.service"


def show_command(systemctl: str, unit: str) -> list[str]:
    return _show(systemctl, unit, PROPERTIES)


def hooks_command(systemctl: str, unit: str) -> list[str]:
    return _show(systemctl, unit, HOOKS)


def _show(systemctl: str, unit: str, properties: Iterable[str]) -> list[str]:
    return [systemctl, "show", "--no-pager", f"--property={','.join(properties)}", unit_name(unit)]


def parse_hooks(text: str) -> list[str]:
    """The answer to `hooks_command`: each property with its program, without the program's arguments."""
    return [f"{name}={program}" for name, program in _HOOK.findall(text)]


def parse_show(text: str) -> dict[str, Any]:
    """The answer of `systemctl show`, under names of our own; empty where systemd reported nothing."""
    properties = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {
        # Of an alias it is the name of the unit itself, which is what its control group is called.
        "id": properties.get("Id", ""),
        "names": properties.get("Names", "").split(),
        "load": properties.get("LoadState", ""),
        "active": properties.get("ActiveState", ""),
        "sub": properties.get("SubState", ""),
        "enabled": properties.get("UnitFileState", ""),
        "file": properties.get("FragmentPath", ""),
        "drop_ins": properties.get("DropInPaths", "").split(),
        "needs_reload": properties.get("NeedDaemonReload") == "yes",
        "pid": int(properties.get("MainPID") or 0),
        "restarts": int(properties.get("NRestarts") or 0),
        "started_by": sorted({name for key in STARTERS for name in properties.get(key, "").split()}),
        # Of these, the ones whose own file says so; no link does.
        "bound_by": properties.get("BoundBy", "").split(),
    }


def in_words(unit: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a unit that parse_show has read, now and at the next boot, as a person would say it."""
    return {
        "load": unit["load"] or "unknown",
        "active": unit["active"] or "unknown",
        # A unit without a file has no state of its own there.
        "enabled": unit["enabled"] or unit["load"] or "unknown",
        "pid": unit["pid"] or None,
        "restarts": unit["restarts"],
    }


def unread_drop_ins(unit: str, known: Iterable[str], folders: Iterable[str] = FOLDERS) -> list[str]:
    """Drop-ins of this unit (its full name) on the disk that systemd has not read: it does not always notice a new folder of them itself."""
    read = {str(Path(path).resolve()) for path in known}
    found = (path for folder in folders for path in sorted(Path(folder, f"{unit}.d").glob("*.conf")))
    return list(dict.fromkeys(str(path) for path in found if str(path.resolve()) not in read))

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one Pi knows of itself without asking another: who listens, the unit, the gate's target, the backups."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .._core.failures import MigrationError
from .._core.journal import load
from .._core.procfs import PROC, listeners
from .._gate.standing import Table, state_of

OTHER = "other"
# Whose daemons are asked, with the token.
TRUSTED = ("unit", "pod")


def holders(ports: Collection[int], unit: str, proc: Path = PROC) -> dict[int, dict[str, Any]]:
    """Who holds each of these TCP ports: `{port: {"held_by": "unit", "pid": 123, "command": "pi-controller"}}`."""
    found: dict[int, dict[str, Any]] = {}
    # The last one counts: of several sockets on a port (of several addresses) one whose process can be seen, and of these one
    # that is neither the unit's nor a pod's, since that may be the one that answers.
    for listener in sorted(
        listeners(ports, unit, proc), key=lambda seen: (seen.pid is not None, seen.owner not in TRUSTED)
    ):
        # A port whose process cannot be seen is held all the same.
        held_by = listener.owner if listener.pid is not None else OTHER
        found[listener.port] = {"held_by": held_by, "pid": listener.pid, "command": listener.command or None}
    return found


def gate_state(table: Table | None) -> dict[str, Any]:
    """The state of the traffic gate and, where it forwards, the other Pi's address (the first, where there are two)."""
    state = state_of(table)
    forwards = table is not None and state == "forwarded" and table.forward_to
    return {"state": state, "forward_to": table.forward_to[0] if table and forwards else None}


def backups(folder: Path, now: float) -> list[dict[str, Any]]:
    """The backups below the backup folder, newest last, each with its age by this Pi's own clock."""
    found = []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        with contextlib.suppress(OSError):
            seen = path.stat()
            if path.is_file() and path.name in ("pi-controller.db", "state.bin", "manifest.json"):
                found.append(
                    {
                        "path": str(path),
                        "phase": path.relative_to(folder).parts[0],
                        "bytes": seen.st_size,
                        "at": round(seen.st_mtime, 3),
                        "age_seconds": round(max(0.0, now - seen.st_mtime), 1),
                    }
                )
    return sorted(found, key=lambda backup: backup["at"])


def last_journal(folder: Path) -> dict[str, Any] | None:
    """The journal that was put aside last, by a rollback that came to its end."""
    aside = sorted(folder.glob("journal.*.json"), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    for path in reversed(aside):
        with contextlib.suppress(OSError, MigrationError):
            return load(path)
    return None


def manifest(folder: Path) -> dict[str, Any] | None:
    """What prepare wrote down of this Pi before anything was changed; None where there is none that can be read."""
    try:
        found = json.loads((folder / "prepare" / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def os_release(text: str) -> str:
    """The name of the operating system from /etc/os-release."""
    named = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return named.get("PRETTY_NAME", "").strip('"') or "unknown"

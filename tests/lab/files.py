# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files and systemd units that go into a host, as data: they are written before it boots or while it runs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from .state import write_private


@dataclass(frozen=True)
class File:
    """A file of a host; its path is absolute, as the host sees it."""

    path: str
    content: str | bytes
    mode: int = 0o644

    def write(self, root: Path) -> None:
        write_private(root / self.path.lstrip("/"), self.content, self.mode)


@dataclass(frozen=True)
class Unit:
    """A systemd service of a host, started at its boot unless asked otherwise."""

    name: str
    text: str
    enabled: bool = True

    def write(self, root: Path) -> None:
        units = root / "etc/systemd/system"
        write_private(units / self.name, self.text, 0o644)
        wants = units / "multi-user.target.wants" / self.name
        wants.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            wants.unlink()
        if self.enabled:
            wants.symlink_to(f"/etc/systemd/system/{self.name}")


def service(description: str, command: list[str], *, after: str = "", kind: str = "simple", more: str = "") -> str:
    """The text of a unit for a long-running program, started again when it ends."""
    unit = f"[Unit]\nDescription={description}\nStartLimitIntervalSec=0\n"
    if after:
        unit += f"After={after}\nWants={after}\n"
    start = " \\\n    ".join(command)
    running = f"[Service]\nType={kind}\nExecStart={start}\nRestart=always\nRestartSec=1\n{more}"
    return f"{unit}\n{running}\n[Install]\nWantedBy=multi-user.target\n"

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a Pi's lease is kept: the order, its program, and the unit that a boot starts. Arming it is in `arming`."""

from __future__ import annotations

import contextlib
from pathlib import Path

from .._core.durable import fsync, holding
from .order import FOLDER, OrderFile

NAME = "pi-controller-migration-lease"
SYSTEMD = Path("/etc/systemd/system")
WANTS = "multi-user.target.wants"


class LeaseUnit:
    """On this Pi. Tests have other folders."""

    def __init__(self, folder: Path = FOLDER, systemd: Path = SYSTEMD) -> None:
        self.file = OrderFile(folder)
        self.program = folder / "lease.pyz"
        self.unit = systemd / f"{NAME}.service"
        self.link = systemd / WANTS / self.unit.name

    def void(self, check_mode: bool = False) -> bool:
        """No order any more, durably: the program, running or started by a boot, does nothing. Returns whether there was one."""
        present = self.file.folder.is_dir() or self.unit.exists() or self.link.is_symlink()
        if not present or check_mode:
            return present
        with contextlib.suppress(FileNotFoundError), holding(self.file.folder):
            self.remove()
        self._forget()
        return True

    def remove(self) -> None:
        """All of it, with the folder held: whoever arms another lease comes after it."""
        self._forget()
        self.file.remove()

    def _forget(self) -> None:
        for path in (self.link, self.unit):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                fsync(path.parent)

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A traffic gate that outlives a reboot: a oneshot unit that sets its rules before the network is used.

Enabling it is a link, which systemd reads at the next boot: no daemon-reload, which would take time while clients wait.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from .._core.durable import fsync, replacing
from .rules import Rules, parse, restore_text

NAME = "pi-controller-migration-gate"
SYSTEMD = Path("/etc/systemd/system")
WANTS = "multi-user.target.wants"

# kubelet and proxy only come later: a Pi's ports must not lead to the old daemon for one moment.
UNIT = """\
# Written by pi_controller.raft_migration.traffic_gate, and removed by it once the ports have moved.
[Unit]
Description=Clients of this Pi's standard ports go where the migration has led them
DefaultDependencies=no
After=local-fs.target systemd-sysctl.service
Before=network-pre.target multi-user.target
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
{commands}
[Install]
WantedBy=multi-user.target
"""


class BootUnit:
    """The unit for these rules, by the command that restores them; without rules there is none."""

    def __init__(self, rules: dict[str, Rules], folder: Path = SYSTEMD) -> None:
        self.unit = folder / f"{NAME}.service"
        self.link = folder / WANTS / self.unit.name
        self.files: dict[Path, str] = {}
        commands = ""
        for command, wanted in rules.items():
            data = folder / f"{NAME}.{Path(command).name.partition('-')[0]}"
            # From nothing, as after a boot.
            self.files[data] = restore_text(parse(""), wanted)
            commands += f"ExecStart=/bin/sh -c '{command} --noflush -w 10 < {data}'\n"
        if rules:
            self.files[self.unit] = UNIT.format(commands=commands)

    def write(self, check_mode: bool = False) -> bool:
        """Make unit, link and rules as wanted, durably; returns whether they were not."""
        present = {path: path.read_text() for path in sorted(self.unit.parent.glob(f"{NAME}.*"))}
        if present == self.files and self.link.is_symlink() == bool(self.files):
            return False
        if not check_mode:
            self._write(present)
        return True

    def _write(self, present: dict[Path, str]) -> None:
        for path, text in self.files.items():
            with replacing(path, 0o644) as new:
                new.write_text(text)
        if self.files:
            self.link.parent.mkdir(exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.link.symlink_to(self.unit)
        else:
            self.link.unlink(missing_ok=True)
        for path in present.keys() - self.files.keys():
            path.unlink()
        for folder in (self.unit.parent, self.link.parent):
            if folder.is_dir():
                fsync(folder)

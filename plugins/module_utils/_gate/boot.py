# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A traffic gate that outlives a reboot: a oneshot unit that sets its table again before the network is used.

Enabling it is a link, which systemd reads at the next boot: no daemon-reload, which would take time while clients wait.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .._core.durable import fsync, replacing
from .._core.modules import AGAIN
from .nft import GateError
from .table import Gate

NAME = "pi-controller-migration-gate"
SYSTEMD = Path("/etc/systemd/system")
WANTS = "multi-user.target.wants"
# Each of them loads rules of its own at boot; nftables.service begins with `flush ruleset`.
FIREWALLS = ("nftables", "netfilter-persistent", "iptables", "ip6tables", "ufw", "firewalld")

# kubelet and proxy only come later: a Pi's ports must not be routed to the old daemon for one moment.
UNIT = """\
# Written by pi_controller.raft_migration.traffic_gate, and removed by it once the ports have moved.
[Unit]
Description=Traffic gate of the pi-controller migration
DefaultDependencies=no
After=local-fs.target systemd-modules-load.service systemd-sysctl.service {firewalls}
Before=network-pre.target multi-user.target
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} -f {table}

[Install]
WantedBy=multi-user.target
"""


class BootUnit:
    """The unit for this gate, which `nft` (a path) sets; without a gate there is none."""

    def __init__(self, nft: str, gate: Gate | None, folder: Path = SYSTEMD) -> None:
        self.unit = folder / f"{NAME}.service"
        self.link = folder / WANTS / self.unit.name
        self.files: dict[Path, str] = {}
        if gate:
            table = folder / f"{NAME}.nft"
            firewalls = " ".join(f"{name}.service" for name in FIREWALLS)
            self.files[table] = gate.text()
            self.files[self.unit] = UNIT.format(firewalls=firewalls, nft=nft, table=table)

    @property
    def persists(self) -> bool:
        return bool(self.files)

    def write(self, check_mode: bool = False) -> bool:
        """Make unit, link and table as wanted, durably; returns whether they were not. Raises GateError."""
        with self._named("read"):
            present = {path: path.read_text() for path in sorted(self.unit.parent.glob(f"{NAME}.*"))}
        if present == self.files and self.link.is_symlink() == self.persists:
            return False
        if not check_mode:
            with self._named("written" if self.persists else "removed"):
                self._write(present)
        return True

    @contextlib.contextmanager
    def _named(self, done: str) -> Iterator[None]:
        """What an OSError in this block is reported as."""
        try:
            yield
        except OSError as error:
            raise GateError(
                f"the gate's boot unit cannot be {done}: {error}",
                seen=str(error),
                wanted=str(self.unit),
                next_step=AGAIN,
            ) from error

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

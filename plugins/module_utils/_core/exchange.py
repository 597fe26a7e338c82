# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is the same on a Pi whether its pod takes its unit's place or the other way round: the unit, and what still runs.

Each step is noted with its time.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .open_files import users_of
from .procfs import listeners
from .takeover import TakeoverError
from .unit_install import ETC, UnitInstall
from .waiting import Waited, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible.module_utils.basic import AnsibleModule


def exchange_options(*paths: str) -> dict[str, Any]:
    """The options that both ways have, with these paths, which are required."""
    return {
        "unit": {"type": "str", "required": True},
        **{name: {"type": "path", "required": True} for name in paths},
        "ports": {"type": "list", "elements": "int", "required": True},
        "wait_gone": {"type": "float", "default": 30},
        "wait_timeout": {"type": "float", "default": 60},
    }


class Exchange:
    """On one Pi. The module has the options `unit`, `unit_file`, `saved_unit_file` and `ports`."""

    # Where tests have other ones.
    listeners = staticmethod(listeners)
    etc = ETC
    install: UnitInstall
    unit: str
    # What systemd has shown of the unit in `look`; None where its record has enough.
    state: dict[str, Any] | None

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.binary = module.get_bin_path("systemctl", required=True)
        self.unit_file, self.saved = Path(self.params["unit_file"]), Path(self.params["saved_unit_file"])
        self.started = time.monotonic()
        self.steps: list[dict[str, Any]] = []

    def look(self) -> None:
        """Read how the unit is installed. What is to change it looks once no other step is at work on this Pi."""
        self.install = UnitInstall(self.params["unit"], self.saved, self.systemctl, self.note, self.etc)
        self.state = None if self.install.record else self.install.state()
        # The kernel knows its processes by its own name, where it is given by an alias.
        self.unit = (self.state or {}).get("id") or self.install.unit_id

    def systemctl(self, *arguments: str) -> tuple[int, str, str]:
        return tuple(self.module.run_command([self.binary, *arguments], environ_update={"LC_ALL": "C"}))

    def result(self) -> dict[str, Any]:
        return {"changed": bool(self.steps), "steps": self.steps, "elapsed": round(time.monotonic() - self.started, 3)}

    def carry_out(self, result: dict[str, Any]) -> None:
        """Check, and in check mode predict, else run. What was done is in `result` whatever becomes of it."""
        try:
            if self.module.check_mode:
                self.look()
                self.check()
                self.predict()
            else:
                self.run()
        finally:
            result.update(self.result())

    def check(self) -> None:
        """Raise where it cannot be done. Changes nothing."""
        raise NotImplementedError

    def predict(self) -> None:
        """Note the steps that `run` would take."""
        raise NotImplementedError

    def run(self) -> None:
        raise NotImplementedError

    def note(self, step: str) -> None:
        self.steps.append({"step": step, "at": round(time.monotonic() - self.started, 3)})

    def check_file(self) -> None:
        """Raise where the unit has no file, neither in its place nor saved."""
        # A link may be how the owner has it. A mask is one to a device, /dev/null.
        if not self.install.record and not self.saved.is_file() and not self.unit_file.is_file():
            raise TakeoverError(
                f"there is no unit file, neither {self.unit_file} nor {self.saved}",
                wanted=str(self.saved),
                next_step=f"put the file of {self.unit} there",
            )

    def start_unit(self) -> None:
        """The unit is installed as it was, and runs."""
        self.install.restore(self.unit_file)
        self.install.start()

    def wait_gone(self, folder: Path, timeout: float, whose: str) -> None:
        """Until nothing listens on the daemon's ports and nothing has a file of `folder` open. Changes nothing."""
        waited = wait_until(lambda: self._in_use(folder), lambda held: not held, timeout, interval=0.05)
        if not waited.met:
            raise TakeoverError(
                f"the {whose}'s daemon is still running after {waited.elapsed:.0f} s:  {'; '.join(waited.value)}",
                seen=waited.value,
                wanted=f"no process on the ports {self.params['ports']} or in {folder}",
                next_step="find out what keeps it running (`ss -ltnp`, `crictl ps`), then run the same command again",
            )
        self.note(f"the {whose}'s daemon is gone")

    def _in_use(self, folder: Path) -> list[str]:
        held = [
            f"{found.command or 'a process'} {found.pid or ''} listens on port {found.port}".replace("  ", " ")
            for found in self.listeners(set(self.params["ports"]), self.unit)
        ]
        return held + [str(user) for user in users_of(folder)]

    def wait_listening(self, owner: str, over: Callable[[], bool] = lambda: False) -> Waited[list[int]]:
        """Until the daemon of the `owner` (unit or pod) listens on all ports; its value has those that it does not.

        It also ends once `over` says that no more is to come, which is asked about once a second.
        """
        asked = time.monotonic()

        def done(found: list[int]) -> bool:
            nonlocal asked
            if not found or time.monotonic() - asked < 1:
                return not found
            asked = time.monotonic()
            return over()

        def missing() -> list[int]:
            ports = set(self.params["ports"])
            return sorted(ports - {found.port for found in self.listeners(ports, self.unit) if found.owner == owner})

        return wait_until(missing, done, self.params["wait_timeout"], interval=0.05)

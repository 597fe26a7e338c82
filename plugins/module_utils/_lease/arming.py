# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arming a Pi's lease: its program becomes one file that needs nothing of the run, and a unit runs it, after a reboot as well."""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._core.durable import fsync, holding, private_folder, replacing
from . import keeper
from .order import LeaseError, Order
from .unit import LeaseUnit

UNIT = """\
# Written by pi_controller.raft_migration.cutover_lease, and removed by it or by its own program.
[Unit]
Description=Lease of the pi-controller migration's cutover
StartLimitIntervalSec=0
ConditionPathExists={program}

[Service]
Type=simple
ExecStart={command}
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""

# All that the program imports, by name, and little else: a process may have more by the time that it arms a lease.
_ABOVE = keeper.__name__.rsplit(".", 2)[0]
_NEEDED = sorted(name for name in sys.modules if name == _ABOVE or name.startswith(f"{_ABOVE}."))

Run = Callable[..., tuple]  # tuple[int, str, str], but Python 3.9 evaluates aliases


def arm(unit: LeaseUnit, order: Order, systemctl: Run, run: Run, again: bool = False) -> None:
    """Durably, and running when this returns. An earlier lease is replaced. Raises LeaseError, and then there is none.

    `again` is for one that was in force a moment ago: it has been tried, and what there is of it stays whatever fails.
    """
    # As the unit starts it.
    command = [sys.executable, "-I", *map(str, (unit.program, unit.file.folder, unit.unit.parent))]
    unit.void()
    private_folder(unit.file.folder)
    with holding(unit.file.folder):
        with replacing(unit.program, 0o600) as new:
            pack(new)
        unit.file.save(order)
        with replacing(unit.unit, 0o644) as new:
            new.write_text(UNIT.format(program=unit.program, command=" ".join(command)), encoding="utf-8")
        unit.link.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            unit.link.symlink_to(unit.unit)
        fsync(unit.link.parent)
    # Tried first: when it is needed nothing else is there to help.
    tried = [] if again else [(run, [*command, "check"])]
    for call, arguments in (
        *tried,
        (systemctl, ["daemon-reload"]),
        (systemctl, ["restart", unit.unit.name]),
        (systemctl, ["is-active", unit.unit.name]),
    ):
        code, out, err = call(*arguments)
        if code:
            if not again:
                unit.void()
            reason = ((err.strip() or out.strip()).splitlines() or ["no reason given"])[-1]
            raise LeaseError(
                f"the lease cannot be armed: `{' '.join(arguments)}` ended with {code}: {reason}",
                seen=reason,
                wanted=f"{unit.unit.name} active",
                next_step=f"read `journalctl -u {unit.unit.name}` on this Pi, then run the same command again",
            )


def pack(path: Path) -> None:
    """The program and what it has of this collection, as one file; besides that it needs only Python's standard library.

    Each module is in it twice: compiled, since Python compiles what comes out of a zip file anew for every process, and as source,
    which another Python takes, one that an update has put in place of this.
    """
    main = f"import sys\nfrom {keeper.__name__} import main\nsys.exit(main(sys.argv[1:]))\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", main)
        for name, content in _contents().items():
            archive.writestr(name, content)


def _contents() -> dict[str, str | bytes]:
    """Every module that the program needs, by its places in the file."""
    found: dict[str, str | bytes] = {}
    for name in _NEEDED:
        found.update(_module(name))
    parts = _ABOVE.split(".")
    for number in range(1, len(parts)):
        found["/".join([*parts[:number], "__init__.py"])] = ""
    return found


def _module(name: str) -> dict[str, str | bytes]:
    place = name.replace(".", "/")
    spec = importlib.util.find_spec(name)
    loader: Any = spec.loader if spec else None
    if spec is None or spec.submodule_search_locations is not None:
        return {f"{place}/__init__.py": ""}
    source = loader.get_source(name)
    return {f"{place}.pyc": _compiled(loader.get_code(name), source), f"{place}.py": source}


def _compiled(code: types.CodeType, source: str) -> bytes:
    """A .pyc file that is not compared with its source (PEP 552): both are written here, and replaced together."""
    unchecked = (1).to_bytes(4, "little")
    digest = importlib.util.source_hash(source.encode())
    return importlib.util.MAGIC_NUMBER + unchecked + digest + marshal.dumps(code)

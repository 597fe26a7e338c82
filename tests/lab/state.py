# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lab knows about itself, in STATE/state.json: written before a change, so that `down` can take it back."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import settings
from .options import Options
from .shell import LabError


@dataclass(frozen=True)
class Node:
    number: int
    family: str = "ipv4"

    @property
    def name(self) -> str:
        return f"pi-{self.number}"

    @property
    def address(self) -> str:
        """Where its daemons are, and Kubernetes; it has one of the other family, too."""
        return self.addresses.host(self.number)

    @property
    def addresses(self) -> settings.Family:
        return settings.FAMILIES[self.family]

    @property
    def folder(self) -> Path:
        return settings.STATE / "hosts" / self.name

    @property
    def is_server(self) -> bool:
        """The host that also runs the control plane of Kubernetes and starts the Raft cluster."""
        return self.number == 1


@dataclass
class State:
    node_count: int
    profile: str
    provider: str
    options: Options
    boot_id: str
    complete: bool = False
    kernel_settings: dict[str, str] = field(default_factory=dict)
    netns_folder_mounted: bool = True
    service_address: str = ""

    @property
    def nodes(self) -> list[Node]:
        return [Node(number, self.options.family) for number in range(1, self.node_count + 1)]

    @property
    def addresses(self) -> settings.Family:
        return settings.FAMILIES[self.options.family]

    def node(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise LabError(f"There is no host '{name}' in this lab: it has {', '.join(n.name for n in self.nodes)}.")

    def as_json(self) -> dict[str, Any]:
        """The file's content: what is needed to rebuild this object, and what readers of the lab want to know."""
        return {
            **asdict(self),
            "nodes": [{"name": node.name, "address": node.address} for node in self.nodes],
            "kubeconfig": str(settings.STATE / "kubeconfig"),
            "ssh_config": str(settings.STATE / "ssh_config"),
        }

    def save(self) -> None:
        settings.STATE.mkdir(parents=True, exist_ok=True)
        settings.STATE.chmod(0o700)
        write_private(state_file(), json.dumps(self.as_json(), indent=2) + "\n")


def state_file() -> Path:
    return settings.STATE / "state.json"


def load() -> State | None:
    try:
        text = state_file().read_text()
    except FileNotFoundError:
        return None
    try:
        content = json.loads(text)
        fields = {name: content[name] for name in State.__dataclass_fields__}
        return State(**{**fields, "options": Options(**fields["options"])})
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{state_file()} cannot be read ({error!r}): it was not written by this version of the lab. `python3 -m tests.lab down` "
            "removes what there is of it."
        ) from error


def kernel_settings() -> dict[str, str]:
    """What the machine had before, by a file that is not readable as a whole; nothing where that part of it is not, either."""
    try:
        found = json.loads(state_file().read_text())["kernel_settings"]
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def require() -> State:
    """The state of a lab that is up."""
    state = load()
    if state is None or not state.complete:
        raise LabError("The lab is not up: run `python3 -m tests.lab up` as root.")
    return state


def forget() -> None:
    """Remove all the lab has written about itself."""
    shutil.rmtree(settings.STATE, ignore_errors=True)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def write_private(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Replace a file in one step. Whatever was there before, a symlink too, is replaced and not followed."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
    new.replace(path)

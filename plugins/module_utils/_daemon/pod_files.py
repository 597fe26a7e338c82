# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration files of a Pi's pod: the owner's own one, with the keys of each state changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._core.durable import make_private, replacing
from .._core.failures import MigrationError
from .._core.safe_open import read_bytes
from .._core.yaml_edit import keys_in, set_keys
from .drivers import settings

MAX_FILE = 1 << 20
# Its user enters the folder by its group.
FOLDER = 0o710
FOLDERS = ("data_dir", "raft_dir", "database")


@dataclass(frozen=True)
class State:
    """One state of a pod: its ports (`rest`, `grpc`, `raft`), its variables, and whether it starts a cluster."""

    name: str
    ports: Mapping[str, Any]
    environment: Mapping[str, Any]
    bootstrap: bool


@dataclass(frozen=True)
class Change:
    """A file to be written. `before` and `after` are for people; `text` is the whole file and is never shown."""

    path: Path
    text: str
    header: str
    before: str
    after: str


@dataclass(frozen=True)
class User:
    """Whom the pod runs as, by numbers; None where it is the user of the task."""

    owner: int | None = None
    group: int | None = None


class PodFiles:
    """The files in `folder`, made from `source`. They belong to `user`, and the folder to the user of the task."""

    def __init__(self, source: Path, folder: Path, user: User, address: str, folders: Mapping[str, str]) -> None:
        self._source, self._folder, self._address, self._folders = source, folder, address, folders
        self._user = user

    def path(self, state: State) -> Path:
        return self._folder / f"{state.name}.yaml"

    def changes(self, states: list[State]) -> list[Change]:
        """What has to be written. MigrationError where the source cannot be read or changed; its content is in no error."""
        source = _text(self._source)
        found = [self._change(state, source) for state in states]
        return [change for change in found if change is not None]

    def write(self, changes: list[Change]) -> None:
        """Write them, each as a whole, readable by its owner alone from the moment it exists."""
        if not changes:
            return
        self._make_folder()
        for change in changes:
            with replacing(change.path, 0o600) as new:
                new.write_text(change.text, encoding="utf-8")
                if os.geteuid() == 0:
                    os.chown(new, *self._ids(), follow_symlinks=False)

    def _make_folder(self) -> None:
        """Only root can put anything in it: whoever could might have root write through a link. The pod's user can enter it."""
        make_private(self._folder)
        if os.geteuid() == 0:
            os.chown(self._folder, 0, self._user.group or 0, follow_symlinks=False)
        self._folder.chmod(FOLDER if self._user.group else 0o700)

    def _ids(self) -> tuple[int, int]:
        return self._user.owner or 0, self._user.group or 0

    def _change(self, state: State, source: str) -> Change | None:
        ports = {name: int(number) for name, number in state.ports.items()}
        own = settings.file_settings(ports, self._address, state.bootstrap, self._folders)
        # What the phases set comes over what the inventory sets, as in the environment.
        given = {
            key: _typed(value)
            for name, value in state.environment.items()
            if (key := settings.key_of(name)) is not None
        }
        text = set_keys(source, {**given, **own}, settings.SECTION_ALIASES, str(self._source))
        path = self.path(state)
        now = _text(path) if path.exists() else ""
        wanted = self._mode_is_wanted(path)
        if now == text and wanted:
            return None
        return Change(path, text, str(path), _shown(now, own, given), _shown(text, own, given))

    def _mode_is_wanted(self, path: Path) -> bool:
        if not path.exists():
            return False
        found = path.stat()
        owned = os.geteuid() != 0 or (found.st_uid, found.st_gid) == self._ids()
        return found.st_mode & 0o7777 == 0o600 and owned


def look(source: Path) -> dict[str, Any]:
    """What pre-flight needs of the owner's file: `error` where pods could not be configured from it, and settings.LOOKED_AT."""
    found: dict[str, Any] = {"error": None, **dict.fromkeys(settings.LOOKED_AT)}
    try:
        text = _text(source)
        wanted = settings.file_settings(
            {"rest": 1, "grpc": 1, "raft": 1}, "0.0.0.0", False, dict.fromkeys(FOLDERS, "x")
        )
        # In each section that a state changes, so that every refusal is found.
        set_keys(text, {**wanted, "websocket.port": 1, "gpio.enabled": False}, settings.SECTION_ALIASES, str(source))
        values = keys_in(text, dict.fromkeys(settings.LOOKED_AT.values()), settings.SECTION_ALIASES)
    except (MigrationError, OSError) as error:
        found["error"] = error.full_message if isinstance(error, MigrationError) else str(error)
        return found
    return {**found, **{name: _plain(values[key]) for name, key in settings.LOOKED_AT.items() if key in values}}


def listeners(source: Path) -> dict[str, int]:
    """The ports beside those of a state that the daemon listens on, by the variables that move them.

    A file that cannot be read counts as one that says nothing: pre-flight names it.
    """
    keys = {key for port, _default, switch in settings.LISTENERS for key in (port, switch) if key}
    try:
        values = {
            key: _plain(value)
            for key, value in keys_in(_text(source), dict.fromkeys(keys), settings.SECTION_ALIASES).items()
        }
    except (MigrationError, OSError, ValueError):
        values = {}
    found = {}
    for key, default, switch in settings.LISTENERS:
        number = values.get(key, str(default))
        if (
            (switch is None or values.get(switch, "").lower() in ("true", "yes", "on"))
            and number.isascii()
            and number.isdigit()
        ):
            found[settings.variable_of(key)] = int(number)
    return found


def _plain(text: str) -> str:
    """A scalar without its quotes and without a comment behind it."""
    text = text.strip()
    return text[1 : text.find(text[0], 1)] if text[:1] in ("'", '"') else text.partition(" #")[0].strip()


def _text(path: Path) -> str:
    try:
        return read_bytes(path.resolve() if path.is_symlink() else path, MAX_FILE).decode()
    except UnicodeDecodeError as error:
        raise MigrationError(
            f"{path} is not UTF-8", seen=f"byte {error.start}", wanted="UTF-8", next_step=f"write {path} in UTF-8"
        ) from None


def _typed(value: Any) -> Any:
    """A variable's text as the file has it."""
    text = str(value)
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if text.isascii() and text.isdigit() and (text == "0" or text[0] != "0") else text


def _shown(text: str, own: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The keys that are set. A value of the inventory may be a secret, so of those only that there is one."""
    if not text:
        return ""
    values = keys_in(text, {**own, **given}, settings.SECTION_ALIASES)
    return "".join(f"{key}: {value if key in own else '(set)'}\n" for key, value in sorted(values.items()))

# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A unit is kept from running, in whatever way it is installed, and comes back exactly as it was.

`systemctl disable` removes the link that a linked unit (`/etc/systemd/system/x.service -> /opt/...`) consists of, and
`systemctl mask` refuses where a file or link has the name of the mask. So the links and the file are recorded first, and
removed and restored one by one.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .durable import beside, fsync, private_folder, replacing
from .failures import MigrationError
from .systemd import RUNNING, STOPPED, parse_show, show_command, unit_name

ETC = Path("/etc/systemd/system")
MASK = "/dev/null"
# Folders whose links start a unit along with another one.
DEPENDENCIES = (".wants", ".requires", ".upholds")
FORMAT = 1

Systemctl = Callable[..., tuple]  # tuple[int, str, str], but Python 3.9 evaluates aliases


class UnitError(MigrationError):
    """A unit that cannot be stopped, masked or brought back."""


class UnitInstall:
    """One unit. `saved` is where its file is kept; the record of how it was installed is beside it.

    There is a record from the first change on until the unit is as it was, so whatever is recorded is what to restore. One that
    has been restored says so, and is replaced by the next change.
    """

    def __init__(
        self, unit: str, saved: Path, systemctl: Systemctl, note: Callable[[str], None], etc: Path = ETC
    ) -> None:
        self.name, self.saved, self.etc = unit_name(unit), saved, etc
        self.record_file = beside(saved, ".json")
        self._systemctl, self._note = systemctl, note
        found = self._load()
        self.was_restored = bool(found and found.get("restored"))
        self.record: dict[str, Any] | None = None if self.was_restored else found

    def _load(self) -> dict[str, Any] | None:
        try:
            record = json.loads(self.record_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._unusable(str(error)) from error
        if not isinstance(record, dict) or record.get("format") != FORMAT or not isinstance(record.get("links"), dict):
            raise self._unusable(f"it is not a record of format {FORMAT}")
        return record

    def _unusable(self, why: str) -> UnitError:
        return UnitError(
            f"the record of the unit, {self.record_file}, cannot be used: {why}",
            seen=why,
            wanted=f"a record of format {FORMAT}",
            next_step=f"look at it; with {self.name} installed and enabled by hand, move it away and run the same command again",
        )

    def state(self) -> dict[str, Any]:
        """What systemd says of the unit, under the unit's own name where it was given by an alias."""
        return parse_show(self._systemctl(*show_command("", self.unit_id)[1:])[1])

    @property
    def unit_id(self) -> str:
        return str(self.record["id"]) if self.record else self.name

    def call(self, *arguments: str) -> None:
        code, _out, err = self._systemctl(*arguments)
        if code:
            raise UnitError(
                f"`systemctl {' '.join(arguments)}` failed with {code}: {err.strip()}",
                seen=err.strip(),
                next_step=f"read `journalctl -u {self.unit_id}` on this Pi",
            )

    def _links(self, names: list[str]) -> dict[str, str]:
        """Every link below /etc that is for this unit, with its target: the unit's own, its aliases, and those that start it."""
        found = {}
        for path in self._candidates():
            if not path.is_symlink():
                continue
            target = os.readlink(path)  # noqa: PTH115
            if target != MASK and (path.name in names or Path(target).name in names):
                found[str(path)] = target
        return found

    def _candidates(self) -> Iterator[Path]:
        if not self.etc.is_dir():
            return
        for path in sorted(self.etc.iterdir()):
            if path.name.endswith(DEPENDENCIES) and path.is_dir():
                yield from sorted(path.iterdir())
            else:
                yield path

    def starting(self) -> list[str]:
        """The links that start the unit at boot, as they are now."""
        state = self.state()
        return [path for path in self._links(self._names(state)) if Path(path).parent.name.endswith(DEPENDENCIES)]

    def starting_links(self) -> dict[str, str]:
        """The links that start the unit at boot, with their targets; those too that an earlier change has removed."""
        recorded = {
            path: target
            for path, target in self._recorded_links().items()
            if Path(path).parent.name.endswith(DEPENDENCIES)
        }
        return {**recorded, **{path: os.readlink(path) for path in self.starting()}}  # noqa: PTH115

    def _names(self, state: dict[str, Any]) -> list[str]:
        recorded = self.record["names"] if self.record else []
        return list(dict.fromkeys([*recorded, state["id"] or self.name, self.name, *state["names"]]))

    def is_masked(self, state: dict[str, Any]) -> bool:
        return bool(state["load"] == "masked" and state["active"] in STOPPED)

    def _remember(self, state: dict[str, Any]) -> dict[str, Any]:
        """The record, on disk before anything changes. What is recorded already is never replaced by less."""
        known = self.record or {
            "format": FORMAT,
            "id": state["id"] or self.name,
            "names": [],
            "fragment": state["file"],
            "file": None,
            "links": {},
        }
        names = self._names(state)
        record = {**known, "names": names, "links": {**self._links(names), **known["links"]}}
        fragment = Path(str(record["fragment"])) if record["fragment"] else None
        private_folder(self.saved.parent)
        # A file in its place is what the unit is: one that has changed since an interrupted step is saved as it is now.
        if fragment is not None and fragment.is_file() and not (record["file"] and self._is_saved(fragment)):
            seen = fragment.stat()
            with replacing(self.saved, stat.S_IMODE(seen.st_mode)) as new:
                new.write_bytes(fragment.read_bytes())
                os.chown(new, seen.st_uid, seen.st_gid)
            record["file"] = {"mode": stat.S_IMODE(seen.st_mode), "uid": seen.st_uid, "gid": seen.st_gid}
        if record != self.record:
            self._write(record)
            self.record = record
        return record

    def _is_saved(self, fragment: Path) -> bool:
        return self.saved.is_file() and self.saved.read_bytes() == fragment.read_bytes()

    def _write(self, record: dict[str, Any]) -> None:
        with replacing(self.record_file, 0o600) as new:
            new.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _unlink(self, path: Path) -> None:
        path.unlink()
        fsync(path.parent)
        self._note(f"remove {path}")

    def disable(self) -> None:
        """No boot starts the unit any more; it is still installed under all its names, and runs on."""
        links = self.starting()
        if not links:
            return
        self._remember(self.state())
        for path in links:
            self._unlink(Path(path))
        self.call("daemon-reload")

    def remember(self, state: dict[str, Any]) -> None:
        """Record how the unit is installed, before it is stopped and masked. `state` is what systemd has of it.

        A unit that runs on with a record is one that was disabled, or whose handover was interrupted here; `restore` finds all in place.
        """
        if not self.is_masked(state):
            self._check_known(state)
            self._remember(state)

    def _check_known(self, state: dict[str, Any]) -> None:
        if state["load"] in ("", "not-found") and not self.record:
            raise UnitError(
                f"systemd does not know {self.name}",
                seen=state["load"] or "nothing",
                wanted="the unit that runs pi-controller",
                next_step="correct pi_controller_unit",
            )

    def mask(self, state: dict[str, Any] | None = None) -> None:
        """Stopped, and kept from running under any of its names; raises unless systemd says so afterwards.

        `state` is what systemd has of it, where that is known.
        """
        state = state or self.state()
        if self.is_masked(state):
            return
        self._check_known(state)
        record = self._remember(state)
        if state["active"] not in STOPPED:
            self.call("stop", self.unit_id)
            self._note(f"stop {self.unit_id}")
        for path in self._links(record["names"]):
            self._unlink(Path(path))
        for name in record["names"]:
            place = self.etc / name
            if place.is_file() and not place.is_symlink():
                self._unlink(place)
            if not place.is_symlink():
                place.symlink_to(MASK)
                fsync(self.etc)
                self._note(f"mask {name}")
        self.call("daemon-reload")
        self._expect_masked()

    def _expect_masked(self) -> None:
        after = self.state()
        if not self.is_masked(after):
            raise UnitError(
                f"{self.unit_id} was stopped and masked, but systemd has it as {after['load']} and {after['active']}",
                seen={"load": after["load"], "active": after["active"]},
                wanted="masked and inactive",
                next_step=f"look for what starts it (systemctl list-dependencies --reverse {self.unit_id}), then run the same command again",
            )

    def due(self, unit_file: Path) -> bool:
        """Whether there is something to put back."""
        return bool(self.record) or (
            not self.was_restored and self.saved.is_file() and (not os.path.lexists(unit_file) or _is_mask(unit_file))
        )

    def restore(self, unit_file: Path) -> None:
        """The unit is installed as it was: file, links and names. It is not started."""
        if self.record is None:
            self._restore_unrecorded(unit_file)
            return
        record = self.record
        for name in record["names"]:
            place = self.etc / name
            if _is_mask(place):
                place.unlink()
                self._note(f"unmask {name}")
        if record["file"] and not Path(record["fragment"]).exists() and record["fragment"] not in record["links"]:
            self._put_back(Path(record["fragment"]), record["file"])
        for path, target in record["links"].items():
            self._relink(Path(path), target)
        self.call("daemon-reload")
        state = self.state()
        if state["load"] != "loaded":
            raise UnitError(
                f"{self.unit_id} was put back, but systemd has it as {state['load'] or 'unknown'}",
                seen=state["load"],
                wanted="loaded",
                next_step=f"compare it with the saved file, {self.saved}, and run the same command again",
            )
        # Last: what was not finished is done again. On a full disk the unit is to start all the same, and the record stays as it is.
        with contextlib.suppress(OSError):
            self._write({**record, "restored": True})
        self.record, self.was_restored = None, True

    def _relink(self, path: Path, target: str) -> None:
        if path.is_symlink() or path.exists():
            return
        # An alias may point to a link that comes back only after it.
        there = path.parent / target
        if not there.exists() and str(there) not in self._recorded_links():
            raise UnitError(
                f"{path} pointed to {target}, which is not there any more",
                seen="nothing",
                wanted=target,
                next_step=f"copy {self.saved} to it and run the same command again",
            )
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.symlink_to(target)
        fsync(path.parent)
        self._note(f"put {path} back")

    def _recorded_links(self) -> dict[str, str]:
        return dict(self.record["links"]) if self.record else {}

    def _put_back(self, path: Path, like: dict[str, int]) -> None:
        with replacing(path, like["mode"]) as new:
            new.write_bytes(self.saved.read_bytes())
            os.chown(new, like["uid"], like["gid"])
        self._note(f"put {path} back")

    def _restore_unrecorded(self, unit_file: Path) -> None:
        """As an earlier release has left it: a saved file, and a mask where it was. A unit in its place is left alone."""
        put_back = self.due(unit_file)
        if put_back:
            seen = self.saved.stat()
            if unit_file.is_symlink():
                self.call("unmask", self.name)
            self._put_back(unit_file, {"mode": stat.S_IMODE(seen.st_mode), "uid": seen.st_uid, "gid": seen.st_gid})
        elif self.state()["load"] == "masked":
            self.call("unmask", self.name)
            self._note(f"unmask {self.name}")
        # That it was not enabled is what a run has left that was killed here; else it is how its owner has it.
        elif self.was_restored or not self.saved.is_file() or self.state()["enabled"] not in ("disabled", ""):
            return
        self.call("daemon-reload")
        self.call("enable", self.name)
        self._note(f"enable {self.name}")

    def start(self) -> bool:
        """Whether it had to be started."""
        if self.state()["active"] in RUNNING:
            return False
        # One that failed too often is not started again before its owner says so. systemd knows no other one that is neither
        # running nor enabled, and to reset what it does not know is an error.
        if self.state()["active"] == "failed":
            self.call("reset-failed", self.unit_id)
        self.call("start", self.unit_id)
        self._note(f"start {self.unit_id}")
        return True


def _is_mask(path: Path) -> bool:
    return path.is_symlink() and os.readlink(path) == MASK  # noqa: PTH115

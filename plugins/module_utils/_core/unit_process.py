# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the unit's process really runs with. A unit file, its drop-ins and its EnvironmentFile say what it should.

Values of the environment and of flags may be secrets, so only their names are returned.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .procfs import PROC

# What systemd gives to every service, and shells to what they start.
_GIVEN = frozenset(
    {
        "CACHE_DIRECTORY", "CONFIGURATION_DIRECTORY", "CREDENTIALS_DIRECTORY", "HOME", "INVOCATION_ID", "JOURNAL_STREAM", "LANG", "LANGUAGE",
        "LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LOGNAME", "LOGS_DIRECTORY", "MAINPID", "MANAGERPID", "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE", "NOTIFY_SOCKET", "OLDPWD", "PATH", "PWD", "RUNTIME_DIRECTORY", "SHELL", "SHLVL", "STATE_DIRECTORY",
        "SYSTEMD_EXEC_PID", "TERM", "USER", "WATCHDOG_PID", "WATCHDOG_USEC", "XDG_RUNTIME_DIR", "_",
    }
)  # fmt: skip
# Files below these are no state: devices, the kernel's own, logs, and what is gone after a reboot anyway.
_NO_STATE = ("/dev/", "/proc/", "/sys/", "/run/", "/var/run/", "/tmp/", "/var/tmp/", "/var/log/")
CONFIG_FLAGS = ("--config", "-config")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")


def process(pid: int, proc: Path = PROC) -> dict[str, Any]:
    """What is known of the process; fields that cannot be read are empty or None."""
    folder = proc / str(pid)
    status = _text(folder / "status")
    uid, gid = (_first_number(status, key) for key in ("Uid", "Gid"))
    given, cwd = arguments(_text(folder / "cmdline").split("\0")[1:]), _link(folder / "cwd")
    return {
        **given,
        "config_real": real_path(given["config"], cwd),
        "environment": environment(_text(folder / "environ")),
        "uid": uid,
        "gid": gid,
        "user": _user(uid),
        "groups": _groups(status, gid),
        "cwd": cwd,
        "capabilities": capabilities(status),
        "open_files_limit": open_files_limit(pid, proc)[0],
        "written_files": written(folder),
    }


def arguments(words: list[str]) -> dict[str, Any]:
    """The names of the flags, without `--config`, whose value is `config`; and the words that belong to no flag.

    `-x value` and `-x` followed by a word look the same, so a word behind a flag is taken for its value.
    """
    flags: list[str] = []
    bare: list[str] = []
    config, rest = None, [word for word in words if word]
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            bare.append(word if _WORD.fullmatch(word) else "...")
            continue
        name, equals, value = word.partition("=")
        if not equals and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        if name in CONFIG_FLAGS:
            config = value
        else:
            flags.append(name)
    return {"config": config, "flags": flags, "words": bare}


def real_path(path: str | None, cwd: str | None) -> str | None:
    """Where a path that a process was given is, without links; None where that depends on a working directory that is not known."""
    if not path or not (cwd or path.startswith("/")):
        return None
    return os.path.realpath(os.path.join(cwd or "/", path))  # noqa: PTH118


def environment(text: str) -> list[str]:
    """The names of the variables that the unit's owner has set."""
    names = {entry.partition("=")[0] for entry in text.split("\0") if "=" in entry}
    return sorted(name for name in names if name and name not in _GIVEN and not name.startswith("LC_"))


def _first_number(status: str, key: str) -> int | None:
    match = re.search(rf"^{key}:\s+(\d+)", status, re.MULTILINE)
    return int(match[1]) if match else None


def _user(uid: int | None) -> str | None:
    if uid is None:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _groups(status: str, gid: int | None) -> dict[str, int]:
    """Number by name of the supplementary groups."""
    match = re.search(r"^Groups:([ \t0-9]*)$", status, re.MULTILINE)
    found = {}
    for number in (int(word) for word in match[1].split()) if match else ():
        if number == gid:
            continue
        try:
            found[grp.getgrgid(number).gr_name] = number
        except KeyError:
            found[str(number)] = number
    return found


def capabilities(status: str) -> int:
    """The set of those that the process has in effect; none where it cannot be read."""
    match = re.search(r"^CapEff:\s+([0-9a-fA-F]+)$", status, re.MULTILINE)
    return int(match[1], 16) if match else 0


def open_files_limit(pid: int, proc: Path = PROC) -> tuple[int | None, int | None]:
    """The soft and the hard limit; None where it is unlimited or cannot be read."""
    match = re.search(
        r"^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)", _text(proc / str(pid) / "limits"), re.MULTILINE
    )
    soft, hard = (match[1], match[2]) if match else ("unlimited", "unlimited")
    return (int(soft) if soft.isdigit() else None, int(hard) if hard.isdigit() else None)


def runtime_limit(proc: Path = PROC) -> int | None:
    """The most files that a container may have open: it inherits the limit of the container runtime."""
    for folder in proc.iterdir():
        if folder.name.isdigit() and _text(folder / "comm").strip() == "containerd":
            return open_files_limit(int(folder.name), proc)[1]
    return None


def written(folder: Path) -> list[str]:
    """Regular files that the process has open for writing, except for logs, devices and the like."""
    return sorted(set(_written(folder)))


def _written(folder: Path) -> Iterator[str]:
    try:
        descriptors = os.listdir(folder / "fd")  # noqa: PTH208
    except OSError:
        return
    for descriptor in descriptors:
        path = _link(folder / "fd" / descriptor)
        if not path or not path.startswith("/") or path.startswith(_NO_STATE) or path.endswith(" (deleted)"):
            continue
        flags = re.search(r"^flags:\s+([0-7]+)", _text(folder / "fdinfo" / descriptor), re.MULTILINE)
        if flags and int(flags[1], 8) & os.O_ACCMODE and Path(path).is_file():
            yield path


def _link(path: Path) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

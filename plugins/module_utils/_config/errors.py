# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wrong with the structure `migration`: one sentence an error, all of them at once.

Faults of form (unknown keys, wrong types) are looked for in what the user wrote. Faults of sense (two listeners on one
port, folders inside each other) can only be seen in the merged whole; they pass over values of a wrong form.
"""

from __future__ import annotations

import difflib
import itertools
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._core.durations import DurationError, parse_duration
from .._daemon.drivers import settings

# In a merged configuration; calculated from `timeouts`, never to be written by hand.
CALCULATED = "timeouts_seconds"
PORT_SECTIONS = ("temporary_ports", "standard_ports")
ENV_SECTIONS = ("temporary_env", "standard_env")
PATHS = ("backup_path", "archive_path")
CONFIG_FILE = "pi_controller_config_file"
OWN_PORT = "every listener needs a port of its own"
# No folder of the migration may lie below these ...
CLOSED = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var/run",
    "/var/lib/containerd", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/kubelet", "/var/lib/rancher", "/var/lib/systemd",
)  # fmt: skip
# ... nor may the configuration file lie below these, since pods are given the folder it is in ...
CLOSED_TO_PODS = (
    *(folder for folder in CLOSED if folder != "/etc"),
    "/etc/kubernetes", "/etc/rancher", "/etc/ssh", "/etc/ssl", "/etc/sudoers.d", "/etc/systemd", "/root/.ssh",
)  # fmt: skip
# ... nor may any of them be one of these itself.
SYSTEM_FOLDERS = frozenset(
    {
        "/", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var", "/var/backups", "/var/cache", "/var/lib", "/var/log",
        "/var/tmp", "/usr/local", "/usr/local/etc", "/etc/default", "/etc/cron.d", "/etc/pam.d", "/etc/security", *CLOSED, *CLOSED_TO_PODS,
    }
)  # fmt: skip
_HOME = re.compile(r"/home/[^/]+")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def find_errors(
    given: Any,
    merged: Any,
    defaults: Mapping[str, Any],
    beside: Mapping[str, Any],
    once: Mapping[str, Any],
    strategies: Sequence[str],
) -> list[str]:
    """Every error in what the user has `given`, and in what it makes when `merged` over the defaults.

    `beside` are the paths among the settings beside `migration` that the same folders could be named by;
    `once` are paths given for a single run, where an empty one is as good as none.
    """
    if not isinstance(given, Mapping):
        return [f"migration must be a mapping, not {_kind(given)}."]
    return [
        *_unknown_keys(given, defaults),
        *_wrong_sections(given, defaults),
        *_bad_strategy(given, strategies),
        *_bad_ports(given),
        *_port_clashes(merged),
        *_bad_paths({name: given[name] for name in PATHS if name in given}),
        *_bad_paths(beside),
        *_bad_paths({name: path for name, path in once.items() if path}),
        *_path_nesting({**{name: merged[name] for name in PATHS}, **beside}),
        *_system_folders({**{name: merged[name] for name in PATHS}, **beside}),
        *_bad_timeouts(given),
        *_bad_booleans(given, defaults),
        *_bad_env(given),
        *_env_clashes(merged),
    ]


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, str):
        return f'the string "{value}"'
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return f"the number {value}"


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The section, or nothing where it is absent or of a wrong type (which is an error of its own)."""
    section = config.get(name, {})
    return section if isinstance(section, Mapping) else {}


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


def _named_ports(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The well-formed ports with their names; the standard ones first, since they are the given ones."""
    for section in reversed(PORT_SECTIONS):
        for name, port in _section(config, section).items():
            if _is_port(port):
                yield f"{section}.{name}", port


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/") and ".." not in value.split("/")


def _normal(path: str) -> str:
    """The path without `.`, doubled slashes and one at its end; POSIX keeps two at the beginning."""
    return "/" + posixpath.normpath(path).lstrip("/")


def _suggestion(key: str, section: str, defaults: Mapping[str, Any]) -> str:
    """The same name in another section, else a near one in this section, else a near one anywhere."""
    here = {name: f"{section}.{name}" if section else name for name in (defaults[section] if section else defaults)}
    anywhere = {name: name for name in defaults}
    for parent, value in defaults.items():
        if isinstance(value, Mapping) and parent not in ENV_SECTIONS:
            anywhere.update({child: f"{parent}.{child}" for child in value})
    if key in anywhere:
        return anywhere[key]
    for names in (here, anywhere):
        near = difflib.get_close_matches(key, list(names), n=1)
        if near:
            return names[near[0]]
    return ""


def _unknown_keys(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    # Any name may be in an environment; everywhere else an unknown one is a setting that would be ignored.
    closed = [name for name, value in defaults.items() if isinstance(value, Mapping) and name not in ENV_SECTIONS]
    for section, content in [("", config), *((name, _section(config, name)) for name in closed)]:
        known = defaults[section] if section else [*defaults, CALCULATED]
        for key in content:
            if key not in known:
                full = f"{section}.{key}" if section else str(key)
                better = _suggestion(str(key), section, defaults)
                yield f"{full} is unknown" + (f"; did you mean {better}?" if better else ".")


def _wrong_sections(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    for name, value in defaults.items():
        if name in config and isinstance(value, Mapping) and not isinstance(config[name], Mapping):
            yield f"{name} must be a mapping, not {_kind(config[name])}."


def _bad_strategy(config: Mapping[str, Any], strategies: Sequence[str]) -> Iterator[str]:
    seen = config.get("strategy", strategies[0])
    if seen not in strategies:
        near = difflib.get_close_matches(seen, strategies, n=1) if isinstance(seen, str) else []
        yield f"strategy must be {' or '.join(strategies)}, not {_kind(seen)}" + (
            f"; did you mean {near[0]}?" if near else "."
        )


def _bad_ports(config: Mapping[str, Any]) -> Iterator[str]:
    for section in PORT_SECTIONS:
        for name, port in _section(config, section).items():
            if isinstance(port, bool) or not isinstance(port, int):
                yield f"{section}.{name} must be a whole number without quotes, not {_kind(port)}."
            elif not 1 <= port <= 65535:
                yield f"{section}.{name} is {port}; a port is between 1 and 65535."


def _bad_paths(paths: Mapping[str, Any]) -> Iterator[str]:
    for name, path in paths.items():
        if not isinstance(path, str):
            yield f"{name} must be an absolute path, not {_kind(path)}."
        elif not path.startswith("/"):
            yield f'{name} must be an absolute path, not "{path}".'
        elif ".." in path.split("/"):
            yield f'{name} must not contain "..", as "{path}" does.'
        elif _normal(path).strip("/") == "":
            yield f'{name} must be a folder of its own, not "{path}".'


def _bad_timeouts(config: Mapping[str, Any]) -> Iterator[str]:
    calculated = {}
    for name, value in _section(config, "timeouts").items():
        try:
            calculated[name] = parse_duration(value)
        except DurationError as error:
            yield f"timeouts.{name}: {error}."
            continue
        if calculated[name] == 0:
            yield f"timeouts.{name} is 0; give it at least one second."
    # A merged configuration may come back in, a value written by hand may not: it would be ignored.
    if CALCULATED in config and config[CALCULATED] != calculated:
        yield f"{CALCULATED} is calculated; set timeouts instead."


def _bad_booleans(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    for name, value in _section(config, "safety").items():
        if name in defaults["safety"] and not isinstance(value, bool):
            yield f"safety.{name} must be true or false without quotes, not {_kind(value)}."


def _bad_env(config: Mapping[str, Any]) -> Iterator[str]:
    for section in ENV_SECTIONS:
        ports = section.replace("_env", "_ports")
        for name, value in _section(config, section).items():
            if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
                yield f'{section}: "{name}" cannot be the name of an environment variable.'
            elif name in settings.RESERVED:
                yield f"{section}.{name} is not yours to set: {settings.RESERVED[name].format(ports=ports)}."
            if not isinstance(value, str):
                yield f"{section}.{name} must be a string in quotes, not {_kind(value)}."


def _port_clashes(config: Mapping[str, Any]) -> Iterator[str]:
    """Unit and pod run beside each other, so all six ports differ."""
    holders: dict[int, str] = {}
    for name, port in _named_ports(config):
        if port in holders:
            yield f"{name} and {holders[port]} are both {port}; {OWN_PORT}."
        holders.setdefault(port, name)


def _env_clashes(config: Mapping[str, Any]) -> Iterator[str]:
    """A further listener that the environment moves onto a port that is taken."""
    for section in ENV_SECTIONS:
        # In the end only the pod is left, and the temporary ports are free again.
        beside_the_unit = section == "temporary_env"
        taken = {port: name for name, port in _named_ports(config) if beside_the_unit or name.startswith("standard_")}
        for name, value in _section(config, section).items():
            if not isinstance(value, str) or not str(name).endswith(settings.PORT_SUFFIX) or name in settings.RESERVED:
                continue
            port = int(value) if value.isascii() and value.isdigit() else 0
            if not _is_port(port):
                yield f'{section}.{name} is "{value}"; a port is between 1 and 65535.'
                continue
            if port in taken:
                yield f"{section}.{name} and {taken[port]} are both {port}; {OWN_PORT}."
            taken.setdefault(port, f"{section}.{name}")


def _system_folders(paths: Mapping[str, Any]) -> Iterator[str]:
    """Folders that are moved, copied, or given to a pod that may be privileged: never one that the system lives in."""
    for name, path in paths.items():
        if not _is_path(path):
            continue
        if name == CONFIG_FILE:
            folder = posixpath.dirname(_normal(path))
            if folder in SYSTEM_FOLDERS or folder.startswith(tuple(f"{inner}/" for inner in CLOSED_TO_PODS)):
                yield (
                    f"{CONFIG_FILE} ({path}) lies in {folder}, and pods are given the whole folder: "
                    "move it to a folder of its own, such as /etc/pi-controller."
                )
            continue
        folder = _normal(path)
        if folder.strip("/") == "":
            continue  # an error of its own, see _bad_paths
        if folder in SYSTEM_FOLDERS or _HOME.fullmatch(folder):
            yield f"{name} is {folder}, which is a folder of the system; give it a folder of its own."
        elif inside := next((outer for outer in CLOSED if folder.startswith(f"{outer}/")), None):
            yield f"{name} ({folder}) must not be inside {inside}, which belongs to the system."


def _path_nesting(paths: Mapping[str, Any]) -> Iterator[str]:
    """Folders are copied, moved and handed to pods as a whole, so none may be part of another."""
    # As for the configuration, pods are given the folder it lies in, also when the unit's folder has been moved away.
    named = {name: path for name, path in paths.items() if name != CONFIG_FILE and _is_path(path)}
    folders = {name: _normal(path) for name, path in named.items()}
    for (name, folder), (other, outer) in itertools.combinations(folders.items(), 2):
        if folder == outer:
            yield f"{name} and {other} are both {folder}; they need a folder each."
        elif folder.startswith(f"{outer}/"):
            yield f"{name} ({folder}) must not be inside {other} ({outer})."
        elif outer.startswith(f"{folder}/"):
            yield f"{other} ({outer}) must not be inside {name} ({folder})."
    if _is_path(paths.get(CONFIG_FILE)):
        config = _normal(paths[CONFIG_FILE])
        for name, folder in folders.items():
            if config.startswith(f"{folder}/"):
                yield f"{CONFIG_FILE} ({config}) must not be inside {name} ({folder})."

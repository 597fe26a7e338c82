# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A PATH as a fresh machine has it: the programs of a minimal Debian, of what the README names, and of the declared packages.

Tests that run with nothing else on their PATH cannot call a program that no list brings. What is installed on this machine by hand
stays out of their sight.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import packages
from .shell import LabError, run

# What the README tells a user to install by hand.
README = ("git", "make", "python3")
FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
FIELDS = ("Package", "Essential", "Priority", "Depends", "Pre-Depends", "Provides", "db:Status-Status")


@dataclass(frozen=True)
class Package:
    name: str
    base: bool
    """Part of `mmdebstrap --variant=minbase`."""
    depends: tuple[tuple[str, ...], ...]
    """Each: names of which one is enough."""
    provides: tuple[str, ...]


def installed() -> dict[str, Package]:
    """Every package that is installed on this machine, by its name."""
    layout = "\\t".join(f"${{{field}}}" for field in FIELDS) + "\\n"
    lines = run(["dpkg-query", "--show", f"--showformat={layout}"]).stdout.splitlines()
    return {package.name: package for package in map(parse, lines) if package}


def parse(line: str) -> Package | None:
    """One line of dpkg-query, its FIELDS separated by tabs; None for what is not installed."""
    name, essential, priority, depends, before, provides, status = line.split("\t")
    if status != "installed":
        return None
    base = essential == "yes" or priority == "required" or name == "apt"
    wanted = tuple(_names(group, "|") for group in (*before.split(","), *depends.split(",")) if group.strip())
    return Package(name, base, wanted, _names(provides, ","))


def _names(text: str, separator: str) -> tuple[str, ...]:
    """Without versions and architectures: "python3:any (>= 3.11)" is "python3"."""
    return tuple(re.split(r"[\s(:]", part.strip())[0] for part in text.split(separator) if part.strip())


def closure(wanted: Iterable[str], known: Mapping[str, Package]) -> set[str]:
    """These packages and all that they depend on.

    Raises:
        LabError: some of `wanted` are not installed.
    """
    providers: dict[str, list[str]] = {}
    for package in known.values():
        for name in package.provides:
            providers.setdefault(name, []).append(package.name)
    missing = sorted(set(wanted) - set(known))
    if missing:
        raise LabError(
            f"{', '.join(missing)}: declared and not installed. Run `python3 -m tests.lab packages`, then try again."
        )
    found: set[str] = set()
    left = list(wanted)
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        for choice in known[name].depends:
            real = [
                package for option in choice for package in ([option] if option in known else providers.get(option, []))
            ]
            # Of alternatives, one that is wanted anyway, or the first.
            if real and not set(real) & found:
                left.append(real[0])
    return found


def fresh(groups: Iterable[str], known: Mapping[str, Package]) -> set[str]:
    """What a machine has that was made as the README says, with these groups of the declared packages."""
    base = [package.name for package in known.values() if package.base]
    return closure([*base, *README, *packages.of(list(groups))], known)


def programs(names: Iterable[str]) -> dict[str, Path]:
    """Name to file, of every program that these packages bring, alternatives included."""
    listed = run(["dpkg-query", "--listfiles", *sorted(names)]).stdout.splitlines()
    files = {Path(line) for line in listed if str(Path(line).parent) in FOLDERS}
    found = {path.name: path for path in files if os.access(path, os.X_OK) and not path.is_dir()}
    targets = {os.path.realpath(path) for path in files}
    for link in Path("/etc/alternatives").iterdir():
        for folder in FOLDERS:
            name = Path(folder, link.name)
            if name.is_symlink() and str(name.readlink()) == str(link) and os.path.realpath(name) in targets:
                found.setdefault(link.name, name)
    return found


def make(folder: Path, groups: Iterable[str] = ()) -> int:
    """Fill a folder with links to all these programs; returns how many there are. It is the whole PATH of a fresh machine."""
    folder.mkdir(parents=True, exist_ok=True)
    found = programs(fresh(groups or packages.GROUPS, installed()))
    for name, path in found.items():
        link = folder / name
        link.unlink(missing_ok=True)
        # A link to the file itself could change the name that a program is called by, and some act by it.
        link.symlink_to(path)
    return len(found)

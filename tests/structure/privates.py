# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable whose name begins with an underscore belongs to the file that sets it; no other one reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, nodes

from . import expressions
from .graph import load, mappings


def faults(checkout: Path) -> list[str]:
    """One line for each private variable that a file of roles and playbooks reads and does not set, or sets in two ways.

    A task's own variable hides a result of the same name, and one that is made from it would be made from itself.
    A template belongs to the task files of its role that name it.
    """
    found = []
    for path in expressions.files(checkout):
        own, registered = set(_set_in(load(path))), set(_registered_in(load(path)))
        hidden = sorted(name for name in registered if name in _keys_in(load(path)))
        found += [
            f"{path.relative_to(checkout)}: {name} is registered, and a task has a variable of this name"
            for name in hidden
        ]
        read = {name for text, _node in expressions.scalars(path) for name in _read_in(text)}
        found += _lines(path.relative_to(checkout), read - own)
    for path in sorted(checkout.glob("roles/*/templates/*.j2")):
        callers = [
            tasks for tasks in path.parents[1].glob("tasks/*.yml") if path.name in tasks.read_text(encoding="utf-8")
        ]
        own = {name for tasks in callers for name in _set_in(load(tasks))}
        found += _lines(path.relative_to(checkout), set(_read_in(path.read_text(encoding="utf-8"))) - own)
    return found


def _lines(path: Path, names: set[str]) -> list[str]:
    return [
        f"{path}: {name} is not set here; a name for several files begins with raft_migration_"
        for name in sorted(names)
    ]


def _read_in(text: str) -> Iterator[str]:
    environment = Environment(extensions=["jinja2.ext.do"])
    environment.filters, environment.tests = expressions.Anything(), expressions.Anything()
    names = list(environment.parse(text).find_all(nodes.Name))
    stored = {name.name for name in names if name.ctx == "store"}
    yield from (
        name.name for name in names if name.ctx == "load" and name.name.startswith("_") and name.name not in stored
    )


def _set_in(document: Any) -> Iterator[str]:
    yield from _keys_in(document)
    yield from _registered_in(document)


def _keys_in(document: Any) -> set[str]:
    return {str(key) for mapping in mappings(document) for key in mapping}


def _registered_in(document: Any) -> set[str]:
    named = (mapping.get(keyword) for mapping in mappings(document) for keyword in ("register", "loop_var"))
    return {name for name in named if isinstance(name, str)}
